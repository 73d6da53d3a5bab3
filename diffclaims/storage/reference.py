"""The size of an effect as the theory gives it: what its recorded cases hold."""

from __future__ import annotations

import json
from collections.abc import Mapping

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
    folder = locate.baselines_dir() / REFERENCE / locate.sanitized(claim)
    try:
        groups = storage.read_once(folder / f"{locate.sanitized(case)}.nc")
    except BaselineMissing:
        return {}
    if json.loads(groups["/config"].attrs["experiments"]) != {
        k: json.loads(e.to_json()) for k, e in experiments.items()
    }:
        return {}
    verdict = groups["/verdict"]
    return dict(zip(map(str, verdict.values("effect")), map(float, verdict.values("value")), strict=True))
