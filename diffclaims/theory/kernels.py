"""Averages over two resolvents: the kernels whose sums over pairs of poles are the losses.

Two steps, as in the derivation. Given the random weights, every average of the form
``Tr M' R(z1) M R(z2)`` follows from one linear system for the coordinates of Y12. The data then
enter through K linear equations per pair of points. Both systems are solved for all pairs together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from diffclaims.theory.resolvent import Equations
from diffclaims.theory.small import solve, upper_triangle
from diffclaims.theory.state import State

Complex = NDArray[np.complex128]
Floats = NDArray[np.float64]

#: Target size, in complex numbers, of the largest temporary array (128 MB).
BLOCK = 8e6
#: Rows are cut into up to this many blocks, each of which leaves out the columns before it; each block has at least
#: so many entries, as less does not pay.
TRIANGLE, ENTRIES = 4, 5e4
#: Neuron types that are averaged at once.
CHUNK = 2048
#: Errors above this allow a basis by its Gram matrix, which is faster and loses half of the digits.
GRAM_ABOVE = 3e-7


@dataclass(frozen=True)
class Kernels:
    """Loss kernels of each class on all pairs of points.

    Attributes
    ----------
    test, train : ndarray, shape (K, ..., N, 2N)
        ``k_{S_l} + k_{N_l}`` and its leave-one-out form ``h_l k_{S_l} + k_{N_l}``, at pairs of each
        point with each point, then with each conjugate point.
    """

    test: Complex
    train: Complex


def loss_kernels(equations: Equations, state: State, *, tolerance: float = 1e-11) -> Kernels:
    """Return the loss kernels for every pair of points.

    Parameters
    ----------
    equations : Equations
    state : State
        Solution at N points.
    tolerance : float
        Relative error allowed in compressing the dependence of the resolvent on the neuron type.
    """
    k, r = equations.mixture.n_classes, equations.rank
    several = equations.parameters.psi_p.shape
    n = state.z.size // max(1, *several, 1)
    averages = _Averages.of(equations, state, tolerance)
    both = _Points.of(equations, state)
    test = np.empty((k, *several, n, 2 * n), dtype=complex)
    train = np.empty((k, *several, n, 2 * n), dtype=complex)
    # The largest arrays have (r + K)^2 entries per pair; blocks of rows bound the memory.
    row = (r + k) ** 2 * 2 * n * max(1, *several, 1)
    blocks = int(np.clip(n * row / ENTRIES, 1, TRIANGLE))
    block = int(np.clip(BLOCK / (3 * row), 1, -(-n // blocks)))
    for start in range(0, n, block):
        rows = np.arange(start, min(start + block, n))
        rest = np.arange(start, n)
        columns = np.concatenate([rest, n + rest])
        out = _block(equations, averages, both.take(rows), both.take(columns), rows, columns)
        for full, part in ((test, out.test), (train, out.train)):
            full[..., rows[:, None], columns] = part
            # k(z1, z2) = k(z2, z1), and k(z2, conj z1) = conj k(z1, conj z2).
            straight, crossed = part[..., : rest.size], part[..., rest.size :]
            full[..., rest[:, None], rows] = np.swapaxes(straight, -1, -2)
            full[..., rest[:, None], n + rows] = np.conj(np.swapaxes(crossed, -1, -2))
    return Kernels(test, train)


class _Points(NamedTuple):
    """What the kernels need of points, the axis of several problems first: (..., N, K) and (..., N, J, K, K)."""

    inverse: Complex
    left: Complex
    psi: Complex
    om: Complex

    @classmethod
    def of(cls, eq: Equations, state: State) -> _Points:
        """Return the points, then the conjugate ones."""
        several = eq.parameters.psi_p.shape
        parts = (getattr(state, name) for name in cls._fields)
        parts = (part.reshape(*several, -1, *part.shape[1:]) for part in parts)
        return cls(*(np.concatenate([part, np.conj(part)], axis=len(several)) for part in parts))

    def take(self, index: NDArray[np.intp]) -> _Points:
        """Return some of the points."""
        return _Points(self.inverse[..., index, :], *(part[..., index, :, :, :] for part in self[1:]))


def _block(
    eq: Equations,
    averages: _Averages,
    one: _Points,
    two: _Points,
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
) -> Kernels:
    own, omega = eq.parameters, eq.mixture.fractions
    k, r = eq.mixture.n_classes, eq.rank
    # Numbers of a problem, where arrays end in (N, J) or (N, M).
    e2, noise, psi_n = (x[..., None, None] for x in (own.signal, own.noise, own.psi_n))
    s = np.moveaxis(own.variances, -1, 0)[..., None, :]  # (K, ..., 1, J)
    pi = np.moveaxis(own.weights, -1, 0)[..., None, None]  # (K, ..., 1, 1)
    vector = own.weights[..., None, None, :, None]

    # ---- averages over neuron types of q1 q2 times products of (p, v2, s2)
    g = averages.at(rows, columns)  # (r + 2K, r + K, ..., N, M): rows p, v2, s2; columns p, v2
    gpp, gpv = g[:r, :r], g[:r, r:]
    gvv, gsv = g[r : r + k, r:], g[r + k :, r:]
    gsp = g[r + k :, :r]

    # ---- contractions over direction types and classes
    psi_map = _psi_map(eq, one, two)  # (r, r, ..., N, M): coordinates of Psi1 Y12 Psi2
    # sum_j w_j D_j L1[:,k]^T B_r L2[:,k] with D_j = e2 s_kj (sources S_k) or Delta (sources N_k)
    left_b = np.moveaxis(_on_basis(one.left, eq.basis), -2, 1)  # (r, K, ..., N, J, K)
    left_k = np.moveaxis(two.left, -1, 0)  # (K, ..., M, J, K): column k of L2
    d_signal = _pair(left_b * (e2 * omega * s)[..., None], left_k)
    d_noise = _pair(left_b * (noise * omega)[..., None], left_k)  # (r, K, ..., N, M)
    # the same with pi in place of a unit vector
    left_pi = _on_basis(one.left @ vector, eq.basis)[..., 0, :]  # (r, ..., N, J, K)
    d_pi = _pair(left_pi * omega[:, None], (two.left @ vector)[..., 0])  # (r, ..., N, M)

    # sum_j w_j D'_j Om1[k',k] D_j Om2[k,k']
    om1 = np.moveaxis(one.om, (-2, -1), (0, 1))  # (K', K, ..., N, J)
    om2 = np.moveaxis(two.om, (-2, -1), (1, 0))
    oo_signal = _dot(om1 * (e2 * e2 * omega * s[:, None] * s), om2)
    oo_noise = _dot(om1 * (e2 * noise * omega * s[:, None]), om2)
    pi_om1 = np.moveaxis(np.swapaxes(one.om, -1, -2) @ vector, -2, 0)[..., 0]  # (K, ..., N, J): columns
    om2_pi = np.moveaxis(two.om @ vector, -2, 0)[..., 0]  # (K, ..., M, J)
    pi_signal = _dot(pi_om1 * (e2 * omega * s), om2_pi)  # (K, ..., N, M)
    pi_noise = _dot(pi_om1 * (noise * omega), om2_pi)

    # ---- Y12 for the 2K sources S_1 .. S_K, N_1 .. N_K
    d_source = np.concatenate([d_signal, d_noise], axis=1)  # (r, 2K, N, M)
    h_source = np.concatenate([gpv, np.swapaxes(gsp, 0, 1)], axis=1)
    y12 = solve(_identity_minus(gpp, psi_map), h_source + _matmul(gpp, d_source))

    # q12 = q1 q2 [m - a^T Phi12 a] needs -Phi12 in coordinates
    minus_phi = d_source + _matmul(psi_map, y12)
    gv_source = np.concatenate([np.swapaxes(gvv, 0, 1), np.swapaxes(gsv, 0, 1)], axis=1)  # (K, 2K, N, M)
    chi0 = _matmul(np.swapaxes(d_signal, 0, 1), y12)
    chi0 += np.concatenate([oo_signal, oo_noise], axis=1)
    chi0 += gv_source + _matmul(np.swapaxes(gpv, 0, 1), minus_phi)
    chi0 /= psi_n
    k0 = _matmul(d_pi[None], y12)[0] + np.concatenate([pi_signal, pi_noise])  # (2K, N, M)

    # ---- the data: one adjoint solve per pair serves every source
    # (K, ..., N, M)
    h = np.moveaxis(one.inverse, -1, 0)[..., :, None] * np.moveaxis(two.inverse, -1, 0)[..., None, :]
    share = pi * h
    system = -(share[:, None] * np.swapaxes(chi0[:, :k], 0, 1))  # transpose of the coefficient matrix
    idx = np.arange(k)
    system[idx, idx] += 1.0
    adjoint = solve(system, (share * k0[:k])[:, None])[:, 0]
    full = k0 + np.einsum("k...,kx...->x...", adjoint, chi0)
    signal, rest = full[:k], full[k:]
    return Kernels(signal + rest, h * signal + rest)


@dataclass(frozen=True)
class _Averages:
    """``psi_p E[q1 q2 f g]`` for f in (p, v2, s2) and g in (p, v2), at any pairs of points.

    As a function of the neuron type the resolvents of all points span a space of few dimensions:
    with an orthonormal basis of it, products are averaged over the types once, not for every pair.

    Attributes
    ----------
    factor : ndarray, shape (..., 2N, R)
        Coordinates of q at the points and their conjugates.
    moments : ndarray, shape (..., n, R, R)
        Averages of two basis functions and one distinct product f g.
    index : ndarray, shape (r + 2K, r + K)
        Which of the n distinct products is f g.
    """

    factor: Complex
    moments: Floats
    index: NDArray[np.intp]

    @classmethod
    def of(cls, eq: Equations, state: State, tolerance: float) -> _Averages:
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
        functions, pairs, index = _products(eq)
        upper = upper_triangle(basis.shape[-2])
        total = np.zeros((*psi_p.shape, pairs.shape[1], upper[0].size))
        most = max(1, *psi_p.shape, 1)
        chunk = int(np.clip(BLOCK / (pairs.shape[1] * most), 64, max(64, CHUNK // most)))
        for start in range(0, types.n_types, chunk):
            part = slice(start, start + chunk)
            f, b = functions[..., part], basis[..., part]
            total += (f[..., pairs[0], :] * f[..., pairs[1], :]) @ np.swapaxes(
                b[..., upper[0], :] * b[..., upper[1], :], -1, -2
            )
        moments = np.empty((*total.shape[:-1], basis.shape[-2], basis.shape[-2]))
        moments[..., upper[0], upper[1]] = total
        moments[..., upper[1], upper[0]] = total
        moments *= psi_p[..., None, None, None]
        return cls(np.concatenate([factor, np.conj(factor)], axis=-2), moments, index)

    def at(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Complex:
        """Return the averages, shape (r + 2K, r + K, ..., N, M)."""
        one, two = (self.factor[..., None, index, :] for index in (rows, columns))
        distinct = (one @ self.moments) @ np.swapaxes(two, -1, -2)
        return np.asarray(np.moveaxis(distinct, -3, 0)[self.index])


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


def _products(eq: Equations) -> tuple[Floats, NDArray[np.intp], NDArray[np.intp]]:
    """Functions of the type, the distinct products of two of them, and where each product is.

    Products of the coordinates of a a^T repeat: a_i a_j times a_k a_l is symmetric in all four.
    """
    types, r = eq.neurons, eq.rank
    k = types.v2.shape[-1]
    functions = np.concatenate([np.swapaxes(x, -1, -2) for x in (eq.p, types.v2, types.s2)], axis=-2)
    names: list[tuple[int, ...]]
    if r > 1 and not eq.compressed:
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
    return functions, np.array(pairs, dtype=np.intp).T, index


def _psi_map(eq: Equations, one: _Points, two: _Points) -> Complex:
    """Map the coordinates of Y12 to those of ``sum_j w_j Psi_j1 Y12 Psi_j2``, shape (r, r, ..., N, M)."""
    left = _on_basis(one.psi * eq.mixture.fractions[:, None, None], eq.basis)
    right = np.swapaxes(_on_basis(two.psi, eq.basis), -1, -2)
    left, right = (x.reshape(*x.shape[:-3], -1) for x in (left, right))
    return _dot(left[:, None], right[None])


def _on_basis(matrices: Complex, basis: Floats) -> Complex:
    """Transposed matrices times those of the basis: (..., a, k), (r, a, b) -> (r, ..., k, b)."""
    if basis.ndim == 3:
        return np.moveaxis(np.tensordot(matrices, basis, (-2, 1)), -2, 0)
    # Each problem has a basis of its own, (r, ..., a, b).
    return np.asarray(np.swapaxes(matrices, -1, -2) @ basis[..., None, None, :, :])


def _dot(left: Complex, right: Complex) -> Complex:
    """Contract the last axis: (..., N, x), (..., M, x) -> (..., N, M)."""
    if left.shape[-1] == 1:
        return np.asarray(left[..., 0][..., :, None] * right[..., 0][..., None, :])
    return np.asarray(left @ np.swapaxes(right, -1, -2))


def _pair(left: Complex, right: Complex) -> Complex:
    """Contract direction types and classes: (..., N, J, K), (..., M, J, K) -> (..., N, M)."""
    return _dot(left.reshape(*left.shape[:-2], -1), right.reshape(*right.shape[:-2], -1))


def _matmul(left: Complex, right: Complex) -> Complex:
    """Multiply matrices whose indices come first: (a, b, ...), (b, c, ...) -> (a, c, ...)."""
    if left.shape[1] == 1:
        return np.asarray(left * right)
    if left.shape[1] <= 4:
        return np.asarray(np.einsum("ab...,bc...->ac...", left, right))
    # Contiguous matrices go to BLAS, strided ones would not.
    a, b = (np.ascontiguousarray(np.moveaxis(m, (0, 1), (-2, -1))) for m in (left, right))
    return np.asarray(np.moveaxis(a @ b, (-2, -1), (0, 1)))


def _identity_minus(left: Complex, right: Complex) -> Complex:
    out = np.negative(_matmul(left, right))
    idx = np.arange(out.shape[0])
    out[idx, idx] += 1.0
    return out
