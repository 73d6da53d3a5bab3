"""Scrambled Sobol nets, the same as scipy's; of one or two axes made here.

To import `scipy.stats` takes half a second or more, as twenty learning curves do, and these are all that a run of the
claims would need of it. Scrambled by random lower triangular matrices and a shift (Matousek, J. Complexity 14, 527
(1998)).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

#: Axes whose direction numbers need no table.
OWN_AXES = 2


def scrambled_net(n_axes: int, n_points: int, bits: int, rng: np.random.Generator) -> Integers:
    """Return one net as integers of at most 52 bits, shape (n_points, n_axes).

    Parameters
    ----------
    n_axes, n_points : int
        Points are a power of two.
    bits : int
    rng : numpy.random.Generator
        What scrambles: a child of it, as in `scipy.stats.qmc.Sobol`.
    """
    if n_axes > OWN_AXES:
        from scipy.stats import qmc

        sobol = qmc.Sobol(n_axes, scramble=True, bits=bits, seed=rng)
        return np.asarray(sobol.random(n_points) * 2.0**bits, dtype=np.int64)
    # Bits from the first after the point on; column j of the matrix of an axis is its j-th direction number.
    directions = np.zeros((n_axes, bits, bits), dtype=np.int64)
    column = np.zeros(bits, dtype=np.int64)
    column[0] = 1
    for j in range(bits):
        directions[0, j, j] = 1
        directions[1:, :, j] = column
        # The second axis is Pascal's triangle, modulo two.
        column = (column + np.concatenate([[0], column[:-1]])) % 2
    (child,), word = rng.spawn(1), np.uint32 if bits <= 32 else np.uint64
    shift = child.integers(2, size=(n_axes, bits), dtype=word).astype(np.int64)
    scramble = np.tril(child.integers(2, size=(n_axes, bits, bits), dtype=word).astype(np.int64), -1)
    directions = (scramble + np.eye(bits, dtype=np.int64)) @ directions % 2
    powers = 1 << np.arange(bits, dtype=np.int64)
    numbers = np.einsum("aij,i->ja", directions, powers[::-1])
    # Each point differs from the one before in one direction: a Gray code.
    places = np.arange(1, n_points)
    which = np.log2(places & -places).astype(np.intp)
    steps = np.concatenate([(shift @ powers)[None], numbers[which]])
    return np.asarray(np.bitwise_xor.accumulate(steps, axis=0))
