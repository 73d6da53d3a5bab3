"""What stored U-turns say: return probabilities by step, class and noise level. Needs no PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from diffclaims.monitor.noise import Floats
from diffclaims.monitor.store import Measurement
from diffclaims.times.uturns import count, returned


def turned(found: list[Measurement], weights: str, about: dict[str, Any]) -> xr.Dataset:
    """Return where U-turns ended, for the measurements that have any.

    Returns
    -------
    xarray.Dataset
        Dimensions ``step``, ``class``, ``to_class``, ``sigma``: ``return_probability``, ``transition`` and
        ``commitment`` with ``_stderr``, as `diffclaims.times.uturns.returned` has them; ``rejected_share``, of ends
        without a class; and by class the ``accuracy`` of the classifier on the starting points. The attribute
        ``missing`` says why there are none at the last measurement that should have had some.
    """
    some = [m for m in found if f"{weights}_uturns" in m.arrays and m.arrays[f"{weights}_uturns"].size]
    classes = about["classes"]
    why = [m.info["uturns"][weights].get("missing", "") for m in found if weights in m.info.get("uturns", {})]
    attrs = {"missing": next((w for w in reversed(why) if w), "" if some else "no U-turns were measured")}
    coords = {"class": classes, "to_class": classes}
    if not some:
        return xr.Dataset(
            coords={"step": np.empty(0, dtype=np.int64), "sigma": np.empty(0), **coords}, attrs=attrs
        )
    parts = []
    for m in some:
        info = m.info["uturns"][weights]
        counts = _counts(m.arrays[f"{weights}_uturns"], info["starts"], len(classes))
        values = {
            name: ([{"diffusion_time": "sigma"}.get(d, d) for d in dims], array)
            for name, (dims, array) in returned(counts).items()
        }
        kept = np.stack([c.sum(axis=2).mean(axis=1) for c in counts]) / m.arrays[f"{weights}_uturns"].shape[2]
        values["rejected_share"] = (["class", "sigma"], 1 - kept)
        values["accuracy"] = (["class"], np.array(info["accuracy"]))
        parts.append(xr.Dataset(values, {"sigma": info["levels"], **coords}))
    out = xr.concat(parts, dim=xr.DataArray([m.step for m in some], dims="step", name="step"), join="exact")
    last = some[-1].info["uturns"][weights]
    return out.assign_attrs(attrs, rule=last["rule"], starts=last["starts"])


def _counts(ends: Any, starts: list[int], n_classes: int) -> list[Floats]:
    """From positions of classes (L, n, returns) to counts (L, n_k, K) of the starts of each class."""
    return np.split(count(ends, n_classes), np.cumsum(starts)[:-1], axis=1)
