"""The command ``pilot``: measure the candidates, choose one, plan with it, and write down all of it."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from diffclaims.errors import DiffclaimsError, InvalidInput
from diffclaims.storage.files import write_atomic
from diffclaims.unet.config import RunConfig
from diffclaims.unet.model.options import Compute
from diffclaims.unet.pilot import others, table
from diffclaims.unet.pilot.bench import Bench, BenchResult
from diffclaims.unet.pilot.candidates import Candidate, single
from diffclaims.unet.pilot.evaluation import Evaluation, evaluate, synthetic
from diffclaims.unet.pilot.fit import Costs, Fit, fit
from diffclaims.unet.pilot.flops import flops_per_image
from diffclaims.unet.pilot.plan import PILOT_VERSION
from diffclaims.unet.pilot.power import reader
from diffclaims.unet.pilot.work import Work
from diffclaims.unet.train.presets import runs

#: Settings of a rehearsal: the whole path in a minute on a CPU; its figures say nothing about any real run.
TOY: Mapping[str, Any] = {
    "resolution": 14,
    "multipliers": (1, 2),
    "width": 8,
    "embedding": 16,
    "batch": 8,
    "steps": 40,
    "snapshots": 5,
    "first_snapshot": 5,
    "n_eval": 16,
    "n_samples": 8,
    "sampler_steps": 4,
    "uturn_levels": (1.0, 4.0),
    "uturn_starts": 4,
    "uturn_returns": 1,
}
#: Models at once that are tried, as far as is asked for.
AT_ONCE = (2, 4, 8, 16, 32)
#: How much faster than the next finer one a coarser arithmetic must be to be chosen.
GAIN = 1.25
#: Share of the rate within which two candidates count as equally fast.
CLOSE = 0.05
#: Share of the budget that a plan leaves free, for what a pilot does not see.
MARGIN = 0.15

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What a pilot is asked to do.

    Parameters
    ----------
    preset : str
    only : sequence of str
        Experiments; all by default.
    overrides : mapping
        Settings that win over the preset's, and over those of a rehearsal.
    device : str
    seconds : float
        Of measuring in all; warm-up and compilation come on top.
    budget : float
        Minutes of the training that is planned.
    at_once : int
        Try up to so many models at once.
    compiled : bool, optional
        Also try ``torch.compile``; by default on CUDA only, for it takes minutes on a slow CPU.
    toy : bool, optional
        Rehearse at toy size; by default on a CPU.
    """

    preset: str
    only: Sequence[str] = ()
    overrides: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    device: str = "cpu"
    seconds: float = 45.0
    budget: float = 25.0
    at_once: int = 8
    compiled: bool | None = None
    toy: bool | None = None

    def __post_init__(self) -> None:
        for name in ("seconds", "budget", "at_once"):
            if not getattr(self, name) > 0:
                raise InvalidInput.of(name, getattr(self, name), "be positive", "raise it")
        Compute(device=self.device).check()

    @property
    def on_cuda(self) -> bool:
        """Whether the device is a CUDA device."""
        return self.device.startswith("cuda")

    @property
    def settings(self) -> dict[str, Any]:
        """Settings that win over the preset's in every run."""
        toy = not self.on_cuda if self.toy is None else self.toy
        return {**(TOY if toy else {}), **self.overrides}

    def runs(self) -> list[RunConfig]:
        """Return the runs of the preset, all of one network, so that what one costs tells what the others do."""
        found = runs(self.preset, only=self.only, overrides=self.settings)
        kinds = {(r.network, r.optimizer.batch, r.data.resolution) for r in found}
        if len(kinds) > 1:
            raise InvalidInput.of(
                "preset",
                self.preset,
                "train one network with one size of batch",
                "choose experiments with --only",
            )
        return found


def pilot(request: Request, out: Path, say: Say | None = None) -> dict[str, Any]:
    """Measure, choose and plan; return all that was found, which is also written to `out` as it comes in.

    Raises
    ------
    DiffclaimsError
        If no candidate could be measured; what was found until then is in the file.
    """
    tell = say or (lambda line: print(line, file=sys.stderr, flush=True))
    wanted = request.runs()
    config, device = wanted[0], torch.device(request.device)
    training, evaluating = flops_per_image(config)
    read_power, how = reader(device)
    rows: list[BenchResult] = []
    found: dict[str, Any] = {
        "pilot_version": PILOT_VERSION,
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "request": dataclasses.asdict(request),
        "machine": _machine(device),
        "config": config.to_dict(),
        "flops_per_training_image": training,
        "flops_per_evaluation": evaluating,
        "power_read_by": how,
        "candidates": [],
        "evaluation": None,
        "plan": None,
    }

    def keep(row: BenchResult) -> None:
        rows.append(row)
        found["candidates"] = [dataclasses.asdict(r) for r in rows]
        save()
        more = row.reason if row.images_per_s is None else f"{row.images_per_s:,.0f} images/s"
        tell(f"{row.name}: {row.status}, {more}")

    def save() -> None:
        write_atomic(out, lambda path: path.write_text(json.dumps(found, indent=1)))

    compiled = request.on_cuda if request.compiled is None else request.compiled
    singles = single(compiled=compiled)
    if not compiled:
        tell("torch.compile: not tried; --compile does")
    several = [n for n in AT_ONCE if n <= request.at_once]
    # Of the candidates, some are not of this device, and cost no time; three more are references.
    n_measured = len(singles) + 3 + 2 * len(several) + 3
    images = synthetic(config, max(sum(config.data.counts()), config.optimizer.batch))
    bench = Bench(
        config,
        images,
        device=request.device,
        seconds=request.seconds / n_measured,
        flops=training,
        read_power=read_power,
    )
    for candidate in singles:
        keep(bench.candidate(candidate))
    keep(bench.reference("plain loop", lambda: others.plain(config, images, device)))
    keep(bench.reference("diffusers UNet2DModel", lambda: others.diffusers(config, images, device)))
    keep(bench.reference("vmap x4", lambda: others.batched(config, images, device, 4), models=4))
    for options in _worth_repeating(rows):
        for n in several:
            keep(bench.candidate(Candidate(options, n)))

    best, why = choose(rows)
    tell(f"chosen: {best.name}, {why}; now losses, samples and results")
    evaluation = evaluate(
        config,
        device=request.device,
        channels_last=bool(best.options.get("channels_last")),
        seconds=3 * request.seconds / n_measured,
    )
    found["evaluation"] = dataclasses.asdict(evaluation)
    costs = _costs(best, rows, evaluation)
    aim = 60 * request.budget * (1 - MARGIN)
    planned = fit(wanted, costs, at_once=best.at_once, seconds=aim)
    found["plan"] = _plan(request, best, why, planned, wanted, costs, evaluation)
    save()
    return found


def report(found: Mapping[str, Any], out: Path) -> str:
    """Return what a pilot found, as text."""
    machine, plan = found["machine"], found["plan"]
    where = f"{machine['name']}, torch {machine['torch']}"
    flops = f"{found['flops_per_training_image'] / 1e9:.3f} GFLOP a training image (counted)"
    parts = [f"{where}; {flops}; power: {found['power_read_by']}", "", table.rates(found["candidates"]), ""]
    parts += [table.evaluation(found["evaluation"]), "", table.plan(plan), ""]
    parts.append(
        f"{out} holds all of this. Next: python -m diffclaims.unet train --plan {out} --results RUNS"
    )
    return "\n".join(parts)


def usable(rows: Sequence[BenchResult]) -> list[BenchResult]:
    """Return what a plan may use: measured, right, and no reference; the fastest first."""
    found = [r for r in rows if r.status == "measured" and not r.reference]
    return sorted(found, key=lambda r: -(r.images_per_s or 0.0))


def choose(rows: Sequence[BenchResult]) -> tuple[BenchResult, str]:
    """Return the row to plan with, and why.

    The fastest of the finest arithmetic, unless a coarser one is `GAIN` times as fast: training is the
    measurement here, so rounding is not changed for little.
    """
    found = usable(rows)
    if not found:
        raise DiffclaimsError("no candidate could be measured; the lines above say why")
    best, why = None, ""
    for coarseness, arithmetic in enumerate(("float32", "TF32", "bfloat16")):
        same = [r for r in found if r.coarseness == coarseness]
        if not same:
            continue
        rate = same[0].images_per_s or 0.0
        # Fewer models at once where that costs next to nothing: less memory, and less that is under way.
        row = min((r for r in same if (r.images_per_s or 0.0) >= (1 - CLOSE) * rate), key=lambda r: r.at_once)
        rate = row.images_per_s or 0.0
        if best is None:
            best, why = row, f"the fastest in {arithmetic}"
        elif rate >= GAIN * (best.images_per_s or 0.0):
            ratio = rate / (best.images_per_s or 1.0)
            best, why = row, f"the fastest in {arithmetic}, {ratio:.2f} times {best.name}"
    assert best is not None
    return best, why


def _worth_repeating(rows: Sequence[BenchResult]) -> list[dict[str, Any]]:
    """Options to try with several models at once: the two fastest, and the fastest in each arithmetic."""
    found = usable(rows)
    finest = [next((r for r in found if r.coarseness == c), None) for c in (0, 1, 2)]
    out: list[dict[str, Any]] = []
    for row in [*found[:2], *finest]:
        if row is not None and row.options not in out:
            out.append(row.options)
    return out


def _costs(best: BenchResult, rows: Sequence[BenchResult], evaluation: Evaluation) -> Costs:
    same = {r.at_once: r for r in usable(rows) if r.options == best.options}
    alone, many = same[1], same[max(same)]
    return Costs(
        images_per_s={n: r.images_per_s or 0.0 for n, r in same.items()},
        probe_evaluations_per_s=evaluation.probe_evaluations_per_s,
        sample_evaluations_per_s=evaluation.sample_evaluations_per_s,
        prepare_s=evaluation.prepare_s,
        start_s=(many.setup_s or 0.0) / many.at_once,
        once_s=alone.setup_s or 0.0,
        write_bytes_per_s=evaluation.write_bytes_per_s,
    )


def _plan(
    request: Request,
    best: BenchResult,
    why: str,
    planned: Fit,
    wanted: Sequence[RunConfig],
    costs: Costs,
    evaluation: Evaluation,
) -> dict[str, Any]:
    rate = best.images_per_s or 1.0
    experiments: dict[str, Any] = {}
    for name in dict.fromkeys(r.name for r in planned.runs):
        own = planned.of(name)
        work = Work.of(own[0])
        experiments[name] = {
            "seeds": len(own),
            "steps": own[0].optimizer.steps,
            "minutes": round(len(own) * (costs.aside(work) + work.images / rate) / 60, 3),
            "result_mib": round(len(own) * work.result_bytes / 2**20, 3),
        }
    memory = None
    if best.peak_mib is not None and evaluation.peak_mib is not None:
        memory = best.peak_mib + evaluation.peak_mib
    return {
        "preset": request.preset,
        "settings": {k: v for k, v in request.settings.items() if k != "steps"},
        "experiments": experiments,
        "left_out": [n for n in dict.fromkeys(r.name for r in wanted) if n not in experiments],
        "device": "cuda" if request.on_cuda else "cpu",
        "options": best.options,
        "at_once": best.at_once,
        "candidate": best.name,
        "why": why,
        "budget_minutes": request.budget,
        "margin": MARGIN,
        "predicted_minutes": round(planned.seconds / 60, 3),
        "enough": planned.enough,
        "memory_mib": memory,
        "result_mib": round(sum(e["result_mib"] for e in experiments.values()), 3),
        "energy_wh": None if best.watts is None else best.watts * planned.seconds / 3600,
        "costs": dataclasses.asdict(costs),
    }


def _machine(device: torch.device) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    if device.type == "cuda":
        p = torch.cuda.get_device_properties(device)
        found |= {
            "name": p.name,
            "memory_mib": p.total_memory / 2**20,
            "multiprocessors": p.multi_processor_count,
            "capability": f"{p.major}.{p.minor}",
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return found
