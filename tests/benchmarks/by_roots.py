"""The spectrum by root finding, as the field computes it: what the solver's times are held against.

Each eigenvalue alone, by `scipy.optimize.root` without derivatives, walking down to the real axis from far above it.
"""

import numpy as np
from scipy.optimize import root

#: Distances from the axis.
HEIGHTS = (*range(100, 0, -1), 0.9, 0.7, 0.5, 0.3, *np.logspace(-1, -9, 9))


def of_one_class(mixture, model, types, eigenvalues):
    """Density of one class without centroids, by its three saddle-point equations (arXiv:2505.17638), shape (N,)."""
    psi_p, psi_n = model.psi_p, model.psi_n
    a2, b2 = model.signal * types.a[0, 0] ** 2, model.noise * types.a[0, 0] ** 2
    v2, s2 = types.v2[0, 0], types.s2[0, 0]

    def mismatch(x, z):
        q, r, s = x[0] + 1j * x[1], x[2] + 1j * x[3], x[4] + 1j * x[5]
        common = 1 + psi_p / psi_n * (a2 * r + v2 * q)
        inner = 1 / (psi_p * b2 + 1 / q + mixture.variances[0] * psi_p * a2 / common)
        gaps = (
            s - inner @ mixture.fractions,
            r - inner @ (mixture.fractions * mixture.variances[0]),
            psi_p * (s2 - z) + psi_p * v2 / common + (1 - psi_p) / q - s / q**2,
        )
        return [part for gap in gaps for part in (gap.real, gap.imag)]

    found = []
    for value in eigenvalues:
        start = -1 / (value + 100j)
        x = walked(mismatch, np.array([start.real, start.imag] * 3), value)
        found.append(abs(x[1]) / np.pi)
    return np.array(found)


def of_classes(mixture, model, types, eigenvalues):
    """Density of any classes, shape (N,): searched are the K x K matrix Y = psi_p E[q a a^T] and K numbers delta."""
    k = mixture.n_classes
    upper = np.triu_indices(k)
    pairs = types.a[:, upper[0]] * types.a[:, upper[1]]
    count = len(upper[0])
    floor = types.s2 @ mixture.weights

    def resolvent(x, z):
        unknown = x[0::2] + 1j * x[1::2]
        y = np.zeros((k, k), dtype=complex)
        y[upper] = unknown[:count]
        y.T[upper] = unknown[:count]
        shrunk = 1 / (1 + unknown[count:])
        sigma = mixture.weights * (model.signal * shrunk * mixture.variances.T + model.noise)  # (J, K)
        left = np.linalg.inv(np.eye(k) + sigma[:, :, None] * y)
        phi = np.einsum("j,jab->ab", mixture.fractions, left * sigma[:, None, :])
        slope = ((types.a @ phi) * types.a).sum(axis=1)
        q = 1 / (floor + types.v2 @ (mixture.weights * shrunk) - z + slope)
        return unknown, y @ left, q

    def mismatch(x, z):
        unknown, om, q = resolvent(x, z)
        weighted = model.psi_p * types.weight * q
        delta = model.signal * np.einsum("j,kj,jkk->k", mixture.fractions, mixture.variances, om)
        new = np.concatenate([weighted @ pairs, (delta + weighted @ types.v2) / model.psi_n])
        gap = new - unknown
        return np.stack([gap.real, gap.imag], axis=1).ravel()

    found = []
    for value in eigenvalues:
        start = -1 / (value + 100j)
        unknown = np.concatenate([start * model.psi_p * (types.weight @ pairs), np.zeros(k)])
        x = walked(mismatch, np.stack([unknown.real, unknown.imag], axis=1).ravel(), value)
        found.append(abs(types.weight @ resolvent(x, value + 1j * HEIGHTS[-1])[2].imag) / np.pi)
    return np.array(found)


def walked(mismatch, x, value):
    """Follow a solution from far above an eigenvalue down to the axis."""
    for height in HEIGHTS:
        x = root(mismatch, x, args=(value + 1j * height,), method="lm").x
    return x
