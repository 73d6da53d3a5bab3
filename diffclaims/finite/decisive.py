"""Which combination of a U-turn's random numbers decides the class where it ends.

Whether a point returns is decided where both classes are as likely as each other: there a step to either side grows.
Along the line between centroids the exact backward process is linear at that point, so that the end is a weighted
sum of the start and of the noise of each step. The weights are ours. They need not be exact, for any direction of
independent normal numbers has the same law; the nearer, the less an average over points scatters.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from diffclaims.finite.draw import Population

Floats = NDArray[np.float64]


def growth(population: Population, axis: Floats, grid: Floats) -> tuple[Floats, Floats]:
    """How steps act along the line between centroids, halfway between two classes.

    Parameters
    ----------
    population : Population
        Whose exact score is meant.
    axis : ndarray, shape (d,)
        The line, of length one.
    grid : ndarray, shape (S + 1,)
        Decreasing diffusion times.

    Returns
    -------
    factors, noises : ndarray, shape (S,)
        A step takes y to factor times y, and adds a normal number of this standard deviation.
    """
    t, down = grid[:-1], grid[1:]
    signal, upper, lower = np.exp(-2 * t), -np.expm1(-2 * t), -np.expm1(-2 * down)
    between = -np.expm1(-2 * (t - down))
    total = signal * float((population.variances * axis**2).sum(axis=1).mean()) + upper
    half = np.ptp(population.centroids @ axis) / 2
    slope = -1 / total + signal * half**2 / total**2
    from_clean = np.exp(t - down) * between / upper
    factors = np.exp(down - t) * lower / upper + from_clean * (1 + upper * slope)
    return np.asarray(factors), np.sqrt(between * lower / upper)


def direction(start: float, factors: Floats, noises: Floats) -> Floats:
    """Weights of the start and of each step in the end, shape (1 + S,), of length one.

    The start has the standard deviation `start`.
    """
    # Logarithms, for the factors of many steps multiply up.
    tiny = np.finfo(float).tiny
    after = np.concatenate([np.cumsum(np.log(np.maximum(np.abs(factors), tiny))[::-1])[::-1], [0.0]])
    sizes = np.concatenate([[start], noises])
    logs = np.log(np.maximum(sizes, tiny)) + after
    weights = np.exp(logs - logs.max())
    return np.asarray(weights / np.linalg.norm(weights))


def turned(numbers: Floats, weights: Floats) -> Floats:
    """Turn independent normal numbers (..., S) so that the first is what `weights` make of the turned ones.

    A reflection, so that the turned numbers are independent and normal too: where weights are (1, 0, ...) they stay.
    """
    mirror = -weights
    mirror[0] += 1.0
    length = float(mirror @ mirror)
    if length < 1e-30:
        return numbers
    return np.asarray(numbers - (numbers @ mirror)[..., None] * (2 / length * mirror))
