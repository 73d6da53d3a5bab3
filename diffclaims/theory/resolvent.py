"""The averaged resolvent of U at many complex points at once.

Unknowns at each point z are the coordinates ``y`` of the K x K matrix Y = psi_p E[q a a^T] in a basis of
the matrices that a a^T spans over the neuron types, and the K numbers ``delta``. The neuron-resolved
resolvent q(theta) follows from them, so the number of neuron types never enters a solve.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.theory.neurons import Neurons
from diffclaims.theory.parameters import Parameters
from diffclaims.theory.small import inverted, solve, upper_triangle
from diffclaims.theory.state import State

Floats = NDArray[np.float64]
Complex = NDArray[np.complex128]

#: Only so many neuron types enter the derivative that they have at most this many products of two functions.
DERIVATIVE_PRODUCTS = 4e6
#: Types whose resolvents are computed at once, so that they stay in the cache.
CHUNK = 2048
#: Entries of a a^T above which its strongest directions come from a random projection.
DIRECT = 600


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
                vectors, p = _strongest(
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

    def state(self, z: Complex, y: Complex, delta: Complex) -> State:
        """Evaluate every function of the unknowns that the equations and their derivatives need."""
        own, fractions = self.at_points, self.mixture.fractions
        k = self.mixture.n_classes
        inverse = 1.0 / (1.0 + delta)
        # diagonal of Sigma~_j, shape (N, J, K)
        sigma = own.signal[..., None, None] * inverse[:, None, :] * own.variances + own.noise[..., None, None]
        sigma *= own.weights[..., None, :]
        left: Complex
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

    def _scalars(self, sigma: Complex, y: Complex) -> tuple[Floats, Complex, Complex]:
        """v, ``v^T Sigma~_j v`` and ``1/(1 + y v^T Sigma~_j v)``, the last two of shape (N, J)."""
        assert self._vector is not None
        total = (sigma @ self._vector[..., None] ** 2)[..., 0]
        return self._vector, total, 1.0 / (1.0 + y * total)

    def _inverse_zeta(self, z: Complex, slopes: Complex) -> Complex:
        """Resolvent by neuron type, shape (N, T), from what multiplies (p, v2).

        In real arithmetic: numpy would copy (p, v2) as complex numbers, and divides complex numbers slowly.
        """
        *several, size, n_types = self._cross.shape
        slopes, at = slopes.reshape(*several, -1, size), z.reshape(*several, -1, 1)
        count = at.shape[-2]
        both = np.concatenate([slopes.real, slopes.imag], axis=-2)
        q = np.empty((*several, count, n_types), dtype=complex)
        chunk = max(1, CHUNK // max(1, *several, 1))
        for start in range(0, n_types, chunk):
            part = slice(start, start + chunk)
            parts = both @ self._cross[..., part]
            real, imag = parts[..., :count, :], parts[..., count:, :]
            real += self._floor[..., None, part]
            real -= at.real
            imag -= at.imag
            square = real * real + imag * imag
            np.divide(real, square, out=q.real[..., part])
            np.divide(imag, -square, out=q.imag[..., part])
        return q.reshape(z.size, n_types)

    @cached_property
    def _cross(self) -> Floats:
        """What multiplies q in the averages over types: (p, v2), shape (..., r + K, T)."""
        return np.concatenate([np.swapaxes(self.p, -1, -2), np.swapaxes(self.neurons.v2, -1, -2)], axis=-2)

    @cached_property
    def weighted_cross(self) -> Floats:
        """The same with the weights of the types, times psi_p, shape (..., T, r + K)."""
        weight = self.neurons.weight * self.parameters.psi_p[..., None]
        return np.ascontiguousarray(np.swapaxes(self._cross * weight[..., None, :], -1, -2))

    def _by_problem(self, x: Complex) -> Complex:
        """Array of all points as one of the points of each problem."""
        return x.reshape(*self.parameters.psi_p.shape, -1, *x.shape[1:])

    def image(self, s: State) -> tuple[Complex, Complex]:
        """Return the right-hand sides of the equations for y and delta, shapes (N, r) and (N, K)."""
        own = self.at_points
        q = self._by_problem(s.q)
        average = q.real @ self.weighted_cross + 1j * (q.imag @ self.weighted_cross)
        average = average.reshape(s.z.size, -1)
        y = average[:, : self.rank]
        diagonal = np.einsum("njkk->njk", s.om)
        shares = self.mixture.fractions[:, None] * own.variances * own.signal[..., None, None]
        delta = (shares * diagonal).sum(axis=1)
        return y, (delta + average[:, self.rank :]) / own.psi_n[..., None]

    def derivative(self, s: State) -> Complex:
        """Return the Jacobian of `image`, shape (r + K, r + K, N), matrix indices first."""
        own, fractions = self.at_points, self.mixture.fractions
        r, k, count = self.rank, self.mixture.n_classes, s.z.size
        e2 = own.signal[..., None, None]
        # How the diagonal of Sigma~_j and zeta move with delta_l.
        d_sigma = -own.weights[..., None, :] * e2 * s.inverse[:, None, :] ** 2 * own.variances  # (N, J, K)
        d_zeta = -own.weights * s.inverse**2  # (N, K), times v2
        b = self.basis
        # d Phi in coordinates, for each unknown: -Psi B_s Psi, and column k of L times its transpose.
        if self._vector is not None:
            a, total, scale = self._scalars(s.sigma, s.y)
            a2 = (a**2)[..., None, :]
            square = fractions * scale**2  # (N, J)
            d_total = d_sigma * a2  # (N, J, K)
            phi_y = -(total**2 * square).sum(axis=1)[:, None, None]
            phi_d = np.einsum("nj,njl->nl", square, d_total)[:, None]
            spread = np.swapaxes(own.variances * a2, -1, -2)  # (..., K, J)
            om_y = spread @ square[..., None]
            om_d = -(s.y**2)[..., None] * (spread @ (square[..., None] * d_total))
        else:
            weighted = np.sqrt(fractions)[:, None, None] * s.psi
            right = (b[:, None, None] @ weighted).reshape(r, count, -1)  # B_s Psi, (r, N, J K K)
            other = (np.swapaxes(weighted, -1, -2) @ b[:, None, None]).reshape(r, count, -1)
            # <B_r, Psi B_s Psi> = sum over entries of (Psi^T B_r)(B_s Psi), Psi symmetric
            phi_y = -(np.swapaxes(other, 0, 1) @ np.moveaxis(right, 0, 2))
            left_b = np.swapaxes(s.left, -1, -2) @ (b[:, None, None] @ s.left)
            diagonal = np.einsum("rnjkk->rnjk", left_b)
            phi_d = np.einsum("j,rnjk,njk->nrk", fractions, diagonal, d_sigma)
            shares = np.broadcast_to(fractions[:, None] * own.variances, s.sigma.shape)
            om_y = np.einsum("njk,rnjk->nkr", shares, diagonal)
            om_d = -np.einsum("njk,njkl,njl->nkl", shares, s.om**2, d_sigma)
        size = r + k
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
            move = np.zeros((count, size, size), dtype=complex)  # d(phi_r, zeta_k) / d(y, delta)
            move[:, :r, :r] = phi_y
            move[:, :r, r:] = phi_d
            move[:, np.arange(r, size), np.arange(r, size)] = d_zeta
            jacobian = -(g @ move)
        jacobian[:, r:, :r] += e2 * om_y
        jacobian[:, r:, r:] += e2 * om_d
        jacobian[:, r:] /= own.psi_n[..., None, None]
        return np.ascontiguousarray(np.moveaxis(jacobian, 0, -1))

    def _by_point(self, x: Floats) -> Floats:
        """What each problem has, for each of its points; of one problem alone as it is."""
        return x

    def _products(self, s: State) -> Complex:
        """``psi_p E[q^2 f g]`` of all f and g in (p, v2), shape (N, r + K, r + K)."""
        weight, pairs, upper = self._slope_averages
        q2 = self._by_problem(s.q)[..., :: self._stride] ** 2 * weight[..., None, :]
        size = self.rank + self.mixture.n_classes
        g = np.empty((s.z.size, size, size), dtype=complex)
        # Real times real: a complex product would first copy the real factor as a complex one.
        turned = np.swapaxes(pairs, -1, -2)
        products = (q2.real @ turned + 1j * (q2.imag @ turned)).reshape(s.z.size, -1)
        g[:, upper[0], upper[1]] = products
        g[:, upper[1], upper[0]] = products
        return g

    @property
    def _stride(self) -> int:
        # Where types are sampled, some of them make a derivative that is good enough to iterate with.
        products = self.neurons.n_types * (self.rank + self.mixture.n_classes) ** 2 / 2
        return max(1, int(products / DERIVATIVE_PRODUCTS))

    @cached_property
    def _slope_averages(self) -> tuple[Floats, Floats, tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Weights of the types in the derivative, products of (p, v2) there, and which products."""
        some = slice(None, None, self._stride)
        weight = self.neurons.weight[..., some]
        cross = self._cross[..., some]
        upper = upper_triangle(cross.shape[-2])
        share = self.parameters.psi_p[..., None] * weight / weight.sum(axis=-1, keepdims=True)
        return share, cross[..., upper[0], :] * cross[..., upper[1], :], upper

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
            new_y, new_delta = self.image(self.state(z, y, delta))
            y, delta = (y + new_y) / 2, (delta + new_delta) / 2
        return y, delta

    def residual(self, s: State) -> tuple[Complex, Floats]:
        """Return the mismatch, shape (r + K, N), and its size relative to the unknowns, shape (N,)."""
        new_y, new_delta = self.image(s)
        gap = np.concatenate([new_y - s.y, new_delta - s.delta], axis=1).T
        scale_y = np.abs(new_y).max(axis=1) + 1e-300
        scale_d = np.abs(new_delta).max(axis=1) + 1e-300
        r = self.rank
        size = np.maximum(np.abs(gap[:r]).max(axis=0) / scale_y, np.abs(gap[r:]).max(axis=0) / scale_d)
        return gap, size

    def newton(
        self, z: Complex, y: Complex, delta: Complex, *, tolerance: float, max_steps: int
    ) -> tuple[State, Floats, int]:
        """Newton's method at every point; points that are done are left alone.

        Returns
        -------
        state : State
        residual : ndarray, shape (N,)
        steps : int
        """
        r = self.rank
        y, delta = y.copy(), delta.copy()
        state = self.state(z, y, delta)
        gap, size = self.residual(state)
        steps = 0
        while steps < max_steps:
            bad = size > tolerance
            if not bad.any():
                break
            todo, these = self.unfinished(bad)
            part = state if todo.size == z.size else state.take(todo)
            jacobian = -these.derivative(part)
            idx = np.arange(jacobian.shape[0])
            jacobian[idx, idx] += 1.0
            step = solve(jacobian, gap[:, None, todo])[:, 0].T
            y[todo] += step[:, :r]
            delta[todo] += step[:, r:]
            steps += 1
            if todo.size == z.size:
                state = self.state(z, y, delta)
                gap, size = self.residual(state)
            else:
                fresh = these.state(z[todo], y[todo], delta[todo])
                gap[:, todo], size[todo] = these.residual(fresh)
                state = state.put(todo, fresh)
        return state, size, steps


def _strongest(p: Floats, weight: Floats, max_rank: int) -> tuple[Floats, Floats]:
    """Return the directions, shape (s, r), that carry most of p over the neurons, and coordinates there.

    The off-diagonal entries of a symmetric matrix count twice, so that the norm is that of matrices.
    """
    root = np.sqrt(weight)[:, None] * p
    if p.shape[1] <= DIRECT:
        vectors = np.linalg.eigh(root.T @ root)[1]
    else:
        # A random projection and one power step find the strongest of thousands of directions.
        draw = np.random.default_rng(0).normal(size=(p.shape[1], max(DIRECT // 2, 2 * max_rank)))
        span = np.linalg.qr(root.T @ (root @ draw))[0]
        small = root @ span
        vectors = span @ np.linalg.eigh(small.T @ small)[1]
    strongest = vectors[:, -max_rank:]  # eigh sorts upwards
    return strongest.T, p @ strongest
