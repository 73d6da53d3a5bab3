"""Averages over neuron types that are known, imposed on quasi-random types.

What a neuron sees of one class depends on one normal number, what it sees of two on two: such averages
follow from quadratures over one and two dimensions. Weights of the types that reproduce them leave
the sampling to what depends on three classes or more.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline, make_interp_spline

Floats = NDArray[np.float64]

#: So many types for each average at least.
POINTS_PER_AVERAGE = 6
#: Products of moments are imposed where they are no more than this: many of them cost more than they gain.
MOST_PRODUCTS = 250
#: Late in training the resolvent of a neuron saturates in its response a^2, about from here on.
SATURATION = 1e-2
#: Standard deviations at which lines end; sooner where all moments are below this share of their maxima.
RADIUS, DEAD = 8.0, 1e-10
#: Points per width of the moments, and per standard deviation.
PER_WIDTH, PER_DEVIATION = 3.0, 1.5
#: Knots per width of the table of moments.
KNOTS = 12.0
#: Correlation above which neurons see nearly the same of two classes: their pair is left out.
ALIKE = 0.9998
#: Types whose functions are computed at once, so that they stay in the cache.
CHUNK = 1024
#: Singular values below this, relative to the largest, are rounding.
ROUNDING = 1e-6
#: Each type keeps this share of its weight.
KEPT = 0.1


class Line(NamedTuple):
    """Moments of one class, as a function of what a neuron sees of it."""

    factors: BSpline  # of (n,) points, `_factors` there
    width: float
    deviation: float
    reach: float

    def grid(self, narrowest: float) -> tuple[Floats, Floats]:
        """Points, in standard deviations, and `_factors` there, shape (5, n), close enough for such a density."""
        step = min(self.width / PER_WIDTH, narrowest / PER_DEVIATION)
        count = int(np.ceil(self.reach / step))
        x = np.linspace(-self.reach, self.reach, 2 * count + 1)
        return x / self.deviation, self.factors(x).T


def line(
    moments: Callable[[Floats], Floats], width: float, deviation: float, straight: float = np.inf
) -> Line:
    """Tabulate the moments a, v2 and s2 of one class, as far as they reach.

    Parameters
    ----------
    moments : callable
        Of points, shape (n,), to moments, shape (3, n).
    width : float
        Over which they vary.
    deviation : float
        Standard deviation of what neurons see of the class.
    straight : float
        From here on all moments are 0.
    """
    x = np.linspace(-1.0, 1.0, 161) * min(RADIUS * deviation, straight)
    even = _factors(moments(x))[1:]
    alive = np.flatnonzero((even > DEAD * even.max(axis=1, keepdims=True)).any(axis=0))
    reach = float(np.abs(x[[max(alive[0] - 1, 0), min(alive[-1] + 1, 160)]]).max())
    knots = np.linspace(-reach, reach, int(2 * reach * KNOTS / width) + 20)
    return Line(make_interp_spline(knots, _factors(moments(knots)).T, k=5), width, deviation, reach)


def calibrated(moments: Floats, lines: list[Line], covariance: Floats) -> Floats:
    """Return weights, all about the same, that reproduce the averages that are known.

    Parameters
    ----------
    moments : ndarray, shape (3, K, T)
        a, v2 and s2 of the types.
    lines : list of Line
        One a class.
    covariance : ndarray, shape (K, K)
        Of what neurons see of the classes.

    Returns
    -------
    ndarray, shape (T,)
        Positive, summing to 1. The least change of the weights, as far as every type keeps a tenth of its own.
    """
    k, count = moments.shape[1:]
    tables = {
        (i, j): _of_pair(lines[i], lines[j], covariance[i, j])
        for i, j in combinations(range(k), 2)
        if not _alike(lines[i], lines[j], covariance[i, j])
    }
    pairs = np.array(list(tables), dtype=np.intp).reshape(-1, 2).T
    pair = np.array(list(tables.values())).reshape(-1, 5, 5)
    for products in (True, False):
        one = np.stack([_average(each, products) for each in lines], axis=1)
        two = [pair[:, 0, 0], *([pair[:, 1:, 1:].transpose(1, 2, 0).ravel()] if products else [])]
        exact = np.concatenate([[1.0], one.ravel(), *two])
        if exact.size * POINTS_PER_AVERAGE <= count and (exact.size <= MOST_PRODUCTS or not products):
            break
    else:
        return np.full(count, 1.0 / count)
    squares, mean = np.zeros((exact.size, exact.size)), np.zeros(exact.size)
    for start in range(0, count, CHUNK):
        values = _functions(moments[..., start : start + CHUNK], pairs, products)
        squares += values @ values.T
        mean += values.sum(axis=1)
    size = np.sqrt(np.diag(squares) / count) + 1e-300
    strength, vectors = np.linalg.eigh(squares / count / size / size[:, None])
    vectors = vectors[:, strength > ROUNDING**2 * strength[-1]]
    strength = strength[-vectors.shape[1] :]
    slope = vectors @ ((vectors.T @ ((exact - mean / count) / size)) / strength) / size
    change = np.concatenate(
        [
            slope @ _functions(moments[..., start : start + CHUNK], pairs, products)
            for start in range(0, count, CHUNK)
        ]
    )
    weight = 1 + min(1.0, (1 - KEPT) / max(-change.min(), 1e-300)) * change
    return np.asarray(weight / weight.sum())


def _factors(moments: Floats) -> Floats:
    """What products are made of: a, a^2, v2, s2 and a saturated a^2, shape (5, ...)."""
    a, v2, s2 = moments
    return np.stack([a, a**2, v2, s2, a**2 / (a**2 + SATURATION)])


def _of_one(factors: Floats, products: bool) -> Floats:
    """Functions of one class, shape (3 or 14, ...)."""
    i, j = np.triu_indices(4)
    return np.concatenate([factors[1:], factors[1:][i] * factors[1:][j]]) if products else factors[1:4]


def _functions(moments: Floats, pairs: NDArray[np.intp], products: bool) -> Floats:
    """Functions of the types whose averages are known, shape (n, T)."""
    factors = _factors(moments)
    one, two = factors[:, pairs[0]], factors[:, pairs[1]]
    parts = [np.ones((1, 1, factors.shape[-1])), _of_one(factors, products), (one[0] * two[0])[None]]
    if products:
        parts.append(one[1:, None] * two[None, 1:])
    return np.concatenate([part.reshape(-1, factors.shape[-1]) for part in parts])


def _average(one: Line, products: bool) -> Floats:
    x, factors = one.grid(one.deviation)
    return np.asarray(_of_one(factors, products) @ np.exp(-(x**2) / 2) * (x[1] - x[0]) / np.sqrt(2 * np.pi))


def _alike(one: Line, two: Line, covariance: float) -> bool:
    return bool(covariance**2 >= ALIKE**2 * (one.deviation * two.deviation) ** 2)


def _of_pair(one: Line, two: Line, covariance: float) -> Floats:
    """Averages of products of one factor of each class, shape (5, 5)."""
    correlation = covariance / (one.deviation * two.deviation)
    left = 1.0 - correlation**2
    (x, f), (y, g) = (each.grid(each.deviation * np.sqrt(left)) for each in (one, two))
    exponent = (x[:, None] ** 2 - 2 * correlation * x[:, None] * y + y**2) / (2 * left)
    area = (x[1] - x[0]) * (y[1] - y[0])
    return np.asarray(f @ np.exp(-exponent) @ g.T * area / (2 * np.pi * np.sqrt(left)))
