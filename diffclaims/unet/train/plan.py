"""A plan: by which means the runs of a preset are trained, and how many steps and seeds of each. No torch."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from diffclaims.errors import InvalidInput
from diffclaims.unet.config import RunConfig
from diffclaims.unet.train.presets import runs

#: Version of the file that a pilot writes.
PLAN_VERSION = 2
#: Shares of the preset's steps, the largest first.
SHARES = (2.0, 1.5, 1.0, 0.75, 0.5, 0.35, 0.25)
#: Share of the time that a plan leaves free; rates within this share of each other are equal.
MARGIN, CLOSE = 0.15, 0.05
ARITHMETICS = ("float32", "TF32", "bfloat16")


@dataclasses.dataclass(kw_only=True)
class Row:
    """What was found about one candidate; `status`: "measured", "wrong", "failed", "not here" or "no time"."""

    name: str
    options: dict[str, bool] = dataclasses.field(default_factory=dict)
    at_once: int = 1
    reference: bool = False
    status: str = "measured"
    reason: str = ""
    images_per_s: float = 0.0
    setup_s: float = 0.0
    differs: float | None = None
    peak_mib: float | None = None

    @property
    def arithmetic(self) -> int:
        """Position in `ARITHMETICS`."""
        return 2 if self.options.get("bf16") else int(self.options.get("tf32", False))


def fastest(rows: Sequence[Row], arithmetic: int) -> Row | None:
    """The fastest right candidate of an arithmetic; of equally fast ones that with the fewest models at once."""
    found = [r for r in rows if r.status == "measured" and not r.reference and r.arithmetic == arithmetic]
    best = max((r.images_per_s for r in found), default=0.0)
    return min(
        (r for r in found if r.images_per_s >= (1 - CLOSE) * best), key=lambda r: r.at_once, default=None
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
    """What a campaign costs by one way of computing, in seconds.

    Attributes
    ----------
    images_per_s, alone_per_s : float
        Trained images of all models together, and of one model that is alone.
    once, start : float
        Of the process, and of each run before its first step is warm.
    aside : mapping of int to (float, float)
        By the number of classes: what is no training, of a run and of each of its snapshots, step 0 included.
    at_once : int
    """

    images_per_s: float
    alone_per_s: float
    once: float
    start: float
    aside: Mapping[int, tuple[float, float]]
    at_once: int

    def apart(self, run: RunConfig) -> float:
        """Seconds of a run in which nothing is trained."""
        each, snapshot = self.aside[len(run.data.classes)]
        return self.start + each + snapshot * (1 + len(run.probe.steps(run.optimizer.steps)))

    def seconds(self, found: Sequence[RunConfig]) -> float:
        """Seconds of all runs; the longest is counted once more, as if it were alone at the end."""
        images = [r.optimizer.steps * r.optimizer.batch for r in found]
        tail = max(images, default=0) / self.alone_per_s
        return self.once + sum(map(self.apart, found)) + sum(images) / self.images_per_s + tail

    def beside(self, run: RunConfig) -> float:
        """Seconds from the beginning of a run to its end, with as many like it beside it as there may be."""
        return self.at_once * (
            run.optimizer.steps * run.optimizer.batch / self.images_per_s + self.apart(run)
        )


@dataclasses.dataclass(frozen=True)
class Sized:
    """The runs that fit, the share of the preset's steps that they take, and what they are expected to take."""

    runs: list[RunConfig]
    share: float
    seconds: float
    enough: bool


def size(wanted: Sequence[RunConfig], cost: Cost, seconds: float) -> Sized:
    """Choose the largest of `SHARES` at which all runs fit; at the smallest, as many whole seeds as fit."""
    found, takes = list(wanted), 0.0
    for share in SHARES:
        found = [_with_steps(r, share) for r in wanted]
        takes = cost.seconds(found)
        if takes <= seconds:
            return Sized(found, share, takes, True)
    while found and takes > seconds:
        last = max(r.seed for r in found)
        found = [r for r in found if r.seed < last]
        takes = cost.seconds(found)
    return Sized(found, SHARES[-1], takes if found else 0.0, False)


def _with_steps(run: RunConfig, share: float) -> RunConfig:
    steps = max(1, round(run.optimizer.steps * share))
    return dataclasses.replace(run, optimizer=dataclasses.replace(run.optimizer, steps=steps))


def cost_of(row: Row, rows: Sequence[Row], asides: Mapping[int, tuple[float, float]]) -> Cost:
    """What a campaign costs if it is trained as in this row."""
    same = [r for r in rows if r.options == row.options and r.status == "measured"]
    # What is built, captured and warmed for each run; compiling is paid once.
    start = min(r.setup_s / r.at_once for r in rows if r.status == "measured" and not r.reference)
    return Cost(
        images_per_s=row.images_per_s,
        alone_per_s=min(r.images_per_s for r in same),
        once=max(r.setup_s for r in same),
        start=start,
        aside=asides,
        at_once=row.at_once,
    )


def make_plan(
    wanted: Sequence[RunConfig],
    rows: Sequence[Row],
    asides: Mapping[int, tuple[float, float]],
    seconds: float,
    preset: str,
    settings: Mapping[str, Any],
    device: str,
) -> dict[str, Any]:
    """Return the plan that a pilot writes: the finest arithmetic that leaves the preset its steps.

    Parameters
    ----------
    wanted : sequence of RunConfig
        All runs of the preset.
    rows : sequence of Row
    asides : mapping
        As `Cost.aside`.
    seconds : float
        Time of the training.
    preset, settings, device
        Kept in the plan.
    """
    chosen: tuple[Sized, Row, Cost] | None = None
    for row in filter(None, (fastest(rows, a) for a in (0, 1))):
        cost = cost_of(row, rows, asides)
        sized = size(wanted, cost, seconds * (1 - MARGIN))
        if chosen is None or (chosen[0].share < 1 and sized.share > chosen[0].share):
            chosen = sized, row, cost
    assert chosen is not None
    sized, row, cost = chosen
    names = {r.name: r for r in sized.runs}
    return {
        "preset": preset,
        "settings": {k: v for k, v in settings.items() if k != "steps"},
        "experiments": {
            n: {"seeds": sum(r.name == n for r in sized.runs), "steps": run.optimizer.steps}
            for n, run in names.items()
        },
        "device": device.partition(":")[0],
        "options": row.options,
        "at_once": row.at_once,
        "why": f"{row.name}, the fastest in {ARITHMETICS[row.arithmetic]}; {sized.share:g} of the preset's steps",
        "predicted_minutes": round(sized.seconds / 60, 3),
        "last_run_minutes": round(cost.beside(sized.runs[-1]) / 60, 3) if sized.runs else 0.0,
        "enough": sized.enough,
        "cost": dataclasses.asdict(cost),
    }


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """By which means the runs of a preset are trained, and how many seeds and steps of each.

    Attributes
    ----------
    preset : str
    settings : mapping
        That win over the preset's in every run.
    experiments : mapping
        ``seeds`` and ``steps`` of each experiment that is to be run.
    device : str
    options : mapping
        Fields of `Compute`.
    at_once : int
    """

    preset: str
    settings: Mapping[str, Any]
    experiments: Mapping[str, Mapping[str, int]]
    device: str
    options: Mapping[str, bool]
    at_once: int

    def runs(
        self,
        *,
        only: Sequence[str] = (),
        seeds: int | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> list[RunConfig]:
        """Return the runs, with the choices of `presets.runs` on top."""
        chosen = {k: {"seeds": v["seeds"], "steps": v["steps"]} for k, v in self.experiments.items()}
        settings = {**self.settings, **(overrides or {})}
        return runs(self.preset, only=only, seeds=seeds, overrides=settings, experiments=chosen)

    @classmethod
    def read(cls, path: Path) -> TrainingPlan:
        """Read the plan in the file of a pilot.

        Raises
        ------
        InvalidInput
            If there is none that can be used.
        """
        fix = "make it with python -m diffclaims.unet pilot"
        try:
            content = json.loads(path.read_text())
            version, plan = content["pilot_version"], content["plan"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            limit = f"be the file of a pilot ({type(error).__name__}: {error})"
            raise InvalidInput.of("plan", str(path), limit, fix) from None
        if version != PLAN_VERSION:
            limit = f"be of version {PLAN_VERSION}, and is of {version!r}"
            raise InvalidInput.of("plan", str(path), limit, fix)
        if not plan or not plan["experiments"]:
            limit = "hold a plan with a run in it: the pilot did not end, or nothing fitted into its budget"
            fix = "repeat the pilot, with a larger --budget if need be"
            raise InvalidInput.of("plan", str(path), limit, fix)
        return cls(**{name: plan[name] for name in cls.__dataclass_fields__})
