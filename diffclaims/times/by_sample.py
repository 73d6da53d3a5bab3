"""Progress of a class from measurements by sample: over all samples, or over resampled ones.

Samples count by weights that sum to 1, shape (n,), or (n, B) for B resamplings at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def even(n: int) -> Floats:
    """Return the same weight for each of n samples."""
    return np.full(n, 1 / n) if n else np.empty(0)


def drawn(n: int, rng: np.random.Generator) -> Floats:
    """Return weights of n samples drawn from n with replacement, shape (n,), from n integers of the stream."""
    return np.bincount(rng.integers(n, size=n), minlength=n) / n


def resampled(n: int, size: int, rng: np.random.Generator) -> Floats:
    """Return weights of so many resamplings, shape (n, size)."""
    return np.asarray(rng.multinomial(n, even(n), size=size).T / n)


def with_even(n: int, size: int, rng: np.random.Generator) -> Floats:
    """Return even weights and those of resamplings behind them, shape (n, 1 + size)."""
    return np.column_stack([even(n), resampled(n, size, rng)])


def gap(held_out: Floats, train: Floats, w: Floats, v: Floats) -> Floats:
    """Return mean held-out less mean training ln(L/W), shape (T, L, ...).

    Parameters
    ----------
    held_out, train : ndarray, shape (T, L, n), (T, L, m)
    w, v : ndarray, shape (n, ...), (m, ...)
    """
    return np.asarray(held_out @ w - train @ v)


def excess(loss: Floats) -> Floats:
    """Return minus ln of the loss over the least it ever has at the level, shape (T, L, ...): it rises to 0."""
    return np.asarray(-np.log(loss / loss.min(axis=0)))
