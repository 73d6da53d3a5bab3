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

from diffclaims.theory.contractions import Contractions, matmul
from diffclaims.theory.products import TypeProducts
from diffclaims.theory.resolvent import Equations
from diffclaims.theory.small import UNROLL, solve
from diffclaims.theory.state import State

Complex = NDArray[np.complex128]
Floats = NDArray[np.float64]

#: Target size, in complex numbers, of the largest temporary array (128 MB).
BLOCK = 8e6
#: Rows are cut into blocks, each of which leaves out the columns before it; each block has at least so many entries,
#: as less does not pay. Where whole arrays are worked on, of few coordinates, more than a few blocks cost calls.
ENTRIES, FEW = 5e4, 4


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
    averages = TypeProducts.of(equations, state, tolerance)
    both = _Points.of(equations, state)
    test = np.empty((k, *several, n, 2 * n), dtype=complex)
    train = np.empty((k, *several, n, 2 * n), dtype=complex)
    # The largest arrays have (r + K)^2 entries per pair; blocks of rows bound the memory.
    row = (r + k) ** 2 * 2 * n * max(1, *several, 1)
    blocks = int(np.clip(n * row / ENTRIES, 1, n if r > UNROLL else FEW))
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
    averages: TypeProducts,
    one: _Points,
    two: _Points,
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
) -> Kernels:
    own, k, r = eq.parameters, eq.mixture.n_classes, eq.rank
    # What has (..., N, J, K, K) is multiplied by these; omega are the weights of direction types.
    e2, noise = (x[..., None, None, None, None] for x in (own.signal, own.noise))
    omega, pi = eq.mixture.fractions[:, None, None], own.weights[..., None, None, :, None]
    s = own.variances[..., None, :, :, None]

    # ---- averages over neuron types of q1 q2 times products of (p, v2, s2), each (., ., ..., N, M)
    gpp, gpv, gvv, gsp, gsv = averages.at(rows, columns)

    # ---- contractions over direction types and classes, in coordinates of Y
    along = Contractions(eq.basis, elementary=r > UNROLL and not eq.compressed)
    psi_map = along.between(one.psi * omega, two.psi)  # coordinates of Psi1 Y12 Psi2
    # sum_j w_j D_j L1[:,k]^T B_r L2[:,k] with D_j = e2 s_kj (sources S_k) or Delta (sources N_k)
    signal = e2 * omega * s  # (..., 1, J, K, 1)
    d_signal = along.columns(one.left * np.swapaxes(signal, -1, -2), two.left)  # (r, K, ..., N, M)
    d_noise = along.columns(one.left * (noise * omega), two.left)
    # the same with pi in place of a unit vector
    d_pi = along.columns(one.left @ pi * omega, two.left @ pi)

    # sum_j w_j D'_j Om1[k',k] D_j Om2[k,k']
    om2 = np.swapaxes(two.om, -1, -2)
    oo_signal = along.entries(one.om * (e2 * s * np.swapaxes(signal, -1, -2)), om2)  # (K', K, ..., N, M)
    oo_noise = along.entries(one.om * (noise * signal), om2)
    pi_om1, om2_pi = np.swapaxes(one.om, -1, -2) @ pi, two.om @ pi
    pi_signal = along.entries(pi_om1 * signal, om2_pi)[:, 0]  # (K, ..., N, M)
    pi_noise = along.entries(pi_om1 * (noise * omega), om2_pi)[:, 0]

    # ---- the averages that the losses need, for the 2K sources S_1 .. S_K, N_1 .. N_K
    # Y12 solves Y12 = h + G (d + Psi1 Y12 Psi2), with h and d of a source. What is asked of it is linear,
    # d_k Y12 + v_k (d + Psi1 Y12 Psi2) for k = 1 .. K and d_pi Y12, so that K + 1 adjoint solves serve all sources.
    d_source = np.concatenate([d_signal, d_noise], axis=1)  # (r, 2K, ..., N, M)
    h_source = np.concatenate([gpv, np.swapaxes(gsp, 0, 1)], axis=1)
    moved = matmul(psi_map, gpp)
    right = np.concatenate([d_signal + matmul(psi_map, gpv), d_pi], axis=1)
    for_h = solve(_identity_minus(moved), right)  # (r, K + 1, ..., N, M)
    for_d = matmul(gpp, for_h)
    for_d[:, :k] += gpv
    asked = matmul(np.swapaxes(for_h, 0, 1), h_source) + matmul(np.swapaxes(for_d, 0, 1), d_source)
    chi0 = asked[:k] + np.concatenate([oo_signal, oo_noise], axis=1)
    chi0 += np.concatenate([np.swapaxes(gvv, 0, 1), np.swapaxes(gsv, 0, 1)], axis=1)
    chi0 /= own.psi_n[..., None, None]
    k0 = asked[k] + np.concatenate([pi_signal, pi_noise])  # (2K, ..., N, M)

    # ---- the data: one adjoint solve per pair serves every source
    # (K, ..., N, M)
    h = np.moveaxis(one.inverse, -1, 0)[..., :, None] * np.moveaxis(two.inverse, -1, 0)[..., None, :]
    share = np.moveaxis(own.weights, -1, 0)[..., None, None] * h
    system = _identity_minus(share[:, None] * np.swapaxes(chi0[:, :k], 0, 1))  # transposed coefficients
    adjoint = solve(system, (share * k0[:k])[:, None])[:, 0]
    full = k0 + np.einsum("k...,kx...->x...", adjoint, chi0)
    return Kernels(full[:k] + full[k:], h * full[:k] + full[k:])


def _identity_minus(matrix: Complex) -> Complex:
    out = np.negative(matrix)
    idx = np.arange(out.shape[0])
    out[idx, idx] += 1.0
    return out
