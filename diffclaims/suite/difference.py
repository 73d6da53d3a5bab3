"""What differs between two results, beyond the errors that both state."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffclaims.api.outcome import quantile
from diffclaims.storage.groups import Group

#: What the same computation gives on another machine, relative to the largest value of a variable.
ROUNDING = 1e-9
_ONLY = ("is recorded, but was not measured", "was measured, but is not recorded")
#: Where the groups of what was measured lie in a file.
MEASURED = "/measurement/"
Floats = NDArray[np.float64]
#: Dimensions and values.
Array = tuple[tuple[str, ...], NDArray[Any]]


@dataclass(frozen=True)
class Difference:
    """One variable that is not what was recorded."""

    what: str
    text: str
    #: Largest absolute difference; infinite where two things cannot be compared.
    size: float = math.inf
    #: What both runs allow there.
    allowed: float = 0.0

    def __str__(self) -> str:
        return f"{self.what}: {self.text}"


def compare(
    stored: Mapping[str, Group],
    obtained: Mapping[str, Group],
    *,
    exactly: bool = False,
    only: tuple[str, str] = _ONLY,
) -> list[Difference]:
    """Return what differs, beyond the tolerance that both runs state.

    Parameters
    ----------
    stored, obtained : mapping of str to Group
        As `to_groups` gives them.
    exactly : bool
        Allow rounding only, to find out whether a file needs to be written again.
    only : tuple of str
        What is said of something that is in `stored` alone, and of what is in `obtained` alone.
    """
    found: list[Difference] = []
    before, now = (g["/config"].attrs for g in (stored, obtained))
    for key in ("experiments", "params"):
        old, new = (json.loads(attrs.get(key, "{}")) for attrs in (before, now))
        found += [
            Difference(f"config.{key}", f"{name} is another one than was recorded")
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
        ]
    if exactly:
        found += [
            Difference(f"config.{key}", "changed")
            for key in ("role", "expect", "note", "command")
            if before.get(key) != now.get(key)
        ]
    found += _compare_verdicts(stored["/verdict"], obtained["/verdict"], exactly)
    old_names, new_names = (
        {path.removeprefix(MEASURED) for path in groups if path.startswith(MEASURED)}
        for groups in (stored, obtained)
    )
    found += [Difference(f"measurement.{n}", only[0]) for n in sorted(old_names - new_names)]
    found += [Difference(f"measurement.{n}", only[1]) for n in sorted(new_names - old_names)]
    for name in sorted(old_names & new_names):
        found += _compare_groups(name, stored[MEASURED + name], obtained[MEASURED + name], exactly, only)
    return found


def _compare_verdicts(old: Group, new: Group, exactly: bool) -> list[Difference]:
    found: list[Difference] = []
    if old.attrs["outcome"] != new.attrs["outcome"]:
        found.append(
            Difference(
                "verdict",
                f"was {old.attrs['outcome']}, is {new.attrs['outcome']}"
                f"\n      was: {old.attrs.get('sentence')}\n      is:  {new.attrs.get('sentence')}",
            )
        )
    names = [[str(n) for n in g.values("effect")] for g in (old, new)]
    if names[0] != names[1]:
        return [*found, Difference("verdict.effect", f"was {names[0]}, is {names[1]}")]
    errors = [
        np.array(
            [
                quantile(int(n)) * s if s else 0.0
                for n, s in zip(g.values("n_seeds"), g.values("stderr"), strict=True)
            ]
        )
        for g in (old, new)
    ]
    none = np.zeros(len(names[0]))
    accuracy = old.values("accuracy") + np.minimum(old.values("accuracy"), new.values("accuracy"))
    allowed = none if exactly else accuracy + np.hypot(*errors)
    dims = ("effect",)
    for name in (
        ("value", "threshold", "stderr", "accuracy", "n_seeds") if exactly else ("value", "threshold")
    ):
        within, how = (allowed, "both runs") if name == "value" else (none, "")
        a, b = ((dims, g.values(name)) for g in (old, new))
        found += _compare_arrays(f"verdict.{name}", a, b, within, how, old)
    return found


def _compare_groups(
    label: str, old: Group, new: Group, exactly: bool, only: tuple[str, str]
) -> list[Difference]:
    found: list[Difference] = []
    for name in sorted(old.variables.keys() | new.variables.keys()):
        what = f"{label}.{name}"
        if name not in new.variables or name not in old.variables:
            found.append(Difference(what, only[0] if name in old.variables else only[1]))
            continue
        if name == "seed" and not exactly:
            continue  # other seeds are another sample of the same thing
        if name.endswith("_stderr") and not exactly:
            continue  # an estimated error is what the tolerance is made of
        a, b = (g.variables[name][:2] for g in (old, new))
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
        found += _compare_arrays(what, a, b, accuracy, how or "rounding: no accuracy was stated", old)
    return found


def _mean_and_error(group: Group, name: str) -> tuple[Array, Floats | None, int]:
    """The variable, its standard error if it states one, and the number of seeds (0: error known)."""
    dims, values, _ = group.variables[name]
    if "seed" in dims and values.dtype.kind in "fiu":
        axis = dims.index("seed")
        values = np.moveaxis(values, axis, 0).astype(np.float64)
        array = (*dims[:axis], *dims[axis + 1 :]), values.mean(axis=0)
        n = len(values)
        if n < 2:
            return array, None, n
        with np.errstate(invalid="ignore"):
            error = values.std(axis=0, ddof=1) / math.sqrt(n)
        # The spread of infinite values is not a number; equal ones have none.
        equal = (values == values[0]).all(axis=0)
        return array, np.where(equal, 0.0, np.where(np.isnan(error), 0.0, error)), n
    if f"{name}_stderr" in group.variables:
        return (dims, values), group.values(f"{name}_stderr").astype(np.float64), 0
    return (dims, values), None, 0


def _accuracy(old: Group, new: Group, name: str) -> tuple[Floats, str]:
    """Numerical accuracy of both runs together, and where it comes from.

    A run may not widen its own tolerance: it counts for no more than what was recorded.
    """

    def stated(group: Group, key: str) -> float:
        own = group.variables[name][2].get(key)
        if own is None and name not in group.coordinates:
            own = group.attrs.get(key)
        return float(own) if own is not None else 0.0

    dims = old.variables[name][0]
    total = np.zeros(())
    for key in ("accuracy", "accuracy_relative"):
        a, b = stated(old, key), stated(new, key)
        allowed = a + min(a, b)
        if allowed:
            values = np.abs(old.values(name).astype(np.float64))
            scale = values if key == "accuracy_relative" else np.ones(())
            finite = np.where(np.isfinite(scale), scale, 0.0)
            if "seed" in dims and finite.ndim:
                finite = finite.mean(axis=dims.index("seed"))
            total = total + allowed * finite
    return np.asarray(total), "stated accuracy of both runs" if total.any() else ""


def _compare_arrays(
    what: str, a: Array, b: Array, allowed: Floats, how: str, group: Group
) -> list[Difference]:
    (dims, x), (other, y) = a, b
    if dims != other or x.shape != y.shape:
        sizes = [dict(zip(d, v.shape, strict=True)) for d, v in ((other, y), a)]
        return [Difference(what, f"has sizes {sizes[0]}; recorded were {sizes[1]}")]
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
    where = ", ".join(f"{d}={_coordinate(group, d, k)}" for d, k in zip(dims, at, strict=True))
    text = (
        f"{int(beyond.sum())} of {off.size} values differ, max |diff| = {off[at]:.3g} > {tolerance[at]:.2g}"
        f"{f' at {where}' if where else ''}, was {x[at]:.6g}, is {y[at]:.6g}{f' ({how})' if how else ''}"
    )
    return [Difference(what, text, float(off[at]), float(tolerance[at]))]


def _coordinate(group: Group, dim: str, index: Any) -> str:
    if dim not in group.variables:
        return str(int(index))
    value = group.values(dim)[index]
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)
