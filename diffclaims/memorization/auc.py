"""The AUC of a value that is lower for training samples than for held-out ones: who is below whom.

All that the package says of an AUC is counted here. Equal values count half.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def placements(train: Floats, held_out: Floats) -> tuple[Floats, Floats]:
    """Return of each training sample the share of held-out ones above it, and the other way round.

    By ranks, without an array of all pairs. The mean of either is the AUC. To first order, that of resampled samples
    is the AUC and what resampling adds to the means of both.

    Parameters
    ----------
    train, held_out : ndarray, shape (..., m), (..., n)

    Returns
    -------
    of_train, of_held_out : ndarray, shape (..., m), (..., n)
    """
    from scipy.stats import rankdata  # times of learned curves are defined beside this, and read without it

    m, n = train.shape[-1], held_out.shape[-1]
    both = rankdata(np.concatenate([train, held_out], axis=-1), axis=-1)
    below_train = both[..., :m] - rankdata(train, axis=-1)
    below_held = both[..., m:] - rankdata(held_out, axis=-1)
    return 1 - below_train / n, below_held / m


def auc(train: Floats, held_out: Floats) -> Floats:
    """Return P(training value < held-out value) over the last axis."""
    return np.asarray(placements(train, held_out)[0].mean(axis=-1))


def below(train: Floats, held_out: Floats) -> Floats:
    """Return 1 where a training value is below a held-out one, 1/2 where they are equal, shape (T, m, n).

    It does not change when samples are resampled: only how often each pair counts does.

    Parameters
    ----------
    train, held_out : ndarray, shape (T, m), (T, n)
    """
    a, b = train[:, :, None], held_out[:, None, :]
    return np.asarray((a < b) + 0.5 * (a == b))


def weighted_auc(pairs: Floats, train_weights: Floats, held_out_weights: Floats) -> Floats:
    """Return the AUC of weighted samples exactly, shape (T,), from all pairs as `below` has them."""
    return np.asarray(train_weights @ (pairs @ held_out_weights).T)
