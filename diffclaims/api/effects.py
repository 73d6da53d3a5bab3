"""From learning curves to the effect sizes that claims are judged by.

An order of two classes is measured by ``ln(tau_later/tau_first)``, at several thresholds so that no
single one decides; exact subjects carry their numerical accuracy, stochastic ones pair the two
classes within each seed. The definitions are ours.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from diffclaims.api.verdict import Effect
from diffclaims.errors import InvalidInput, NotMeasured
from diffclaims.times import learning as times

Floats = NDArray[np.float64]
Milestone = times.Milestone

#: Thresholds on the generalized fraction.
GENERALIZATION = (0.3, 0.5, 0.7)
#: Thresholds on the memorized gap.
MEMORIZATION = (0.05, 0.1, 0.2)

#: Where a subject states times by its own definitions: variable, and the dimension of definitions,
#: of which the first is the one that claims use.
STATED: dict[Milestone, tuple[str, str]] = {
    "gen": ("tau_gen_by_definition", "gen_definition"),
    "best": ("tau_best_by_loss", ""),
    "mem": ("tau_mem_by_definition", "mem_definition"),
}


def levels_of(curves: xr.Dataset, milestone: Milestone) -> tuple[float | str, ...]:
    """Return the levels at which a milestone of these curves is read off.

    The thresholds of this module; or, where the dataset states times by definitions of its own
    (real data need others than a Gaussian mixture does), the name of the main one.
    """
    variable, dim = STATED[milestone]
    if variable in curves:
        return (str(curves[dim].values[0]),) if dim else ("least loss",)
    thresholds: dict[Milestone, tuple[float | str, ...]] = {
        "gen": GENERALIZATION,
        "best": ("least loss",),
        "mem": MEMORIZATION,
    }
    return thresholds[milestone]


def chosen(levels: Sequence[float | str], which: str) -> tuple[float | str, ...]:
    """Return the levels that are asked for: "all" of them, or the "low", "middle" or "high" one.

    Raises
    ------
    InvalidInput
        For any other word.
    """
    position = {"low": 0, "middle": len(levels) // 2, "high": -1}
    if which != "all" and which not in position:
        raise InvalidInput.of("which", which, f"be one of {['all', *position]}", "choose one of them")
    if which == "all" or len(levels) == 1:
        return tuple(levels)
    return (levels[position[which]],)


def shown(level: float | str) -> str:
    """Return a level as text."""
    return level if isinstance(level, str) else f"{level:g}"


@dataclass(frozen=True, eq=False)
class LogTime:
    """``ln tau`` of one class by seed, or a difference of two: known, or known to lie between two limits.

    A training run that ended before a milestone says that its time is later than the end, no more. A solver
    that covers all of learning says that it is never reached: +inf, exactly.

    Parameters
    ----------
    low, high : ndarray, shape (n_seeds,) or (1,)
        Limits; equal where the value is known. Infinite where there is none on that side.
    accuracy : float
        Numerical accuracy of the values.
    seeds : ndarray of int, shape (n_seeds,), optional
        Which seeds they are, so that values of the same runs are compared.
    """

    low: Floats
    high: Floats
    accuracy: float = 0.0
    seeds: NDArray[np.int64] | None = None

    def __sub__(self, first: LogTime) -> LogTime:
        """``ln(self/first)`` in the seeds that both have; two times that are never reached are a tie, not NaN."""
        a, b = self, first
        if a.seeds is not None and b.seeds is not None and not np.array_equal(a.seeds, b.seeds):
            _, i, j = np.intersect1d(a.seeds, b.seeds, return_indices=True)
            a, b = a._take(i), b._take(j)
        return LogTime(_minus(a.low, b.high), _minus(a.high, b.low), a.accuracy + b.accuracy, a.seeds)

    def __neg__(self) -> LogTime:
        return LogTime(-self.high, -self.low, self.accuracy, self.seeds)

    def _take(self, which: NDArray[np.intp]) -> LogTime:
        assert self.seeds is not None
        return LogTime(self.low[which], self.high[which], self.accuracy, self.seeds[which])


def _minus(a: Floats, b: Floats) -> Floats:
    return np.subtract(a, b, out=np.zeros_like(a), where=~(np.isinf(a) & (a == b)))


def log_time(curves: xr.Dataset, milestone: Milestone, level: float | str, which: int) -> LogTime:
    """Return ``ln tau`` of one class, by seed.

    Parameters
    ----------
    curves : xarray.Dataset
        Kind "curves".
    milestone : {"gen", "best", "mem"}
    level : float or str
        One of `levels_of`: a threshold on the generalized fraction or the memorized gap, or a
        definition that the dataset states.
    which : int
        Position of the class.

    Returns
    -------
    LogTime
        Times that the dataset states are those of training runs: what they do not reach is later than the
        last training time. Thresholds on losses are read off curves that cover all of learning: what
        they do not reach is never reached.
    """
    variable, dim = STATED[milestone]
    seeds = np.asarray(curves["seed"].values) if "seed" in curves.coords else None
    if variable in curves:
        stated = curves[variable].isel({"class": which})
        stated = stated.sel({dim: level}) if dim else stated
        values = np.log(np.atleast_1d(stated.values.astype(np.float64)))
        end = np.log(float(curves["training_time"].values[-1]))
        return LogTime(np.where(np.isposinf(values), end, values), values, seeds=seeds)
    threshold = level if isinstance(level, float) else 0.0
    known, bound = times.log_time(curves, milestone, threshold, which)
    known = np.atleast_1d(known)
    return LogTime(known, known, 0.0 if bound is None else float(np.max(bound)), seeds)


def effect(
    name: str, found: LogTime, *, stochastic: bool, threshold: float = 0.0, detail: str = ""
) -> Effect:
    """Return an effect from its values by seed, or from the one value of an exact subject.

    Values that are only known between limits are judged by the limits that speak against the verdict: the lower
    ones can make it hold, the upper ones can make it fail, and neither can do more.
    """
    if not stochastic:
        value = float(found.low[0])
        return Effect(name=name, value=value, threshold=threshold, accuracy=found.accuracy, detail=detail)

    def of(values: Floats) -> Effect:
        one = Effect.from_samples(name, values, threshold=threshold, accuracy=found.accuracy)
        return dataclasses.replace(one, detail=detail)

    if not found.low.size:
        raise NotMeasured("the experiments that are compared have no seed in common")
    open_ended = found.low != found.high
    if not open_ended.any():
        return of(found.low)
    note = f"{int(open_ended.sum())} of {open_ended.size} values are bounds, for a time lies beyond what was measured"
    for values, side, bound in ((found.low, 1, "at least"), (found.high, -1, "at most")):
        one = of(values)
        if side * one.margin > 0:
            return dataclasses.replace(one, detail="; ".join(filter(None, (detail, bound, note))))
    # The bounds leave both signs open, however many seeds there are.
    return Effect(
        name=name,
        value=threshold,
        threshold=threshold,
        stderr=math.inf,
        accuracy=found.accuracy,
        n_seeds=open_ended.size,
        detail=detail,
        undecided=f"{note}: measure further",
    )


def order_effects(
    curves: xr.Dataset,
    *,
    first: int,
    later: int,
    milestones: Iterable[Milestone] = ("gen", "best", "mem"),
    names: Sequence[str] = ("first", "later"),
    which: str = "all",
) -> list[Effect]:
    """Return ``ln(tau_later/tau_first)`` for each milestone and threshold; above 0 is the stated order.

    Parameters
    ----------
    curves : xarray.Dataset
        Kind "curves", of one experiment with both classes.
    first, later : int
        Positions of the classes in their stated order.
    milestones : iterable of {"gen", "best", "mem"}
    names : sequence of str
        What to call the two classes.
    which : {"all", "low", "middle", "high"}
        Which of a milestone's thresholds.
    """
    stochastic = "seed" in curves.dims
    effects = []
    for milestone in milestones:
        for level in chosen(levels_of(curves, milestone), which):
            ratio = log_time(curves, milestone, level, later) - log_time(curves, milestone, level, first)
            at = f" at {shown(level)}" if milestone != "best" else ""
            name = f"ln tau_{milestone}({names[1]})/tau_{milestone}({names[0]}){at}"
            effects.append(effect(name, ratio, stochastic=stochastic))
    return effects
