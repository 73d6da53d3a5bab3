"""Small dense algebra on many grid points at once, matrix indices first."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

Complex = NDArray[np.complex128]
#: Complex or real.
Numbers = NDArray[Any]

#: Up to this size a whole-array elimination beats one LAPACK call per grid point.
UNROLL = 4


def solve(matrix: Numbers, right: Numbers) -> Numbers:
    """Solve ``matrix @ x = right`` at every grid point.

    Parameters
    ----------
    matrix : ndarray, shape (n, n, ...)
    right : ndarray, shape (n, m, ...)

    Returns
    -------
    ndarray, shape (n, m, ...)
    """
    n = matrix.shape[0]
    if n == 1:
        return np.asarray(right / matrix[0])
    if n == 2:
        (a, b), (c, d) = matrix
        scale = 1.0 / (a * d - b * c)
        return np.stack([(d * right[0] - b * right[1]) * scale, (a * right[1] - c * right[0]) * scale])
    if n <= UNROLL:
        return _eliminate(matrix, right)
    back = np.linalg.solve(np.moveaxis(matrix, (0, 1), (-2, -1)), np.moveaxis(right, (0, 1), (-2, -1)))
    return np.ascontiguousarray(np.moveaxis(back, (-2, -1), (0, 1)))


def solve_rows(matrix: Numbers, right: Numbers) -> Numbers:
    """The same with the grid first: (N, n, n) and (N, n) -> (N, n)."""
    if matrix.shape[-1] > UNROLL:
        return np.asarray(np.linalg.solve(matrix, right[..., None])[..., 0])
    return solve(matrix.transpose(1, 2, 0), right.T[:, None])[:, 0].T


def inverted(matrix: Numbers) -> Numbers:
    """Invert real or complex matrices whose indices are the last two: (..., n, n). Two by two has a closed form."""
    if matrix.shape[-1] != 2:
        return np.asarray(np.linalg.inv(matrix))
    a, b, c, d = (matrix[..., i, j] for i in (0, 1) for j in (0, 1))
    scale = 1.0 / (a * d - b * c)
    out = np.empty_like(matrix)
    out[..., 0, 0], out[..., 0, 1] = d * scale, -b * scale
    out[..., 1, 0], out[..., 1, 1] = -c * scale, a * scale
    return out


@functools.lru_cache(maxsize=256)
def upper_triangle(n: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of the diagonal and what is above it, as `numpy.triu_indices`; remembered."""
    i, j = np.triu_indices(n)
    i.setflags(write=False)
    j.setflags(write=False)
    return i, j


def _eliminate(matrix: Numbers, right: Numbers) -> Numbers:
    # No pivoting: the matrices here are the identity minus a contraction, or close to it.
    a, b = matrix.copy(), right.copy()
    n = a.shape[0]
    for i in range(n):
        pivot = 1.0 / a[i, i]
        for j in range(i + 1, n):
            factor = a[j, i] * pivot
            a[j, i + 1 :] -= factor * a[i, i + 1 :]
            b[j] -= factor * b[i]
    for i in range(n - 1, -1, -1):
        for j in range(i + 1, n):
            b[i] -= a[i, j] * b[j]
        b[i] /= a[i, i]
    return b
