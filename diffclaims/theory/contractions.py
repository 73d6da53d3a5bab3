"""Sums over direction types of products of two points' matrices, in coordinates of Y, for all pairs of points.

Matrix indices come first, then an axis of several problems if there are any: "..." in shapes. In memory matrices of
few coordinates have the pairs of points last, so that whole arrays are added and multiplied; those of many have each
pair's matrix in one place, as linear algebra wants it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffclaims.theory.small import UNROLL, upper_triangle

Complex = NDArray[np.complex128]
Floats = NDArray[np.float64]
#: Which entries of two matrices are multiplied.
Term = tuple[tuple[Any, ...], tuple[Any, ...]]


@dataclass(frozen=True)
class Contractions:
    """Sums over direction types; the arguments are (..., N, J, ., .) and (..., M, J, ., .).

    Attributes
    ----------
    basis : ndarray, shape (r, K, K)
        Symmetric matrices B_r, in which Y has its coordinates; (r, ..., K, K) where each problem has its own.
    elementary : bool
        Whether they are e_i e_j^T + e_j e_i^T, i < j, and e_i e_i^T, in the order of `upper_triangle`: sums over
        the classes then have a few terms each.
    """

    basis: Floats
    elementary: bool

    def between(self, one: Complex, two: Complex) -> Complex:
        """``sum_j Tr B_r A_j B_s A'_j`` of symmetric A and A', shape (r, r, ..., N, M)."""
        if not self.elementary:
            left, right = self._on_basis(one), np.swapaxes(self._on_basis(two), -1, -2)
            return self._first(_all_pairs(*(side.reshape(*side.shape[:-3], -1) for side in (left, right))))
        i, j, half = self._elements
        terms = [((a[:, None], c), (b[:, None], d)) for a, b in ((i, j), (j, i)) for c, d in ((i, j), (j, i))]
        return _sum(one, two, terms, half[:, None] * half)

    def columns(self, one: Complex, two: Complex) -> Complex:
        """``sum_j A_j[:, c] B_r A'_j[:, c]`` for each column c, shape (r, columns, ..., N, M)."""
        if not self.elementary:
            left = np.moveaxis(self._on_basis(one), -2, 1)  # (r, c, ..., N, J, K)
            right = np.moveaxis(two, -1, 0)  # (c, ..., M, J, K)
            return self._first(_dot(*(side.reshape(*side.shape[:-2], -1) for side in (left, right))))
        i, j, half = self._elements
        terms = [((i, slice(None)), (j, slice(None))), ((j, slice(None)), (i, slice(None)))]
        return _sum(one, two, terms, half[:, None])

    def entries(self, one: Complex, two: Complex) -> Complex:
        """``sum_j A_j[a, b] A'_j[a, b]``, shape (a, b, ..., N, M)."""
        if not self.elementary:
            left, right = (np.moveaxis(side, (-2, -1), (0, 1)) for side in (one, two))
            return self._first(_dot(left, right))
        return _sum(one, two, [((slice(None), slice(None)),) * 2])

    @property
    def _elements(self) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
        i, j = upper_triangle(self.basis.shape[-1])
        return i, j, np.where(i == j, 0.5, 1.0)

    def _on_basis(self, matrices: Complex) -> Complex:
        """``A_j^T B_r``, shape (r, ..., N, J, columns of A, K)."""
        if self.basis.ndim == 3:
            return np.moveaxis(np.tensordot(matrices, self.basis, (-2, 1)), -2, 0)
        return np.asarray(np.swapaxes(matrices, -1, -2) @ self.basis[..., None, None, :, :])

    def _first(self, array: Complex) -> Complex:
        return array if self.basis.shape[0] <= UNROLL else _gathered(array)


def matmul(left: Complex, right: Complex) -> Complex:
    """Multiply matrices whose indices come first: (a, b, ...), (b, c, ...) -> (a, c, ...)."""
    if left.shape[1] == 1:
        return np.asarray(left * right)
    if left.shape[1] <= UNROLL:
        return np.asarray(np.einsum("ab...,bc...->ac...", left, right))
    a, b = (_of_blas(np.moveaxis(m, (0, 1), (-2, -1))) for m in (left, right))
    return np.asarray(np.moveaxis(a @ b, (-2, -1), (0, 1)))


def _sum(one: Complex, two: Complex, terms: list[Term], factor: Floats | None = None) -> Complex:
    """Sum over direction types and terms of products of two entries, each pair's matrix in one place."""
    parts = []
    for a, b in terms:
        left, right = one[..., *a], two[..., *b]
        if factor is not None:
            left = left * factor
        parts += [(left[..., :, None, t, :, :], right[..., None, :, t, :, :]) for t in range(one.shape[-3])]
    out = np.asarray(parts[0][0] * parts[0][1])
    for left, right in parts[1:]:
        out += left * right
    return np.moveaxis(out, (-2, -1), (0, 1))


def _of_blas(stack: Complex) -> Complex:
    """Copy matrices that linear algebra would otherwise multiply without BLAS."""
    return stack if stack.itemsize in stack.strides[-2:] else np.ascontiguousarray(stack)


def _gathered(array: Complex) -> Complex:
    """The same with each pair's matrix in one place."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, (0, 1), (-2, -1))), (-2, -1), (0, 1))


def _all_pairs(left: Complex, right: Complex) -> Complex:
    """Contract the last axis: (r, ..., N, x), (s, ..., M, x) -> (r, s, ..., N, M), one product a problem."""
    left, right = (np.moveaxis(side, 0, -3) for side in (left, right))
    *several, r, n, size = left.shape
    s, m = right.shape[-3:-1]
    turned = np.swapaxes(right.reshape(*several, s * m, size), -1, -2)
    both = (left.reshape(*several, r * n, size) @ turned).reshape(*several, r, n, s, m)
    return np.moveaxis(both, (-4, -2), (0, 1))


def _dot(left: Complex, right: Complex) -> Complex:
    """Contract the last axis: (..., N, x), (..., M, x) -> (..., N, M)."""
    if left.shape[-1] == 1:
        return np.asarray(left[..., 0][..., :, None] * right[..., 0][..., None, :])
    return np.asarray(left @ np.swapaxes(right, -1, -2))
