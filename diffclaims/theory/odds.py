"""What log-odds of the classes at sampled points add up to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Two classes whose log-odds differ by less are equally likely: rounding, or identical classes.
TIE = 1e-9


def of_many(odds: Floats) -> tuple[Floats, Floats, Floats]:
    """Sums over points, at each time, of the probabilities of a class and of the others, and of its wins.

    Parameters
    ----------
    odds : ndarray, shape (K - 1, n_points, T)
        Log-odds of the other classes to it; they are overwritten.

    Returns
    -------
    own : ndarray, shape (T,)
    others : ndarray, shape (K - 1, T)
    wins : ndarray, shape (T,)
        Where it is the most likely class; classes that are equally likely share.
    """
    top = np.maximum(odds.max(axis=0), 0.0)
    odds -= top
    own = -top
    best = own >= -TIE
    wins = (best / (best + (odds >= -TIE).sum(axis=0))).sum(axis=0)
    np.exp(odds, out=odds)
    np.exp(own, out=own)
    total = own + odds.sum(axis=0)
    odds /= total
    return (own / total).sum(axis=0), odds.sum(axis=1), wins


def of_two(odds: Floats) -> tuple[Floats, Floats, Floats]:
    """As `of_many`, for one other class: one exponential a point."""
    odds = odds[0]
    less = np.abs(odds)
    won = odds.shape[0] - (odds > TIE).sum(axis=0) - (less <= TIE).sum(axis=0) / 2
    np.negative(less, out=less)
    np.exp(less, out=less)
    more = 1.0 + less
    less /= more
    np.divide(1.0, more, out=more)
    lost = odds > 0
    return np.where(lost, less, more).sum(axis=0), np.where(lost, more, less).sum(axis=0)[None], won
