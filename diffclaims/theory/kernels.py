"""Averages over two resolvents: the kernels whose double contour integrals are the losses.

Two steps, as in the derivation. Given the random weights, every average of the form
``Tr M' R(z1) M R(z2)`` follows from one linear system for the coordinates of Y12. The data then
enter through K linear equations per pair of points. Both systems are solved for all pairs together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffclaims.theory.resolvent import Equations, State
from diffclaims.theory.small import solve

Complex = NDArray[np.complex128]

#: Target size, in complex numbers, of the largest temporary array (256 MB).
BLOCK = 1.6e7


@dataclass(frozen=True)
class Kernels:
    """Loss kernels of each class on all pairs of points.

    Attributes
    ----------
    test, train : ndarray, shape (K, N, M)
        ``k_{S_l} + k_{N_l}`` and its leave-one-out form ``h_l k_{S_l} + k_{N_l}``.
    """

    test: Complex
    train: Complex


def loss_kernels(equations: Equations, rows: State, columns: State) -> Kernels:
    """Return the loss kernels for every pair of a row point and a column point.

    Parameters
    ----------
    equations : Equations
    rows, columns : State
        Solutions at N and M points.
    """
    k, r = equations.mixture.n_classes, equations.rank
    n, m = rows.z.size, columns.z.size
    test = np.empty((k, n, m), dtype=complex)
    train = np.empty((k, n, m), dtype=complex)
    # The largest arrays have (r + K)^2 entries per pair; blocks of rows bound the memory.
    block = int(np.clip(BLOCK / (3 * (r + k) ** 2 * m), 1, n))
    for start in range(0, n, block):
        part = np.arange(start, min(start + block, n))
        out = _block(equations, rows.take(part), columns)
        test[:, part], train[:, part] = out.test, out.train
    return Kernels(test, train)


def _block(eq: Equations, one: State, two: State) -> Kernels:
    mixture, model = eq.mixture, eq.model
    k, r = mixture.n_classes, eq.rank
    e2, noise, psi_n = model.signal, model.noise, model.psi_n
    pi, omega = mixture.weights, mixture.fractions

    # ---- averages over neuron types of q1 q2 times products of (p, v2, s2)
    g = _neuron_averages(eq, one, two)  # (r + 2K, r + K, N, M): rows p, v2, s2; columns p, v2
    gpp, gpv = g[:r, :r], g[:r, r:]
    gvv, gsv = g[r : r + k, r:], g[r + k :, r:]
    gsp = g[r + k :, :r]

    # ---- contractions over direction types and classes
    psi_map = _psi_map(eq, one, two)  # (r, r, N, M): coordinates of Psi1 Y12 Psi2
    # sum_j w_j D_j L1[:,k]^T B_r L2[:,k] with D_j = e2 s_kj (sources S_k) or Delta (sources N_k)
    left_b = np.einsum("njak,rab->rknjb", one.left, eq.basis, optimize=True)
    left_k = np.moveaxis(two.left, -1, 0)  # (K, M, J, K): column k of L2
    d_signal = _pair(left_b * (e2 * omega[:, None] * mixture.variances[:, None, :, None]).reshape(
        1, k, 1, mixture.n_types, 1), left_k)  # fmt: skip
    d_noise = _pair(left_b * (noise * omega[:, None]), left_k)  # (r, K, N, M)
    # the same with pi in place of a unit vector
    left_pi = np.einsum("njak,k,rab->rnjb", one.left, pi, eq.basis, optimize=True)
    d_pi = _pair(left_pi * omega[:, None], two.left @ pi)  # (r, N, M)

    # sum_j w_j D'_j Om1[k',k] D_j Om2[k,k']
    om1 = np.moveaxis(one.om, (2, 3), (0, 1))  # (K', K, N, J)
    om2 = np.moveaxis(two.om, (2, 3), (1, 0))
    s = mixture.variances
    oo_signal = _dot(om1 * (e2 * e2 * omega * s[:, None, None] * s[None, :, None]), om2)
    oo_noise = _dot(om1 * (e2 * noise * omega * s[:, None, None]), om2)
    pi_om1 = np.moveaxis(one.om, 3, 0)  # (K, N, J, K'): columns
    pi_om1 = pi_om1 @ pi
    om2_pi = np.moveaxis(two.om @ pi, 2, 0)  # (K, M, J)
    pi_signal = _dot(pi_om1 * (e2 * omega * s[:, None]), om2_pi)  # (K, N, M)
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
    h = one.inverse.T[:, :, None] * two.inverse.T[:, None, :]  # (K, N, M)
    share = pi[:, None, None] * h
    system = -(share[:, None] * np.swapaxes(chi0[:, :k], 0, 1))  # transpose of the coefficient matrix
    idx = np.arange(k)
    system[idx, idx] += 1.0
    adjoint = solve(system, (share * k0[:k])[:, None])[:, 0]
    full = k0 + np.einsum("knm,kxnm->xnm", adjoint, chi0)
    signal, rest = full[:k], full[k:]
    return Kernels(signal + rest, h * signal + rest)


def _neuron_averages(eq: Equations, one: State, two: State) -> Complex:
    """``psi_p E[q1 q2 f g]`` for f in (p, v2, s2) and g in (p, v2), shape (r + 2K, r + K, N, M)."""
    neurons = eq.neurons
    f = np.concatenate([eq.p, neurons.v2, neurons.s2], axis=1)
    size, k = eq.rank, neurons.v2.shape[1]
    columns = size + k
    n, m = one.z.size, two.z.size
    out = np.empty((size + 2 * k, columns, n, m), dtype=complex)
    q1 = one.q * (eq.model.psi_p * neurons.weight)
    q2 = two.q.T
    if neurons.n_types == 1:
        out[...] = np.multiply.outer(np.multiply.outer(f[0], f[0, :columns]), q1 @ q2)
        return out
    chunk = max(1, int(BLOCK / 4 / q1.size))
    pairs = [(i, j) for i in range(size + 2 * k) for j in range(min(i, columns - 1) + 1)]
    for start in range(0, len(pairs), chunk):
        i, j = np.array(pairs[start : start + chunk]).T
        products = (f[:, i] * f[:, j]).T  # (pairs, T)
        value = (q1 * products[:, None]) @ q2
        out[i, j] = value
        both = i < columns
        out[j[both], i[both]] = value[both]
    return out


def _psi_map(eq: Equations, one: State, two: State) -> Complex:
    """Map the coordinates of Y12 to those of ``sum_j w_j Psi_j1 Y12 Psi_j2``, shape (r, r, N, M)."""
    b, omega = eq.basis, eq.mixture.fractions
    n, m = one.z.size, two.z.size
    r, k, j = eq.rank, eq.mixture.n_classes, eq.mixture.n_types
    left = np.einsum("njab,rad->rnjbd", one.psi * omega[:, None, None], b, optimize=True)
    right = np.einsum("sbc,mjcd->smjbd", b, two.psi, optimize=True)
    left = left.reshape(r, 1, n, j * k * k)
    right = right.reshape(1, r, m, j * k * k)
    return _dot(left, right)


def _dot(left: Complex, right: Complex) -> Complex:
    """Contract the last axis: (..., N, x), (..., M, x) -> (..., N, M)."""
    if left.shape[-1] == 1:
        return np.asarray(left[..., 0][..., :, None] * right[..., 0][..., None, :])
    return np.asarray(left @ np.swapaxes(right, -1, -2))


def _pair(left: Complex, right: Complex) -> Complex:
    """Contract direction types and classes: (..., N, J, K), (..., M, J, K) -> (..., N, M)."""
    return _dot(left.reshape(*left.shape[:-2], -1), right.reshape(*right.shape[:-2], -1))


def _matmul(left: Complex, right: Complex) -> Complex:
    """Multiply matrices whose indices come first: (a, b, N, M), (b, c, N, M) -> (a, c, N, M)."""
    if left.shape[1] == 1:
        return np.asarray(left * right)
    if left.shape[1] <= 4:
        return np.asarray(np.einsum("abnm,bcnm->acnm", left, right))
    product = np.moveaxis(left, (0, 1), (-2, -1)) @ np.moveaxis(right, (0, 1), (-2, -1))
    return np.asarray(np.moveaxis(product, (-2, -1), (0, 1)))


def _identity_minus(left: Complex, right: Complex) -> Complex:
    out = -_matmul(left, right)
    idx = np.arange(out.shape[0])
    out[idx, idx] += 1.0
    return out
