"""The directions of a a^T that carry most of it over the neurons."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Entries of a a^T above which its strongest directions come from a random projection.
DIRECT = 600


def strongest(p: Floats, weight: Floats, max_rank: int) -> tuple[Floats, Floats]:
    """Return the directions, shape (s, r), that carry most of p over the neurons, and coordinates there.

    The off-diagonal entries of a symmetric matrix count twice, so that the norm is that of matrices.
    """
    root = np.sqrt(weight)[:, None] * p
    if p.shape[1] <= DIRECT:
        vectors = np.linalg.eigh(root.T @ root)[1]
    else:
        # A random projection and one power step find the strongest of thousands of directions.
        draw = np.random.default_rng(0).normal(size=(p.shape[1], max(DIRECT // 2, 2 * max_rank)))
        span = np.linalg.qr(root.T @ (root @ draw))[0]
        small = root @ span
        vectors = span @ np.linalg.eigh(small.T @ small)[1]
    kept = vectors[:, -max_rank:]  # eigh sorts upwards
    return kept.T, p @ kept
