"""From learning curves to the effect sizes that claims are judged by.

An order of two classes is measured by ``ln(tau_later/tau_first)``, at several thresholds so that no
single one decides; exact subjects carry their numerical accuracy, stochastic ones pair the two
classes within each seed. The definitions are ours.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from diffclaims.api.outcome import Effect
from diffclaims.errors import InvalidInput, NotMeasured
from diffclaims.problem.arguments import checked
from diffclaims.times.definitions import STATED, Milestone
from diffclaims.times.log_time import LogTime, log_time, log_times

Floats = NDArray[np.float64]

__all__ = [
    "GENERALIZED_FRACTIONS",
    "MEMORIZED_GAPS",
    "STATED",
    "VOID",
    "LogTime",
    "Milestone",
    "chosen",
    "effect",
    "levels_of",
    "log_time",
    "log_times",
    "order_effects",
    "shown",
]

#: Why an order is undecided that does not exist: two classes of which neither is memorized, say.
VOID = "neither of the two times exists, so that neither comes first: not a matter of accuracy, nor of more seeds"
#: Thresholds on the generalized fraction.
GENERALIZED_FRACTIONS = (0.3, 0.5, 0.7)
#: Thresholds on the memorized gap.
MEMORIZED_GAPS = (0.05, 0.1, 0.2)


def levels_of(curves: xr.Dataset, milestone: Milestone) -> tuple[float | str, ...]:
    """Return the levels at which a milestone of these curves is read off.

    The thresholds of this module; or, where the dataset states times by definitions of its own
    (real data need others than a Gaussian mixture does), the name of the main one.
    """
    variable, dim = STATED[milestone]
    if variable in curves:
        return (str(curves.variables[dim].values[0]),) if dim else ("least loss",)
    thresholds: dict[Milestone, tuple[float | str, ...]] = {
        "gen": GENERALIZED_FRACTIONS,
        "best": ("least loss",),
        "mem": MEMORIZED_GAPS,
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


@checked
def effect(
    name: str, found: LogTime, *, stochastic: bool, threshold: float = 0.0, detail: str = ""
) -> Effect:
    """Return an effect from its values by seed, or from the one value of an exact subject.

    Values that are only known between limits are judged by the limits that speak against the verdict: the lower
    ones can make it hold, the upper ones can make it fail, and neither can do more.
    """
    void = VOID if found.void and found.void == found.low.size else ""
    if found.void and not void:
        some = f"in {found.void} of {found.low.size} seeds neither time exists: ties"
        detail = "; ".join(filter(None, (detail, some)))

    def of(values: Floats) -> Effect:
        if stochastic:
            one = Effect.from_samples(name, values, threshold=threshold, accuracy=found.accuracy)
        else:
            one = Effect(name=name, value=float(values[0]), threshold=threshold, accuracy=found.accuracy)
        return dataclasses.replace(one, detail=detail, undecided=void)

    if not found.low.size:
        raise NotMeasured("the experiments that are compared have no seed in common")
    open_ended = found.low != found.high
    if not open_ended.any():
        return of(found.low)
    which = f"{int(open_ended.sum())} of {open_ended.size} values are bounds" if stochastic else "a bound"
    note = f"{which}, for a time lies beyond what was measured"
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
        n_seeds=open_ended.size if stochastic else 0,
        detail=detail,
        undecided=f"{note}: measure further",
    )


@checked
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
    if len(names) != 2:
        raise InvalidInput.of("names", list(names), "be two", "name the classes that are compared")
    stochastic = "seed" in curves.dims
    effects = []
    levels = {milestone: chosen(levels_of(curves, milestone), which) for milestone in milestones}
    for milestone, found in log_times(curves, levels, (later, first)).items():
        for level, (of_later, of_first) in zip(levels[milestone], found, strict=True):
            ratio = of_later - of_first
            at = f" at {shown(level)}" if milestone != "best" else ""
            name = f"ln tau_{milestone}({names[1]})/tau_{milestone}({names[0]}){at}"
            effects.append(effect(name, ratio, stochastic=stochastic))
    return effects
