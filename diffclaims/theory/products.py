"""Averages over neuron types of products of two resolvents and two functions of the type, for pairs of points."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from diffclaims.theory.resolvent import Equations
from diffclaims.theory.small import UNROLL, upper_triangle
from diffclaims.theory.state import State

Complex = NDArray[np.complex128]
Floats = NDArray[np.float64]

#: Entries of the products of types that are averaged at once, so that they stay near the processor.
ENTRIES = 1.5e6
#: Types that are averaged at once, at least and at most.
FEWEST, MOST = 64, 2048
#: Errors above this allow a basis by its Gram matrix, which is faster and loses half of the digits.
GRAM_ABOVE = 3e-7


@dataclass(frozen=True)
class TypeProducts:
    """``psi_p E[q1 q2 f g]`` for f in (p, v2, s2) and g in (p, v2), at any pairs of points.

    As a function of the neuron type the resolvents of all points span a space of few dimensions:
    with an orthonormal basis of it, products are averaged over the types once, not for every pair.

    Attributes
    ----------
    factor : ndarray, shape (..., 2N, R)
        Coordinates of q at the points and their conjugates; of several problems, with an axis for them first.
    moments : ndarray, shape (..., R, R, n)
        Averages of two basis functions and one distinct product f g.
    index : ndarray, shape (r + 2K, r + K)
        Which of the n distinct products is f g.
    """

    factor: Complex
    moments: Floats
    index: NDArray[np.intp]

    @classmethod
    def of(cls, eq: Equations, state: State, tolerance: float) -> TypeProducts:
        """Average over the types, with such a relative error of the resolvent as a function of them."""
        types, psi_p = eq.neurons, eq.parameters.psi_p
        q = state.q.reshape(*psi_p.shape, -1, types.n_types)
        if types.n_types == 1:
            factor, basis = q, np.ones((*psi_p.shape, 1, 1))
        else:
            # Real and imaginary parts together, so that the basis is real.
            n = q.shape[-2]
            rows = np.concatenate([q.real, q.imag], axis=-2)
            rows *= np.sqrt(types.weight)[..., None, :]
            norm2 = np.einsum("...t,...t->...", rows, rows)
            size = np.sqrt(norm2[..., :n] + norm2[..., n:])[..., None]
            rows /= np.concatenate([size, size], axis=-2)
            left, basis = _row_space(rows, tolerance)
            factor = size * (left[..., :n, :] + 1j * left[..., n:, :])
        functions = np.concatenate([np.swapaxes(x, -1, -2) for x in (eq.p, types.v2, types.s2)], axis=-2)
        quartic = eq.rank > 1 and not eq.compressed
        pairs, index = _distinct(eq.rank, types.v2.shape[-1], quartic)
        upper = upper_triangle(basis.shape[-2])
        total = np.zeros((*psi_p.shape, upper[0].size, pairs.shape[1]))
        several = max(1, psi_p.size)
        chunk = max(FEWEST, int(min(ENTRIES / pairs.shape[1], MOST)) // several)
        for start in range(0, types.n_types, chunk):
            part = slice(start, start + chunk)
            f, b = functions[..., part], basis[..., part]
            turned = np.swapaxes(f[..., pairs[0], :] * f[..., pairs[1], :], -1, -2)
            total += (b[..., upper[0], :] * b[..., upper[1], :]) @ turned
        total *= psi_p[..., None, None]
        moments = np.empty((*psi_p.shape, basis.shape[-2], basis.shape[-2], total.shape[-1]))
        moments[..., *upper, :] = moments[..., *upper[::-1], :] = total
        return cls(np.concatenate([factor, np.conj(factor)], axis=-2), moments, index)

    def at(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> list[Complex]:
        """Return the averages of p p, p v2, v2 v2, s2 p and s2 v2 for all pairs, each (., ., ..., N, M)."""
        *several, size, _, count = self.moments.shape
        one, flat = self.factor[..., rows, :], self.moments.reshape(*several, size, -1)
        # Real times real: a complex product would first copy the moments as complex numbers.
        half = one.real @ flat + 1j * (one.imag @ flat)
        two = self.factor[..., None, columns, :]
        distinct = two @ half.reshape(*several, -1, size, count)  # (..., N, M, n)
        k = self.index.shape[0] - self.index.shape[1]
        r = self.index.shape[1] - k
        p, v2, s2 = slice(0, r), slice(r, r + k), slice(r + k, None)
        wanted = [self.index[f, g] for f, g in ((p, p), (p, v2), (v2, v2), (s2, p), (s2, v2))]
        if r > UNROLL:
            return [np.moveaxis(np.take(distinct, each, axis=-1), (-2, -1), (0, 1)) for each in wanted]
        distinct = np.ascontiguousarray(np.moveaxis(distinct, -1, 0))
        return [distinct[each] for each in wanted]


def _row_space(rows: Floats, tolerance: float) -> tuple[Floats, Floats]:
    """Return coordinates, shape (..., n, R), and an orthonormal basis, (..., R, T), of rows to a relative error.

    Of several problems R is the largest; others have rows of zeros.
    """
    if tolerance > GRAM_ABOVE:
        squares, left = np.linalg.eigh(rows @ np.swapaxes(rows, -1, -2))
        keep = squares > tolerance**2 * squares[..., -1:]
        some = slice(-int(keep.sum(axis=-1).max()), None)
        values = np.sqrt(np.where(keep, squares, 0.0))[..., None, some]
        left = left[..., some]
        inverse = np.divide(1.0, values, out=np.zeros_like(values), where=values > 0)
        return left * values, np.swapaxes(left * inverse, -1, -2) @ rows
    orthonormal, triangle = np.linalg.qr(np.swapaxes(rows, -1, -2))
    left, values, right = np.linalg.svd(np.swapaxes(triangle, -1, -2), full_matrices=False)
    values = np.where(values > tolerance * values[..., :1], values, 0.0)
    some = slice(int((values > 0).sum(axis=-1).max()))
    basis = right[..., some, :] @ np.swapaxes(orthonormal, -1, -2)
    return left[..., some] * values[..., None, some], basis * (values[..., some, None] > 0)


@lru_cache(maxsize=32)
def _distinct(r: int, k: int, quartic: bool) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the distinct products of two functions of the type, and which of them each product is.

    Parameters
    ----------
    r, k : int
        Functions are p (r of them), v2 and s2 (k each).
    quartic : bool
        Whether p are the products a_i a_j: of these two repeat, as a_i a_j a_k a_l is symmetric in all four.
    """
    names: list[tuple[int, ...]]
    if quartic:
        names = [(int(i), int(j)) for i, j in zip(*upper_triangle(k), strict=True)]
    else:
        names = [(i + 3 * k,) for i in range(r)]
    names += [(k + i,) for i in range(2 * k)]  # v2, s2: letters of their own
    found: dict[tuple[int, ...], int] = {}
    pairs: list[tuple[int, int]] = []
    index = np.empty((r + 2 * k, r + k), dtype=np.intp)
    for i in range(r + 2 * k):
        for j in range(r + k):
            name = tuple(sorted(names[i] + names[j]))
            if name not in found:
                found[name] = len(pairs)
                pairs.append((i, j))
            index[i, j] = found[name]
    return np.array(pairs, dtype=np.intp).T, index
