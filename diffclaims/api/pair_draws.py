"""Classes and seeds drawn with replacement, and what pairs of classes say in each draw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from diffclaims.api.pair_ratios import Floats, Pairs, mean_over_seeds
from diffclaims.errors import InvalidInput
from diffclaims.problem.arguments import checked
from diffclaims.problem.validate import numbers

#: How often classes and seeds are drawn.
N_DRAWS = 10_000
#: Added to the diagonal of correlations, so that those of one and the same order can be inverted.
_RIDGE = 1e-6


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
        """Return the mean over seeds of ``ln(tau_first/tau_second)`` in each draw, as `mean_over_seeds`.

        Returns
        -------
        ndarray, shape (1 + n, n_pairs)
        """
        return mean_over_seeds(pairs.ratios, self.seeds)

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
