"""The averaged resolvent of U at many complex points at once.

Unknowns at each point z are the coordinates ``y`` of the K x K matrix Y = psi_p E[q a a^T] in a basis of
the matrices that a a^T spans over the neuron types, and the K numbers ``delta``. The neuron-resolved
resolvent q(theta) follows from them, so the number of neuron types never enters a solve.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.theory.directions import strongest
from diffclaims.theory.neurons import Neurons
from diffclaims.theory.parameters import Parameters
from diffclaims.theory.small import inverted, solve_rows, upper_triangle
from diffclaims.theory.state import State

Floats = NDArray[np.float64]
Complex = NDArray[np.complex128]
Numbers = NDArray[Any]

#: Only so many neuron types enter the derivative that they have at most this many products of two functions.
DERIVATIVE_PRODUCTS = 4e6
#: Points and types whose resolvents are computed at once, so that they stay in the cache.
CHUNK = 16_000
#: Classes up to which entries of matrices are multiplied one by one, which is faster than matrix products.
FEW = 6


@dataclass(frozen=True)
class Equations:
    """The self-consistent equations of one mixture and model.

    Attributes
    ----------
    mixture, model, neurons
        What they are made from.
    max_rank : int, optional
        Keep only so many directions of a a^T, those that carry most of it over the neurons.
    basis : ndarray, shape (r, K, K)
        Symmetric matrices spanning all a a^T.
    p : ndarray, shape (T, r)
        Coordinates: ``a_t a_t^T = sum_r p[t, r] basis[r]``.
    """

    mixture: GaussianMixture
    model: RandomFeatures
    neurons: Neurons
    max_rank: int | None = None
    basis: Floats = field(init=False)
    p: Floats = field(init=False)

    def __post_init__(self) -> None:
        a = self.neurons.a
        k = a.shape[1]
        if a.shape[0] == 1:
            basis, p = (a[0][:, None] * a[0])[None], np.ones((1, 1))
        else:
            i, j = upper_triangle(k)
            p = a[:, i] * a[:, j]
            if self.compressed:
                vectors, p = strongest(
                    p * np.where(i == j, 1.0, np.sqrt(2.0)), self.neurons.weight, self.max_rank or 1
                )
                vectors = vectors * np.where(i == j, 1.0, np.sqrt(0.5))
            else:
                vectors = np.eye(i.size)
            basis = np.zeros((vectors.shape[0], k, k))
            basis[:, i, j] = vectors
            basis[:, j, i] = vectors
        object.__setattr__(self, "basis", basis)
        object.__setattr__(self, "p", p)

    @property
    def rank(self) -> int:
        """Number of coordinates of Y, r."""
        return int(self.basis.shape[0])

    @property
    def compressed(self) -> bool:
        """Whether directions of a a^T are left out."""
        k, n_types = self.mixture.n_classes, self.neurons.n_types
        return n_types > 1 and self.max_rank is not None and self.max_rank < k * (k + 1) // 2

    @property
    def strided(self) -> bool:
        """Whether the derivative takes some of the types only."""
        return self._stride > 1

    def lowest(self) -> float:
        """Return a number below the whole spectrum of U, >= 0."""
        return float(self._floor.min())

    def highest(self) -> float:
        """Return a number above the whole spectrum of U, its outliers left out."""
        m, n = self.mixture, self.neurons
        e2, noise = self.model.signal, self.model.noise
        wishart = (1 + np.sqrt(self.model.psi_p)) ** 2
        sample = (1 + np.sqrt(self.model.psi_p / self.model.psi_n)) ** 2
        a2 = (n.a**2).max(axis=0)
        one = e2 * a2 * m.variances.max(axis=1) * wishart + n.v2.max(axis=0)
        rest = noise * wishart * (m.weights @ a2) + (n.s2 @ m.weights).max()
        return float(sample * one.max() + rest)

    # ---------------------------------------------------------------- one problem, or several (see `Stack`)

    @cached_property
    def parameters(self) -> Parameters:
        """Numbers of the problem."""
        return Parameters.of(self.mixture, self.model)

    @property
    def at_points(self) -> Parameters:
        """The same for each point where problems differ between points."""
        return self.parameters

    def unfinished(self, bad: NDArray[np.bool_]) -> tuple[NDArray[np.intp], Equations]:
        """Points that are solved further, and their equations."""
        return np.flatnonzero(bad), self

    @cached_property
    def _floor(self) -> Floats:
        """What the resolvent of a type has besides z without its response, shape (..., T)."""
        return np.asarray((self.neurons.s2 @ self.parameters.weights[..., None])[..., 0])

    # ---------------------------------------------------------------- one evaluation

    def state(self, z: Numbers, y: Numbers, delta: Numbers) -> State:
        """Evaluate every function of the unknowns that the equations and their derivatives need."""
        own, fractions = self.at_points, self.mixture.fractions
        k = self.mixture.n_classes
        inverse = 1.0 / (1.0 + delta)
        # diagonal of Sigma~_j, shape (N, J, K)
        sigma = own.signal[..., None, None] * inverse[:, None, :] * own.variances + own.noise[..., None, None]
        sigma *= own.weights[..., None, :]
        left: Numbers
        if self._vector is not None:
            a, total, g = self._scalars(sigma, y)
            om = (y * g)[..., None, None] * (a[..., None, :, None] * a[..., None, None, :])
            left = np.eye(k) - sigma[..., None] * om
            psi = left * sigma[..., None, :]
            phi_r = ((total * g) @ fractions)[:, None]
        else:
            big_y = (y @ self.basis.reshape(self.rank, -1)).reshape(-1, k, k)
            left = inverted(np.eye(k) + sigma[..., None] * big_y[:, None])
            om = big_y[:, None] @ left
            psi = left * sigma[..., None, :]
            phi = np.einsum("j,njab->nab", fractions, psi)
            phi_r = phi.reshape(-1, k * k) @ self.basis.reshape(self.rank, -1).T
        q = self._inverse_zeta(z, np.concatenate([phi_r, inverse * own.weights], axis=1))
        return State(z, y, delta, inverse, sigma, left, psi, om, q)

    @cached_property
    def _vector(self) -> Floats | None:
        """Where Y is a number times a matrix v v^T: v, shape (K,). Inverses are in closed form there."""
        if self.neurons.n_types == 1:
            return np.asarray(self.neurons.a[0])
        return np.ones(1) if self.mixture.n_classes == 1 else None

    def _scalars(self, sigma: Numbers, y: Numbers) -> tuple[Floats, Numbers, Numbers]:
        """v, ``v^T Sigma~_j v`` and ``1/(1 + y v^T Sigma~_j v)``, the last two of shape (N, J)."""
        assert self._vector is not None
        total = (sigma @ self._vector[..., None] ** 2)[..., 0]
        return self._vector, total, 1.0 / (1.0 + y * total)

    def _inverse_zeta(self, z: Numbers, slopes: Numbers) -> Numbers:
        """Resolvent by neuron type, shape (N, T), from what multiplies (p, v2).

        In real arithmetic: numpy would copy (p, v2) as complex numbers, and divides complex numbers slowly.
        """
        *several, size, n_types = self._affine.shape
        factors = np.concatenate([slopes, np.ones((z.size, 1)), -z[:, None]], axis=1).reshape(
            *several, -1, size
        )
        count = factors.shape[-2]
        q = np.empty((*several, count, n_types), dtype=factors.dtype)
        real = not np.iscomplexobj(factors)
        both = factors if real else np.concatenate([factors.real, -factors.imag], axis=-2)
        chunk = max(1, CHUNK // max(1, z.size))
        for start in range(0, n_types, chunk):
            part = slice(start, start + chunk)
            zeta = both @ self._affine[..., part]
            if real:
                np.divide(1.0, zeta, out=q[..., part])
                continue
            above, below = zeta[..., :count, :], zeta[..., count:, :]
            square = above * above
            square += below * below
            np.divide(above, square, out=q.real[..., part])
            np.divide(below, square, out=q.imag[..., part])
        return q.reshape(z.size, n_types)

    @cached_property
    def _affine(self) -> Floats:
        """What the inverse of q is linear in, (p, v2, noise floor, 1), shape (..., r + K + 2, T)."""
        floor = self._floor[..., None, :]
        return np.concatenate([self._cross, floor, np.ones_like(floor)], axis=-2)

    @cached_property
    def _cross(self) -> Floats:
        """What multiplies q in the averages over types: (p, v2), shape (..., r + K, T)."""
        return np.concatenate([np.swapaxes(self.p, -1, -2), np.swapaxes(self.neurons.v2, -1, -2)], axis=-2)

    @cached_property
    def weighted_cross(self) -> Floats:
        """The same with the weights of the types, times psi_p, shape (..., T, r + K)."""
        weight = self.neurons.weight * self.parameters.psi_p[..., None]
        return np.ascontiguousarray(np.swapaxes(self._cross * weight[..., None, :], -1, -2))

    def _by_problem(self, x: Numbers) -> Numbers:
        """Array of all points as one of the points of each problem."""
        return x.reshape(*self.parameters.psi_p.shape, -1, *x.shape[1:])

    def image(self, s: State) -> Numbers:
        """Return the right-hand sides of the equations for y and delta, shape (N, r + K)."""
        own = self.at_points
        out = _by_real(self._by_problem(s.q), self.weighted_cross).reshape(s.z.size, -1)
        shares = self._shares * own.signal[..., None, None]
        out[:, self.rank :] += (shares * np.einsum("njkk->njk", s.om)).sum(axis=1)
        out[:, self.rank :] /= own.psi_n[..., None]
        return out

    @cached_property
    def _shares(self) -> Floats:
        """Variances times the fractions of their directions, shape (..., J, K)."""
        return np.asarray(self.mixture.fractions[:, None] * self.at_points.variances)

    def derivative(self, s: State) -> Numbers:
        """Return the Jacobian of `image`, shape (N, r + K, r + K)."""
        own, r = self.at_points, self.rank
        # How the diagonal of Sigma~_j and zeta move with delta_l.
        square = own.weights * s.inverse**2  # (N, K)
        d_sigma = -own.signal[..., None, None] * square[:, None, :] * own.variances  # (N, J, K)
        d_zeta = -square  # times v2
        phi_y, phi_d, om_y, om_d = (self._moves if self._vector is None else self._scalar_moves)(s, d_sigma)
        if self.neurons.n_types == 1:
            # One type has products of rank 1, which need no matrices.
            cross = self._by_point(self._cross[..., 0])
            slope = np.concatenate(
                [phi_y[:, 0], phi_d[:, 0] + cross[..., r:] / cross[..., :1] * d_zeta], axis=1
            )
            slope *= (-own.psi_p[..., None] * cross[..., :1]) * s.q**2
            jacobian = cross[..., :, None] * slope[:, None, :]
        else:
            g = self._products(s)
            jacobian = np.empty_like(g)
            jacobian[..., :r] = g[..., :r] @ -phi_y
            jacobian[..., r:] = g[..., :r] @ -phi_d
            jacobian[..., r:] -= g[..., r:] * d_zeta[:, None, :]
        jacobian[:, r:, :r] += own.signal[..., None, None] * om_y
        jacobian[:, r:, r:] += own.signal[..., None, None] * om_d
        jacobian[:, r:] /= own.psi_n[..., None, None]
        return np.asarray(jacobian)

    def _scalar_moves(self, s: State, d_sigma: Numbers) -> tuple[Numbers, ...]:
        """How coordinates of Phi, and the diagonal of Om, move with y and delta, where Y is one number."""
        fractions = self.mixture.fractions
        a, total, scale = self._scalars(s.sigma, s.y)
        a2 = (a**2)[..., None, :]
        square = fractions * scale**2  # (N, J)
        d_total = d_sigma * a2  # (N, J, K)
        phi_y = -(total**2 * square).sum(axis=1)[:, None, None]
        phi_d = np.einsum("nj,njl->nl", square, d_total)[:, None]
        spread = np.swapaxes(self.at_points.variances * a2, -1, -2)  # (..., K, J)
        om_y = spread @ square[..., None]
        om_d = -(s.y**2)[..., None] * (spread @ (square[..., None] * d_total))
        return phi_y, phi_d, om_y, om_d

    def _moves(self, s: State, d_sigma: Numbers) -> tuple[Numbers, ...]:
        """The same of a matrix: -Psi B_s Psi, and column k of L times its transpose, and what Om is of them."""
        fractions, r, count = self.mixture.fractions, self.rank, s.z.size
        if self.compressed or self.mixture.n_classes > FEW:
            b = self.basis
            weighted = np.sqrt(fractions)[:, None, None] * s.psi
            right = (b[:, None, None] @ weighted).reshape(r, count, -1)  # B_s Psi, (r, N, J K K)
            other = (np.swapaxes(weighted, -1, -2) @ b[:, None, None]).reshape(r, count, -1)
            # <B_r, Psi B_s Psi> = sum over entries of (Psi^T B_r)(B_s Psi), Psi symmetric
            phi_y = -(np.swapaxes(other, 0, 1) @ np.moveaxis(right, 0, 2))
            left_b = np.swapaxes(s.left, -1, -2) @ (b[:, None, None] @ s.left)
            columns = np.einsum("rnjkk->njrk", left_b)
        else:
            # B_s has two entries, or one: i, j and j, i.
            i, j = upper_triangle(self.mixture.n_classes)
            twice = np.where(i == j, 1.0, 2.0)
            one = s.psi[..., i[:, None], i] * s.psi[..., j[:, None], j]
            one += s.psi[..., i[:, None], j] * s.psi[..., j[:, None], i]
            one *= fractions[:, None, None]
            phi_y = one.sum(axis=1) * (-0.5 * twice[:, None] * twice)
            columns = s.left[..., i, :] * s.left[..., j, :] * twice[:, None]  # (N, J, r, K)
        phi_d = (columns * (fractions[:, None] * d_sigma)[..., None, :]).sum(axis=1)
        om_y = np.swapaxes((columns * self._shares[..., None, :]).sum(axis=1), -1, -2)
        om_d = -(s.om**2 * (self._shares[..., None] * d_sigma[..., None, :])).sum(axis=1)
        return phi_y, phi_d, om_y, om_d

    def _by_point(self, x: Floats) -> Floats:
        """What each problem has, for each of its points; of one problem alone as it is."""
        return x

    def _products(self, s: State) -> Numbers:
        """``psi_p E[q^2 f g]`` of all f and g in (p, v2), shape (N, r + K, r + K)."""
        pairs, upper = self._slope_averages
        q2 = self._by_problem(s.q)[..., :: self._stride] ** 2
        size = self.rank + self.mixture.n_classes
        g = np.empty((s.z.size, size, size), dtype=q2.dtype)
        products = _by_real(q2, pairs).reshape(s.z.size, -1)
        g[:, upper[0], upper[1]] = products
        g[:, upper[1], upper[0]] = products
        return g

    @property
    def _stride(self) -> int:
        # Where types are sampled, some of them make a derivative that is good enough to iterate with.
        products = self.neurons.n_types * (self.rank + self.mixture.n_classes) ** 2 / 2
        return max(1, int(products / DERIVATIVE_PRODUCTS))

    @cached_property
    def _slope_averages(self) -> tuple[Floats, tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Products of (p, v2) of some of the types, (..., T', pairs), with their weights; and which products."""
        some = slice(None, None, self._stride)
        weight = self.neurons.weight[..., some]
        cross = self._cross[..., some]
        upper = upper_triangle(cross.shape[-2])
        share = self.parameters.psi_p[..., None] * weight / weight.sum(axis=-1, keepdims=True)
        pairs = cross[..., upper[0], :] * cross[..., upper[1], :] * share[..., None, :]
        return np.swapaxes(pairs, -1, -2), upper

    # ---------------------------------------------------------------- iterations

    def start(self, z: Complex) -> tuple[Complex, Complex]:
        """Return the large-|z| solution as a starting point."""
        q = -1.0 / z
        mean = (self.neurons.weight[..., None, :] @ self.p)[..., 0, :] * self.parameters.psi_p[..., None]
        y = q[:, None] * self._by_point(mean)
        return y, np.zeros((z.size, self.mixture.n_classes), dtype=complex)

    def damped(self, z: Complex, y: Complex, delta: Complex, steps: int) -> tuple[Complex, Complex]:
        """Iterate with damping 1/2: slow but globally convergent away from the real axis."""
        for _ in range(steps):
            new = self.image(self.state(z, y, delta))
            y, delta = (y + new[:, : self.rank]) / 2, (delta + new[:, self.rank :]) / 2
        return y, delta

    def residual(self, s: State) -> tuple[Numbers, Floats]:
        """Return the mismatch, shape (N, r + K), and its size relative to the unknowns, shape (N,)."""
        new = self.image(s)
        gap = new - np.concatenate([s.y, s.delta], axis=1)
        # The largest of y and of delta.
        off, scale = (np.maximum.reduceat(np.abs(x), [0, self.rank], axis=1) for x in (gap, new))
        return gap, (off / (scale + 1e-300)).max(axis=1)

    def step(self, s: State, right: Numbers) -> Numbers:
        """Solve ``x - derivative x = right``, both of shape (N, r + K): a step of Newton's method."""
        matrix = np.eye(right.shape[-1]) - self.derivative(s)
        return solve_rows(matrix, right)


def _by_real(numbers: Numbers, real: Floats) -> Numbers:
    """Matrix product. A complex one would first copy the real factor as a complex one."""
    if np.iscomplexobj(numbers):
        return np.asarray(numbers.real @ real + 1j * (numbers.imag @ real))
    return np.asarray(numbers @ real)
