"""From where U-turns ended to return probabilities, transitions and commitment, with errors over starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def count(classes: NDArray[np.integer], n_classes: int) -> Floats:
    """Count the returns of each start by class.

    Parameters
    ----------
    classes : integer ndarray, shape (..., returns)
        Position of the class of each end; any other number for none.
    n_classes : int

    Returns
    -------
    ndarray, shape (..., K)
    """
    counts = [(classes == k).sum(axis=-1) for k in range(n_classes)]
    return np.stack(counts, axis=-1).astype(np.float64)


def shares(ends: Floats) -> tuple[Floats, Floats]:
    """Return shares of the classes among the returns that have a class, and standard errors over starts.

    Where no return has a class nothing is known: equal shares with an error of one half.

    Parameters
    ----------
    ends : ndarray, shape (L, n, K)
        How many returns of each of n starts, at each of L levels, ended in each class.

    Returns
    -------
    share, stderr : ndarray, shape (L, K)
    """
    n = ends.shape[1]
    accepted = ends.sum(axis=-1, keepdims=True)
    total = accepted.sum(axis=1)
    known = total > 0
    share = np.where(known, ends.sum(axis=1) / np.maximum(total, 1), 1 / ends.shape[-1])
    residual = ends - share[:, None] * accepted
    error = np.sqrt((residual**2).sum(axis=1) * n / max(n - 1, 1)) / np.maximum(total, 1)
    # Starts that all agree do not make a share exact: at least the error of n + 1 out of n + 2.
    floor = np.sqrt((n + 1) / (n + 2) ** 2 / n)
    return share, np.where(known, np.maximum(error, floor), 0.5)


def returned(ends: Sequence[Floats]) -> dict[str, tuple[tuple[str, ...], Any]]:
    """Return the variables of a "speciation" dataset, as dimensions and values.

    Parameters
    ----------
    ends : sequence of K ndarrays, shape (L, n_k, K)
        As in `shares`, of the starts of each class.

    Returns
    -------
    dict
        ``return_probability``, ``transition`` and ``commitment``, the share of starts most of whose returns are
        of their class, each with ``_stderr``.
    """
    by, to = ("class", "diffusion_time"), ("class", "to_class", "diffusion_time")
    found = [shares(e) for e in ends]
    mean, stderr = (np.stack([f[i].T for f in found]) for i in (0, 1))  # (K, to, L)
    committed = [_votes(e)[..., k] for k, e in enumerate(ends)]
    own = np.arange(len(ends))
    spread = [
        c.std(axis=1, ddof=1) / np.sqrt(c.shape[1]) if c.shape[1] > 1 else np.full(len(c), 0.5)
        for c in committed
    ]
    return {
        "commitment": (by, np.stack([c.mean(axis=1) for c in committed])),
        "commitment_stderr": (by, np.stack(spread)),
        "return_probability": (by, mean[own, own]),
        "return_probability_stderr": (by, stderr[own, own]),
        "transition": (to, mean),
        "transition_stderr": (to, stderr),
    }


def _votes(ends: Floats) -> Floats:
    """For each start the class that most of its returns are of, as shares (L, n, K): a tie counts as its share."""
    most = ends.max(axis=-1, keepdims=True)
    top = ends == most
    return np.asarray(np.where(most > 0, top / top.sum(axis=-1, keepdims=True), 0.0))
