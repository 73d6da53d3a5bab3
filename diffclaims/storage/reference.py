"""The size of an effect as the theory gives it: what its recorded cases hold."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path

from diffclaims.errors import BaselineMissing
from diffclaims.problem.experiment import Experiment
from diffclaims.storage import netcdf as storage
from diffclaims.storage import paths as locate

#: The subject whose recorded effects are the sizes to be met.
REFERENCE = "theory"


def recorded_effects(claim: str, case: str, experiments: Mapping[str, Experiment]) -> Mapping[str, float]:
    """Return the effects of a case as the theory has them, by name; none where it was not recorded.

    A case of the same name that asks something else is another case. A file that is damaged is an error: without its
    sizes a wrong effect would pass.
    """
    try:
        folder = locate.baselines_dir() / REFERENCE / locate.sanitized(claim)
        found, asked = _read(folder / f"{locate.sanitized(case)}.nc")
    except BaselineMissing:
        return {}
    return found if asked == {k: json.loads(e.to_json()) for k, e in experiments.items()} else {}


@functools.lru_cache(maxsize=256)
def _read(path: Path) -> tuple[Mapping[str, float], Mapping[str, object]]:
    groups = storage.read_groups(path)
    verdict = groups["/verdict"]
    effects = dict(zip(map(str, verdict.values("effect")), map(float, verdict.values("value")), strict=True))
    return effects, json.loads(groups["/config"].attrs["experiments"])
