"""What differs between two results, beyond the errors that both state."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from diffclaims.api.verdict import quantile

#: What the same computation gives on another machine, relative to the largest value of a variable.
ROUNDING = 1e-9
_LOST = "is recorded, but was not measured"
_ADDED = "was measured, but is not recorded"
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """One variable that is not what was recorded."""

    what: str
    text: str
    #: Largest absolute difference; infinite where two things cannot be compared.
    size: float = math.inf

    def __str__(self) -> str:
        return f"{self.what}: {self.text}"


def compare(stored: xr.DataTree, obtained: xr.DataTree, *, exactly: bool = False) -> list[Difference]:
    """Return what differs, beyond the tolerance that both runs state.

    Parameters
    ----------
    stored, obtained : DataTree
        As `to_tree` gives them.
    exactly : bool
        Allow rounding only, to find out whether a file needs to be written again.
    """
    found: list[Difference] = []
    for key in ("experiments", "params"):
        old, new = (json.loads(t["config"].attrs.get(key, "{}")) for t in (stored, obtained))
        found += [
            Difference(f"config.{key}", f"{name} is another one than was recorded")
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
        ]
    if exactly:
        found += [
            Difference(f"config.{key}", "changed")
            for key in ("role", "expect", "note", "command")
            if stored["config"].attrs.get(key) != obtained["config"].attrs.get(key)
        ]
    found += _compare_verdicts(stored, obtained, exactly)
    old_names, new_names = (
        set(stored.children["measurement"].children),
        set(obtained.children["measurement"].children),
    )
    found += [Difference(f"measurement.{n}", _LOST) for n in old_names - new_names]
    found += [Difference(f"measurement.{n}", _ADDED) for n in new_names - old_names]
    for name in sorted(old_names & new_names):
        old_data, new_data = (
            t.children["measurement"].children[name].to_dataset(inherit=False) for t in (stored, obtained)
        )
        found += _compare_datasets(name, old_data, new_data, exactly)
    return found


def _compare_verdicts(stored: xr.DataTree, obtained: xr.DataTree, exactly: bool) -> list[Difference]:
    old, new = (t.children["verdict"].to_dataset(inherit=False) for t in (stored, obtained))
    found: list[Difference] = []
    if old.attrs["outcome"] != new.attrs["outcome"]:
        found.append(
            Difference(
                "verdict",
                f"was {old.attrs['outcome']}, is {new.attrs['outcome']}"
                f"\n      was: {old.attrs.get('sentence')}\n      is:  {new.attrs.get('sentence')}",
            )
        )
    names = [[str(n) for n in d["effect"].values] for d in (old, new)]
    if names[0] != names[1]:
        return [*found, Difference("verdict.effect", f"was {names[0]}, is {names[1]}")]
    errors = [
        np.array([quantile(int(n)) * s if s else 0.0 for n, s in zip(d["n_seeds"], d["stderr"], strict=True)])
        for d in (old, new)
    ]
    none = np.zeros(len(names[0]))
    accuracy = old["accuracy"].values + np.minimum(old["accuracy"].values, new["accuracy"].values)
    allowed = none if exactly else accuracy + np.hypot(*errors)
    found += _compare_arrays("verdict.value", old["value"], new["value"], allowed, "both runs")
    for name in ("threshold", "stderr", "accuracy", "n_seeds") if exactly else ("threshold",):
        found += _compare_arrays(f"verdict.{name}", old[name], new[name], none, "")
    return found


def _compare_datasets(group: str, old: xr.Dataset, new: xr.Dataset, exactly: bool) -> list[Difference]:
    found: list[Difference] = []
    for name in sorted(map(str, old.variables.keys() | new.variables.keys())):
        what = f"{group}.{name}"
        if name not in new.variables or name not in old.variables:
            found.append(Difference(what, _LOST if name in old.variables else _ADDED))
            continue
        if name == "seed" and not exactly:
            continue  # other seeds are another sample of the same thing
        if name.endswith("_stderr") and not exactly:
            continue  # an estimated error is what the tolerance is made of
        a, b = old[name], new[name]
        if exactly:
            accuracy, how = np.zeros(()), "rounding"
        else:
            a, error_a, n_a = _mean_and_error(old, name)
            b, error_b, n_b = _mean_and_error(new, name)
            accuracy, how = _accuracy(old, new, name)
            if error_a is not None and error_b is not None and error_a.shape == error_b.shape:
                accuracy = accuracy + np.hypot(quantile(n_a) * error_a, quantile(n_b) * error_b)
                how = f"{quantile(min(n_a, n_b)):.3g} s.e. of both runs" + (f", {how}" if how else "")
            elif error_a is not None or error_b is not None:
                how = f"{how}, one seed has no standard error" if how else "one seed has no standard error"
        found += _compare_arrays(what, a, b, accuracy, how or "rounding: no accuracy was stated")
    return found


def _mean_and_error(dataset: xr.Dataset, name: str) -> tuple[xr.DataArray, Floats | None, int]:
    """The variable, its standard error if it states one, and the number of seeds (0: error known)."""
    array = dataset[name]
    if "seed" in array.dims and array.dtype.kind in "fiu":
        n = array.sizes["seed"]
        mean = array.mean("seed", keep_attrs=True, skipna=False)
        if n < 2:
            return mean, None, n
        values = np.asarray(array.transpose("seed", ...).values, dtype=np.float64)
        with np.errstate(invalid="ignore"):
            error = values.std(axis=0, ddof=1) / math.sqrt(n)
        # The spread of infinite values is not a number; equal ones have none.
        equal = (values == values[0]).all(axis=0)
        return mean, np.where(equal, 0.0, np.where(np.isnan(error), 0.0, error)), n
    if f"{name}_stderr" in dataset:
        return array, np.asarray(dataset[f"{name}_stderr"].values, dtype=np.float64), 0
    return array, None, 0


def _accuracy(old: xr.Dataset, new: xr.Dataset, name: str) -> tuple[Floats, str]:
    """Numerical accuracy of both runs together, and where it comes from.

    A run may not widen its own tolerance: it counts for no more than what was recorded.
    """

    def stated(dataset: xr.Dataset, key: str) -> float:
        own = dataset[name].attrs.get(key)
        if own is None and name in dataset.data_vars:
            own = dataset.attrs.get(key)
        return float(own) if own is not None else 0.0

    total = np.zeros(())
    for key in ("accuracy", "accuracy_relative"):
        a, b = stated(old, key), stated(new, key)
        allowed = a + min(a, b)
        if allowed:
            values = np.abs(np.asarray(old[name].values, dtype=np.float64))
            scale = values if key == "accuracy_relative" else np.ones(())
            finite = np.where(np.isfinite(scale), scale, 0.0)
            if "seed" in old[name].dims and finite.ndim:
                finite = finite.mean(axis=old[name].dims.index("seed"))
            total = total + allowed * finite
    return np.asarray(total), "stated accuracy of both runs" if total.any() else ""


def _compare_arrays(
    what: str, a: xr.DataArray, b: xr.DataArray, allowed: Floats, how: str
) -> list[Difference]:
    if a.dims != b.dims or a.shape != b.shape:
        return [Difference(what, f"has sizes {dict(b.sizes)}; recorded were {dict(a.sizes)}")]
    x, y = np.asarray(a.values), np.asarray(b.values)
    if x.dtype.kind not in "fiub" or y.dtype.kind not in "fiub":
        differ = np.asarray([str(v) for v in x.ravel()]) != np.asarray([str(v) for v in y.ravel()])
        if not differ.any():
            return []
        i = int(np.argmax(differ))
        return [Difference(what, f"was {x.ravel()[i]!s}, is {y.ravel()[i]!s} ({int(differ.sum())} differ)")]
    x, y = x.astype(np.float64), y.astype(np.float64)
    with np.errstate(invalid="ignore"):
        off = np.abs(x - y)
    off = np.where((x == y) | (np.isnan(x) & np.isnan(y)), 0.0, np.where(np.isnan(off), np.inf, off))
    finite = np.abs(x[np.isfinite(x)])
    tolerance = np.broadcast_to(allowed + ROUNDING * finite.max(initial=0.0), off.shape)
    beyond = off > tolerance
    if not beyond.any():
        return []
    at = np.unravel_index(int(np.argmax(np.where(beyond, off, -1.0))), off.shape)
    where = ", ".join(f"{d}={_coordinate(a, str(d), k)}" for d, k in zip(a.dims, at, strict=True))
    text = (
        f"{int(beyond.sum())} of {off.size} values differ, max |diff| = {off[at]:.3g} > {tolerance[at]:.2g}"
        f"{f' at {where}' if where else ''}, was {x[at]:.6g}, is {y[at]:.6g}{f' ({how})' if how else ''}"
    )
    return [Difference(what, text, float(off[at]))]


def _coordinate(array: xr.DataArray, dim: str, index: Any) -> str:
    if dim not in array.coords:
        return str(int(index))
    value = array.coords[dim].values[index]
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)
