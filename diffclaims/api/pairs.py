"""All pairs of many classes, judged together: how many are in an expected order, and how sure that is.

One pair is no evidence of an order of classes, for it may be the most favourable one. Here every pair counts, whether
the classes were trained together or two at a time. Pairs share classes and runs, so that they are no independent
values: classes are drawn with replacement, and each pair of different classes counts as often as the product of how
often its two were drawn; seeds are drawn with replacement as well, the same for all pairs. The percentiles of 10,000
such draws are the limits. With ten classes they are approximate; how often they are wrong where nothing orders the
classes is measured (`diffclaims error-rates`). The construction is ours.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from diffclaims.api.effects import levels_of, log_times
from diffclaims.api.outcome import Effect
from diffclaims.api.pair_cases import balanced, by_weights, lone, pooled, select
from diffclaims.errors import InvalidInput, NotMeasured
from diffclaims.problem.arguments import checked
from diffclaims.problem.experiment import Experiment
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.names import by_name
from diffclaims.problem.validate import numbers
from diffclaims.times.definitions import Milestone

Floats = NDArray[np.float64]

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

#: How often classes and seeds are drawn.
N_DRAWS = 10_000
#: Fewer classes decide nothing: the six pairs of four classes are all alike by chance in one case of 24.
FEWEST_CLASSES = 5
#: As many decide what several orders explain beside each other: of fewer, chance explains everything.
FEWEST_APART = 8
#: Share of draws beyond each limit of an effect. At 1 % the limits of rank correlations of nothing are wrong in up to
#: 2.8 % of cases; at this share the worst of all limits is in 1.0 %, known to within 0.4 and 2.2 %
#: (`diffclaims error-rates --pairs`).
TAIL = 0.002
#: Added to the diagonal of correlations, so that those of one and the same order can be inverted.
_RIDGE = 1e-6


@dataclass(frozen=True, eq=False)
class Pairs:
    """``ln(tau_first/tau_second)`` of pairs of classes, by seed.

    Attributes
    ----------
    classes : tuple of str
    first, second : ndarray of int, shape (n_pairs,)
        Positions in `classes`.
    ratios : ndarray, shape (n_pairs, n_seeds)
        Infinite where only one of the two was reached, NaN where neither was.
    asked : tuple of (str, int, int)
        For each pair the name of its experiment, and the positions of its classes there.
    seeds : tuple of int
    """

    classes: tuple[str, ...]
    first: NDArray[np.intp]
    second: NDArray[np.intp]
    ratios: Floats
    asked: tuple[tuple[str, int, int], ...]
    seeds: tuple[int, ...] = ()

    @classmethod
    def of(
        cls,
        experiments: Mapping[str, Experiment],
        data: Mapping[str, xr.Dataset],
        milestone: Milestone,
        level: float | str | None = None,
    ) -> Pairs:
        """Read them off learning curves.

        Parameters
        ----------
        experiments : mapping of str to Experiment
            One of all classes, or one of each pair.
        data : mapping of str to Dataset
            Their learning curves, kind "curves", with seeds.
        milestone : {"gen", "best", "mem"}
        level : float or str, optional
            As in `effects.log_time`; the middle one of the curves by default, or their main definition.

        Raises
        ------
        NotMeasured
            When the experiments have no seed in common, or have none.
        """
        missing = sorted(experiments.keys() - data.keys())
        if missing or not experiments:
            raise InvalidInput.of(
                "data",
                list(data),
                f"hold the learning curves of every experiment, and of one at least ({missing} are missing)",
                "measure them, or leave the experiments out",
            )
        asked, rows, names = [], [], []
        curves = {k: by_name(data[k], e.mixture.classes) for k, e in experiments.items()}
        seeds = _common_seeds(curves)
        for name, e in experiments.items():
            one = _of_seeds(curves[name], seeds)
            levels = levels_of(one, milestone)
            chosen = levels[len(levels) // 2] if level is None else level
            # The upper limit: +inf where the run ended before.
            (found,) = log_times(one, {milestone: (chosen,)}, range(e.mixture.n_classes))[milestone]
            times = [time.high for time in found]
            words = [str(c) for c in e.mixture.classes]
            for i, j in itertools.combinations(range(len(words)), 2):
                asked.append((name, i, j))
                names.append((words[i], words[j]))
                with np.errstate(invalid="ignore"):
                    rows.append(times[i] - times[j])
        classes = tuple(dict.fromkeys(itertools.chain.from_iterable(names)))
        first, second = (np.array([classes.index(pair[side]) for pair in names]) for side in (0, 1))
        return cls(classes, first, second, np.array(rows), tuple(asked), tuple(seeds))

    def contrast(
        self, experiments: Mapping[str, Experiment], of_classes: Callable[[GaussianMixture], ArrayLike]
    ) -> Floats:
        """Return how much more of a quantity the first class of each pair has than the second.

        Parameters
        ----------
        experiments : mapping of str to Experiment
            As in `of`.
        of_classes : callable ``(mixture) -> array, shape (K,)``

        Returns
        -------
        ndarray, shape (n_pairs,)
        """
        known = {k: numbers("of_classes(mixture)", of_classes(e.mixture)) for k, e in experiments.items()}
        for k, e in experiments.items():
            if known[k].shape != (e.mixture.n_classes,):
                limit = f"hold one number for each of the {e.mixture.n_classes} classes"
                raise InvalidInput.of("of_classes(mixture)", known[k], limit, "return an array of shape (K,)")
        return np.array([known[name][i] - known[name][j] for name, i, j in self.asked])

    @property
    def values(self) -> Floats:
        """The mean over seeds of each pair, see `Draws.values`."""
        values: Floats = Draws.none(self).values(self)[0]
        return values

    @property
    def n_without_order(self) -> int:
        """How many pairs have none: a seed reached neither class, or seeds contradict each other by infinities."""
        with np.errstate(invalid="ignore"):
            return int(np.isnan(self.ratios.mean(axis=1)).sum())


def _of_seeds(curves: xr.Dataset, seeds: list[int]) -> xr.Dataset:
    """Curves of these seeds; as they are, without a copy, where these are their seeds."""
    return curves if curves.variables["seed"].values.tolist() == seeds else curves.sel(seed=seeds)


def _common_seeds(curves: Mapping[str, xr.Dataset]) -> list[int]:
    if any("seed" not in one.dims for one in curves.values()):
        raise NotMeasured("orders of many classes are judged by seeds, and these curves have none")
    sets = [set(map(int, one["seed"].values)) for one in curves.values()]
    common = sorted(set.intersection(*sets))
    if not common:
        raise NotMeasured(f"the {len(sets)} experiments that are compared have no seed in common")
    return common


@dataclass(frozen=True, eq=False)
class Draws:
    """How often each pair and each seed counts in each resampling; row 0 is what was measured.

    Attributes
    ----------
    pairs : ndarray, shape (1 + n, n_pairs)
    seeds : ndarray, shape (1 + n, n_seeds)
    """

    pairs: Floats
    seeds: Floats

    @classmethod
    def of(cls, pairs: Pairs, n: int = N_DRAWS, seed: int = 0) -> Draws:
        """Draw classes and seeds with replacement.

        Parameters
        ----------
        pairs : Pairs
        n : int
            Number of draws. Those without any pair of different classes are left out.
        seed : int
        """
        first, second = (tuple(side.tolist()) for side in (pairs.first, pairs.second))
        return cls(*_drawn(len(pairs.classes), pairs.ratios.shape[1], first, second, n, seed))

    @classmethod
    def none(cls, pairs: Pairs) -> Draws:
        """Only what was measured."""
        return cls(np.ones((1, len(pairs.first))), np.ones((1, pairs.ratios.shape[1])))

    def values(self, pairs: Pairs) -> Floats:
        """Return the mean over seeds of ``ln(tau_first/tau_second)`` in each draw.

        Returns
        -------
        ndarray, shape (1 + n, n_pairs)
            Infinite where a seed reached only one class; 0, no order, where a seed reached neither, or
            seeds contradict each other by infinities.
        """
        r, weights = pairs.ratios, self.seeds / self.seeds.sum(axis=1, keepdims=True)
        mean: Floats = weights @ np.where(np.isfinite(r), r, 0.0).T
        up, down, unknown = (weights @ kind.T > 0 for kind in (r == np.inf, r == -np.inf, np.isnan(r)))
        mean[up], mean[down] = np.inf, -np.inf
        mean[(up & down) | unknown] = 0.0
        return mean

    def share(self, pairs: Pairs, expected: Floats) -> Floats:
        """Return the share of pairs whose order is the expected one; one of equal times counts a half.

        Parameters
        ----------
        pairs : Pairs
        expected : ndarray, shape (n_pairs,)
            What stands for ``ln(tau_first/tau_second)``: below 0 the first class is expected first.
        """
        agree = (1 + np.sign(self.values(pairs)) * np.sign(expected)) / 2
        share: Floats = (self.pairs * agree).sum(axis=1) / self.pairs.sum(axis=1)
        return share

    def rank_correlations(self, pairs: Pairs, expected: Sequence[Floats]) -> Floats:
        """Return Spearman's correlations of measured and expected orders of pairs.

        Each pair enters in both directions, (A, B) and (B, A), so that it does not matter which class is named
        first.

        Parameters
        ----------
        pairs : Pairs
        expected : sequence of m ndarrays, shape (n_pairs,)

        Returns
        -------
        ndarray, shape (1 + n, 1 + m, 1 + m)
            The measured one comes first. 0 with what tells no pair from another.
        """
        ranks = np.empty((len(self.pairs), 1 + len(expected), len(pairs.first)))
        for rows, values in self._by_seeds(pairs):
            ranks[rows, 0] = self.pairs[rows] @ _above(values)
        for j, x in enumerate(expected):
            ranks[:, 1 + j] = self.pairs @ _above(x)
        # The other direction of each pair has the opposite rank: it would double every product.
        products = (ranks * self.pairs[:, None]) @ ranks.swapaxes(1, 2)
        size = np.sqrt(np.einsum("naa->na", products))
        scale = size[:, :, None] * size[:, None, :]
        correlations: Floats = np.divide(products, scale, out=np.zeros_like(products), where=scale > 0)
        return correlations

    def partial_correlations(self, pairs: Pairs, expected: Sequence[Floats]) -> Floats:
        """Return Spearman's correlation with each expected order, given the other ones.

        Parameters
        ----------
        pairs : Pairs
        expected : sequence of m ndarrays, shape (n_pairs,)

        Returns
        -------
        ndarray, shape (1 + n, m)
            As `partial`. Draws of fewer than m + 2 different classes are left out: they tell m orders from
            each other by chance alone.
        """
        fewest = len(expected) + 2
        told = (self.pairs > 0).sum(axis=1) >= fewest * (fewest - 1) // 2
        told[0] = True
        return partial(Draws(self.pairs[told], self.seeds[told]).rank_correlations(pairs, expected))

    def _by_seeds(self, pairs: Pairs) -> Iterator[tuple[NDArray[np.intp], Floats]]:
        """Rows of draws with the same seeds, and the values of the pairs in them."""
        base = self.seeds.shape[1] + 1.0
        codes = self.seeds @ base ** np.arange(self.seeds.shape[1])
        unique, at, group = np.unique(codes, return_index=True, return_inverse=True)
        values = Draws(self.pairs[at], self.seeds[at]).values(pairs)
        for i in range(len(unique)):
            yield np.flatnonzero(group == i), values[i]


@lru_cache(maxsize=2)
def _drawn(
    n_classes: int, n_seeds: int, first: tuple[int, ...], second: tuple[int, ...], n: int, seed: int
) -> tuple[Floats, Floats]:
    """What `Draws.of` draws; the milestones of one set of pairs are judged by the same draws."""
    rng = np.random.default_rng(seed)
    classes = rng.multinomial(n_classes, np.full(n_classes, 1 / n_classes), size=n).astype(np.float64)
    seeds = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=n).astype(np.float64)
    weights = classes[:, first] * classes[:, second]
    usable = weights.any(axis=1)
    drawn = (
        np.concatenate([np.ones((1, len(first))), weights[usable]]),
        np.concatenate([np.ones((1, n_seeds)), seeds[usable]]),
    )
    for array in drawn:
        array.setflags(write=False)
    return drawn


def _above(x: Floats) -> Floats:
    """What each pair, in both directions, adds to the rank of each, counted from the middle."""
    others = x[:, None], -x[:, None]
    # Comparisons, and no differences: two that are infinite are equal.
    return np.asarray(sum((x > o).astype(np.float64) - (x < o) for o in others) / 2)


@checked
def partial(correlations: Floats) -> Floats:
    """Return the partial correlations of the first variable with each other one, given the rest.

    Parameters
    ----------
    correlations : ndarray, shape (..., 1 + m, 1 + m)

    Returns
    -------
    ndarray, shape (..., m)
        0 for two that are the same: neither tells anything beside the other.
    """
    given = numbers("correlations", correlations)
    if given.ndim < 2 or given.shape[-1] != given.shape[-2]:
        raise InvalidInput.of("correlations", given.shape, "have shape (..., n, n)", "give square matrices")
    # A tie of all pairs leaves a row of zeros, also on the diagonal.
    diagonal = np.einsum("...aa->...a", given)
    whole = given + np.eye(given.shape[-1]) * (1 - diagonal + _RIDGE)[..., None]
    inverse = np.linalg.inv(whole)
    scale = np.sqrt(inverse[..., :1, 0] * np.einsum("...aa->...a", inverse)[..., 1:])
    found: Floats = -inverse[..., 0, 1:] / scale
    return found


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
