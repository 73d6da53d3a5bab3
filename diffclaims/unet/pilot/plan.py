"""A plan: by which means the runs of a preset are trained, and how many seeds and steps of each. No torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffclaims.errors import InvalidInput
from diffclaims.unet.config import RunConfig
from diffclaims.unet.train.presets import runs

#: Version of the file that a pilot writes.
PILOT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
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
        if version != PILOT_VERSION:
            limit = f"be of version {PILOT_VERSION}, and is of {version!r}"
            raise InvalidInput.of("plan", str(path), limit, fix)
        if not plan or not plan["experiments"]:
            limit = "hold a plan with a run in it: the pilot did not end, or nothing fitted into its budget"
            raise InvalidInput.of(
                "plan", str(path), limit, "repeat the pilot, with a larger --budget if need be"
            )
        return cls(**{name: plan[name] for name in cls.__dataclass_fields__})
