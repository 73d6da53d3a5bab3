"""Averages over neuron types of products of two resolvents and two functions of the type, for pairs of points."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from diffclaims.theory.resolvent import Equations, State
from diffclaims.theory.small import UNROLL, upper_triangle

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
    factor : ndarray, shape (2N, R)
        Coordinates of q at the points and their conjugates.
    moments : ndarray, shape (R, R, n)
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
        types = eq.neurons
        if types.n_types == 1:
            factor, basis = state.q, np.ones((1, 1))
        else:
            # Real and imaginary parts together, so that the basis is real.
            n = state.z.size
            rows = np.concatenate([state.q.real, state.q.imag])
            rows *= np.sqrt(types.weight)
            size = np.linalg.norm(rows.reshape(2, n, -1), axis=(0, 2))[:, None]
            rows /= np.concatenate([size, size])
            left, basis = _row_space(rows, tolerance)
            factor = size * (left[:n] + 1j * left[n:])
        functions = np.concatenate([eq.p.T, types.v2.T, types.s2.T])
        quartic = eq.rank > 1 and not eq.compressed
        pairs, index = _distinct(eq.rank, types.v2.shape[1], quartic)
        upper = upper_triangle(basis.shape[0])
        total = np.zeros((upper[0].size, pairs.shape[1]))
        chunk = int(np.clip(ENTRIES / pairs.shape[1], FEWEST, MOST))
        for start in range(0, types.n_types, chunk):
            part = slice(start, start + chunk)
            f, b = functions[:, part], basis[:, part]
            total += (b[upper[0]] * b[upper[1]]) @ (f[pairs[0]] * f[pairs[1]]).T
        moments = np.empty((basis.shape[0], basis.shape[0], total.shape[1]))
        moments[upper] = moments[upper[::-1]] = eq.model.psi_p * total
        return cls(np.concatenate([factor, np.conj(factor)]), moments, index)

    def at(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> list[Complex]:
        """Return the averages of p p, p v2, v2 v2, s2 p and s2 v2 for all pairs, each of shape (., ., N, M)."""
        size, _, count = self.moments.shape
        one, flat = self.factor[rows], self.moments.reshape(size, -1)
        # Real times real: a complex product would first copy the moments as complex numbers.
        half = one.real @ flat + 1j * (one.imag @ flat)
        distinct = self.factor[columns] @ half.reshape(-1, size, count)  # (N, M, n)
        k = self.index.shape[0] - self.index.shape[1]
        r = self.index.shape[1] - k
        p, v2, s2 = slice(0, r), slice(r, r + k), slice(r + k, None)
        wanted = [self.index[f, g] for f, g in ((p, p), (p, v2), (v2, v2), (s2, p), (s2, v2))]
        if r > UNROLL:
            return [np.moveaxis(np.take(distinct, each, axis=-1), (2, 3), (0, 1)) for each in wanted]
        distinct = np.ascontiguousarray(np.moveaxis(distinct, 2, 0))
        return [distinct[each] for each in wanted]


def _row_space(rows: Floats, tolerance: float) -> tuple[Floats, Floats]:
    """Return coordinates, shape (n, R), and an orthonormal basis, (R, T), of rows to a relative error."""
    if tolerance > GRAM_ABOVE:
        squares, left = np.linalg.eigh(rows @ rows.T)
        keep = squares > tolerance**2 * squares[-1]
        values = np.sqrt(squares[keep])
        return left[:, keep] * values, (left[:, keep] / values).T @ rows
    orthonormal, triangle = np.linalg.qr(rows.T)
    left, values, right = np.linalg.svd(triangle.T, full_matrices=False)
    keep = values > tolerance * values[0]
    return left[:, keep] * values[keep], right[keep] @ orthonormal.T


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
