"""``ln tau`` of a class by seed: known, or known between two limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from diffclaims.errors import InvalidInput
from diffclaims.problem.arguments import checked
from diffclaims.times import learning
from diffclaims.times.definitions import STATED, Milestone

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LogTime:
    """``ln tau`` of one class by seed, or a difference of two: known, or known to lie between two limits.

    A training run that ended before a milestone says that its time is later than the end, no more; so does a
    curve that still nears the level at its end. One that is flat there says that it is never reached: +inf, exactly.

    Parameters
    ----------
    low, high : ndarray, shape (n_seeds,) or (1,)
        Limits; equal where the value is known. Infinite where there is none on that side.
    accuracy : float
        Numerical accuracy of the values.
    seeds : ndarray of int, shape (n_seeds,), optional
        Which seeds they are, so that values of the same runs are compared.
    void : int
        Of a difference, in how many values neither of the two times exists: ties, and no order.
    """

    low: Floats
    high: Floats
    accuracy: float = 0.0
    seeds: NDArray[np.int64] | None = None
    void: int = 0

    def __sub__(self, first: LogTime) -> LogTime:
        """``ln(self/first)`` in the seeds that both have; two times that are never reached are a tie, not NaN."""
        a, b = self, first
        if a.seeds is not None and b.seeds is not None and not np.array_equal(a.seeds, b.seeds):
            _, i, j = np.intersect1d(a.seeds, b.seeds, return_indices=True)
            a, b = a._take(i), b._take(j)
        void = int((np.isinf(a.low) & (a.low == a.high) & (a.low == b.low) & (b.low == b.high)).sum())
        return LogTime(_minus(a.low, b.high), _minus(a.high, b.low), a.accuracy + b.accuracy, a.seeds, void)

    def __neg__(self) -> LogTime:
        return LogTime(-self.high, -self.low, self.accuracy, self.seeds, self.void)

    def _take(self, which: NDArray[np.intp]) -> LogTime:
        assert self.seeds is not None
        return LogTime(self.low[which], self.high[which], self.accuracy, self.seeds[which])


def _minus(a: Floats, b: Floats) -> Floats:
    return np.subtract(a, b, out=np.zeros_like(a), where=~(np.isinf(a) & (a == b)))


@checked
def log_time(curves: xr.Dataset, milestone: Milestone, level: float | str, which: int) -> LogTime:
    """Return ``ln tau`` of one class, by seed.

    Parameters
    ----------
    curves : xarray.Dataset
        Kind "curves".
    milestone : {"gen", "best", "mem"}
    level : float or str
        A threshold on the generalized fraction or the memorized gap, or a
        definition that the dataset states.
    which : int
        Position of the class.

    Returns
    -------
    LogTime
        Times that the dataset states are those of training runs: what they do not reach is later than the
        last training time. A threshold that the losses do not reach is never reached, unless they still near it at
        their end (`diffclaims.times.learning.beyond_end`): then its time, too, is only later than the last.
    """
    return log_times(curves, {milestone: (level,)}, (which,))[milestone][0][0]


def log_times(
    curves: xr.Dataset, levels: Mapping[Milestone, Sequence[float | str]], which: Sequence[int]
) -> dict[Milestone, list[list[LogTime]]]:
    """Return `log_time` of each milestone at its levels, of each class; all of them take about as long as one."""
    n_classes = curves.sizes.get("class", 0)
    for position in which:
        if "training_time" not in curves.dims or not 0 <= position < n_classes:
            has = dict(curves.sizes)
            raise InvalidInput.of(
                "which", position, f"be the position of a class of curves with sizes {has}", "count from 0"
            )
    seeds = np.asarray(curves.variables["seed"].values) if "seed" in curves.coords else None
    thresholds: dict[Milestone, Sequence[float]] = {
        milestone: [level if isinstance(level, float) else 0.0 for level in some]
        for milestone, some in levels.items()
        if STATED[milestone][0] not in curves
    }
    read = learning.log_times(curves, thresholds, which) if thresholds else {}
    # Few curves have times that are not reached: those are looked at again, and the others are not slowed down.
    unreached = [milestone for milestone, (values, _) in read.items() if np.isposinf(values).any()]
    later = {m: learning.beyond_end(curves, m, thresholds[m], which) for m in unreached}
    return {
        milestone: _known(*read[milestone], later.get(milestone), _last_time(curves), seeds)
        if milestone in read
        else [[_stated(curves, *STATED[milestone], level, one, seeds) for one in which] for level in some]
        for milestone, some in levels.items()
    }


def _known(
    values: Floats,
    bounds: Floats | None,
    later: NDArray[np.bool_] | None,
    end: float,
    seeds: NDArray[np.int64] | None,
) -> list[list[LogTime]]:
    accuracies = np.zeros(values.shape) if bounds is None else bounds
    lows = values if later is None else np.where(np.isposinf(values) & later, end, values)
    return [
        [
            LogTime(np.atleast_1d(low), np.atleast_1d(high), float(np.max(accuracy)), seeds)
            for low, high, accuracy in zip(*row, strict=True)
        ]
        for row in zip(lows, values, accuracies, strict=True)
    ]


def _last_time(curves: xr.Dataset) -> float:
    return float(np.log(float(curves.variables["training_time"].values[-1])))


def _stated(
    curves: xr.Dataset,
    variable: str,
    dim: str,
    level: float | str,
    which: int,
    seeds: NDArray[np.int64] | None,
) -> LogTime:
    # Variables without their coordinates: a reader of one number asks a thousand times.
    at: dict[str, int] = {"class": which}
    if dim:
        at[dim] = curves.variables[dim].values.tolist().index(level)
    stated = curves.variables[variable].isel(at)
    values = np.log(np.atleast_1d(stated.values.astype(np.float64)))
    return LogTime(np.where(np.isposinf(values), _last_time(curves), values), values, seeds=seeds)
