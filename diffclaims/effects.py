"""From learning curves to the effect sizes that claims are judged by.

An order of two classes is measured by ``ln(tau_later/tau_first)``, at several thresholds so that no
single one decides; exact subjects carry their numerical accuracy, stochastic ones pair the two
classes within each seed. The definitions are ours.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from diffclaims import times
from diffclaims.verdict import Effect

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


def shown(level: float | str) -> str:
    """Return a level as text."""
    return level if isinstance(level, str) else f"{level:g}"


def log_time(
    curves: xr.Dataset, milestone: Milestone, level: float | str, which: int
) -> tuple[Floats, float]:
    """Return ``ln tau`` of one class, by seed, with its numerical accuracy.

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
    values : ndarray, shape (n_seeds,) or (1,)
        +inf where the milestone is not reached.
    accuracy : float
    """
    variable, dim = STATED[milestone]
    if variable in curves:
        stated = curves[variable].isel({"class": which})
        stated = stated.sel({dim: level}) if dim else stated
        return np.log(np.atleast_1d(stated.values.astype(np.float64))), 0.0
    threshold = level if isinstance(level, float) else 0.0
    values, bound = times.log_time(curves, milestone, threshold, which)
    return np.atleast_1d(values), 0.0 if bound is None else float(np.max(bound))


def difference(later: Floats, first: Floats) -> Floats:
    """``later - first``, where two values that are infinite alike are a tie, not NaN."""
    both = np.isinf(later) & (later == first)
    return np.subtract(later, first, out=np.zeros_like(later), where=~both)


def effect(
    name: str, values: Floats, accuracy: float, *, stochastic: bool, threshold: float = 0.0, detail: str = ""
) -> Effect:
    """Return an effect from its values by seed, or from the one value of an exact subject."""
    if stochastic:
        found = Effect.from_samples(name, values, threshold=threshold, accuracy=accuracy)
        return dataclasses.replace(found, detail=detail)
    return Effect(name=name, value=float(values[0]), threshold=threshold, accuracy=accuracy, detail=detail)


def order_effects(
    curves: xr.Dataset,
    *,
    first: int,
    later: int,
    milestones: Iterable[Milestone] = ("gen", "best", "mem"),
    names: Sequence[str] = ("first", "later"),
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
    """
    stochastic = "seed" in curves.dims
    effects = []
    for milestone in milestones:
        for level in levels_of(curves, milestone):
            a, error_a = log_time(curves, milestone, level, first)
            b, error_b = log_time(curves, milestone, level, later)
            at = f" at {shown(level)}" if milestone != "best" else ""
            name = f"ln tau_{milestone}({names[1]})/tau_{milestone}({names[0]}){at}"
            effects.append(effect(name, difference(b, a), error_a + error_b, stochastic=stochastic))
    return effects
