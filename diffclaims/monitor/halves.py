"""Two trainings on disjoint halves: each sample's loss under the one that saw it, and under the one that did not."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import t

from diffclaims.errors import InvalidInput
from diffclaims.monitor.curves import ERROR
from diffclaims.monitor.record import Record
from diffclaims.monitor.store import Measurement

Floats = NDArray[np.float64]

#: Measurements of two trainings are compared where their steps differ by no more than this factor.
SAME_STEP = 1.15


def with_half(status: xr.Dataset, mine: Record, other: Record) -> xr.Dataset:
    """Add to a status what the comparison with another training says.

    Returns
    -------
    xarray.Dataset
        With ``half_gap``, by class: mean over samples of ``ln`` of the loss under the training that did not see the
        sample over that under the one that did, at the noise level that shows it most, ``half_gap_low`` and
        ``half_gap_high`` (95 %, a t interval of the paired differences), and ``half_biased``, whether it is above 0
        beyond chance. The attribute ``half_step`` is the other's step.
    """
    weights, step = status.attrs["weights"], status.attrs["step"]
    a, b = mine.about, other.about
    for key in ("classes", "levels", "seed", "shape"):
        if a[key] != b[key]:
            limit = f"be that of this training, {a[key]}"
            raise InvalidInput.of(
                f"{key} of half", b[key], limit, "watch both trainings with the same settings"
            )
    found = other.measurements(other.weights(weights))
    there = min(found, key=lambda m: abs(np.log1p(m.step) - np.log1p(step)))
    if abs(np.log1p(there.step) - np.log1p(step)) > np.log(SAME_STEP):
        text = f"half: the other training has nothing measured near step {step}; its nearest is {there.step}"
        return status.assign_attrs(missing="; ".join(filter(None, [status.attrs["missing"], text])))
    here = mine.store.read(step)
    rows = [_of_class(mine, other, here, there, weights, k) for k in range(len(a["classes"]))]
    if not any(np.isfinite(row[0]) for row in rows):
        fix = "train one on (x, y) held out in the other, and the other way round"
        raise InvalidInput.of("half", "<other samples>", "hold out the samples of this training", fix)
    names = ("half_gap", "half_gap_low", "half_gap_high", "half_biased")
    columns = {name: ("class", [row[i] for row in rows]) for i, name in enumerate(names)}
    return status.assign(columns).assign_attrs(half_step=there.step)


def _of_class(
    mine: Record, other: Record, here: Measurement, there: Measurement, weights: str, k: int
) -> tuple[float, float, float, bool]:
    parts = [
        _differences((other, there, "held_out"), (mine, here, "train"), weights, k),
        _differences((mine, here, "held_out"), (other, there, "train"), weights, k),
    ]
    both = np.concatenate(parts, axis=1)
    n = both.shape[1]
    if n < 2:
        return np.nan, np.nan, np.nan, False
    mean, error = both.mean(axis=1), both.std(axis=1, ddof=1) / np.sqrt(n)
    n_tests = len(both) * len(mine.about["classes"])
    least = mean - error * t.isf(ERROR / n_tests, n - 1)
    level = int(least.argmax())
    half = float(error[level] * t.isf(0.025, n - 1))
    return float(mean[level]), float(mean[level]) - half, float(mean[level]) + half, bool(least[level] > 0)


def _differences(
    unseen: tuple[Record, Measurement, str], seen: tuple[Record, Measurement, str], weights: str, k: int
) -> Floats:
    """ln loss where a sample was not trained on less that where it was, shape (L, n), over common samples."""
    keys, values = [], []
    for record, measurement, split in (unseen, seen):
        own = record.class_slice(split, k)
        keys.append(record.store.reference()[f"{split}_keys"][own])
        values.append(measurement.arrays[f"{weights}_{split}_log"][:, own].astype(np.float64))
    _, i, j = np.intersect1d(keys[0], keys[1], return_indices=True)
    return np.asarray(values[0][:, i] - values[1][:, j])
