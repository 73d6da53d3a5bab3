"""All pairs of many classes, judged together: how many are in an expected order, and how sure that is.

One pair is no evidence of an order of classes, for it may be the most favourable one. Here every pair counts, whether
the classes were trained together or two at a time. Pairs share classes and runs, so that they are no independent
values: classes are drawn with replacement, and each pair of different classes counts as often as the product of how
often its two were drawn; seeds are drawn with replacement as well, the same for all pairs. The percentiles of 10,000
such draws are the limits. With ten classes they are approximate; how often they are wrong where nothing orders the
classes is measured (`diffclaims error-rates`). The construction is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from diffclaims.api.outcome import Effect
from diffclaims.api.pair_cases import balanced, by_weights, lone, pooled, select
from diffclaims.api.pair_draws import Draws, partial
from diffclaims.api.pair_ratios import Floats, Pairs
from diffclaims.errors import InvalidInput
from diffclaims.problem.arguments import checked
from diffclaims.problem.experiment import Experiment
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.validate import numbers
from diffclaims.times.definitions import Milestone

__all__ = [
    "Draws",
    "Estimate",
    "Pairs",
    "balanced",
    "by_weights",
    "effect",
    "lone",
    "order_effects",
    "partial",
    "pooled",
    "select",
]

#: Fewer classes decide nothing: the six pairs of four classes are all alike by chance in one case of 24.
FEWEST_CLASSES = 5
#: As many decide what several orders explain beside each other: of fewer, chance explains everything.
FEWEST_APART = 8
#: Share of draws beyond each limit of an effect. At 1 % the limits of rank correlations of nothing are wrong in up to
#: 2.8 % of cases; at this share the worst of all limits is in 1.0 %, known to within 0.4 and 2.2 %
#: (`diffclaims error-rates --pairs`).
TAIL = 0.002


@dataclass(frozen=True)
class Estimate:
    """A number with limits: what was measured, and percentiles of the draws."""

    value: float
    low: float
    high: float
    stderr: float

    @classmethod
    def of(cls, drawn: Floats, tail: float = 0.025) -> Estimate:
        """Row 0 is what was measured; `tail` is the share of draws beyond each limit."""
        low, high = np.quantile(drawn[1:], [tail, 1 - tail])
        return cls(float(drawn[0]), float(low), float(high), float(drawn[1:].std()))


@checked
def effect(
    name: str, drawn: Floats, pairs: Pairs, threshold: float = 0.0, fewest: int = FEWEST_CLASSES
) -> Effect:
    """Return an effect that is judged by its limits.

    Parameters
    ----------
    name : str
    drawn : ndarray, shape (1 + n,)
        From `Draws`; row 0 is what was measured.
    pairs : Pairs
        What it is of.
    threshold : float
    fewest : int
        Fewer classes decide nothing.
    """
    drawn = numbers("drawn", drawn)
    if drawn.ndim != 1 or len(drawn) < 2:
        raise InvalidInput.of("drawn", drawn, "hold the measured value and draws", "give those of Draws")
    found = Estimate.of(drawn, TAIL)
    n, n_seeds = len(pairs.classes), pairs.ratios.shape[1]
    few = n < fewest
    detail = f"{len(pairs.first)} pairs of {n} classes, {n_seeds} seeds"
    if pairs.n_without_order:
        detail += f", {pairs.n_without_order} pairs without an order"
    undecided = (
        f"{n} classes can be in order by chance; {fewest} can decide"
        if few
        else "more classes would decide it, further seeds hardly"
    )
    return Effect(
        name=name,
        value=found.value,
        threshold=threshold,
        stderr=found.stderr,
        n_seeds=n_seeds,
        detail=detail,
        undecided=undecided,
        interval=(-np.inf, np.inf) if few else (found.low, found.high),
    )


@checked
def order_effects(
    experiments: Mapping[str, Experiment],
    data: Mapping[str, xr.Dataset],
    of_classes: Callable[[GaussianMixture], ArrayLike],
    *,
    milestones: Sequence[Milestone] = ("gen", "best", "mem"),
) -> list[Effect]:
    """Return whether classes with more of a quantity come first: share of pairs above 1/2, rank correlation above 0.

    Parameters
    ----------
    experiments : mapping of str to Experiment
        One of all classes, or one of each pair.
    data : mapping of str to Dataset
        Their learning curves.
    of_classes : callable ``(mixture) -> array, shape (K,)``
        The quantity.
    milestones : sequence of {"gen", "best", "mem"}
    """
    found: list[Effect] = []
    for milestone in milestones:
        pairs = Pairs.of(experiments, data, milestone)
        expected, draws = -pairs.contrast(experiments, of_classes), Draws.of(pairs)
        found.append(
            effect(f"share of pairs in order, tau_{milestone}", draws.share(pairs, expected), pairs, 0.5)
        )
        correlation = draws.rank_correlations(pairs, [expected])[:, 0, 1]
        found.append(effect(f"rank correlation of pairs, tau_{milestone}", correlation, pairs))
    return found
