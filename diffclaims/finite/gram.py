"""Second moments of the features: U_k and V_k of each class, averaged over noise.

``U_k = E phi phi^T`` (p x p) and ``V_k = E phi xi^T`` (p x d) over the samples of class k and their
noise. They hold all that training and both losses need.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffclaims.errors import InvalidInput
from diffclaims.finite.backend import Array, Backend
from diffclaims.finite.draw import NOISE, Draw, Population, generator
from diffclaims.finite.hermite import SMOOTH_TOLERANCE, Response
from diffclaims.problem.model import RandomFeatures

Floats = NDArray[np.float64]

#: Highest order for single points, whose features vary by their noise alone.
SAMPLE_ORDER = 4
#: Highest order for a whole class, whose features vary by data and noise; an order costs only p^2 there.
POPULATION_ORDER = 8


@dataclass(frozen=True)
class Moments:
    """U (p, p), V (p, d), and a bound on the Frobenius norm of the error of U; NaN where none was asked for."""

    u: Array
    v: Array
    bound: float


class Features:
    """The random features of one draw, at one diffusion time.

    Parameters
    ----------
    features : ndarray, shape (p, d)
        Weights W.
    model : RandomFeatures
        Diffusion time and activation.
    backend : Backend
        Where to compute.
    block_bytes : int
        Scratch memory of one block.
    tolerance : float
        Of the noise averages of a smooth activation, absolute.
    bounded : bool
        Whether `Moments.bound` is wanted.
    """

    def __init__(
        self,
        features: Floats,
        model: RandomFeatures,
        *,
        backend: Backend,
        block_bytes: int = 1 << 27,
        tolerance: float = SMOOTH_TOLERANCE,
        bounded: bool = True,
    ) -> None:
        self.model, self.backend, self.block_bytes = model, backend, block_bytes
        self.tolerance, self.bounded = tolerance, bounded
        self.p, self.d = features.shape
        #: W / sqrt(d).
        self.w = backend.array(features / np.sqrt(self.d))

    def _assemble(self, covariance: Array, grams: list[Array], c1: Array, second: Array) -> Moments:
        """Mehler's sum off the diagonal, the exact second moment on it, Stein's lemma for V."""
        xp = self.backend
        s = xp.call("sqrt", covariance.diagonal())
        r = covariance / (s[:, None] * s[None, :])
        on = np.arange(self.p)
        rest = second - sum(gram.diagonal() for gram in grams)
        # Horner's scheme, in place: these are the largest arrays of a run.
        u = r * grams[-1]
        for gram in grams[-2:0:-1]:
            u += gram
            u *= r
        u += grams[0]
        u[on, on] = second
        v = np.sqrt(self.model.noise) * (c1 / s)[:, None] * self.w
        if not self.bounded:
            return Moments(u, v, float("nan"))
        rest = rest * (rest > 0)
        r[on, on] = 0.0
        tail = rest @ (_power(r * r, len(grams)) @ rest)
        return Moments(u, v, float(xp.call("sqrt", tail)))

    def of_samples(self, x: Floats, *, order: int = SAMPLE_ORDER) -> Moments:
        """Moments over given samples (n, d) and all their noise.

        V is exact (Stein's lemma), and so is the diagonal of U. Off the diagonal the sum stops
        at `order`: neurons i and j have noise correlation w_i . w_j / (|w_i| |w_j|), of size 1/sqrt(d), so
        that the omitted part is of size d^(-(order + 1)/2); `Moments.bound` bounds it.
        """
        xp, model = self.backend, self.model
        covariance = model.noise * (self.w @ self.w.T)
        s = xp.call("sqrt", covariance.diagonal())
        response = self._response(order, s)
        grams: list[Array] = []
        c1, second = xp.zeros(self.p), xp.zeros(self.p)
        mean = xp.array(np.sqrt(model.signal) * x)
        rows = max(1, self.block_bytes // (8 * (order + 3) * self.p))
        for i in range(0, len(x), rows):
            c, square = response(self.w @ mean[i : i + rows].T, s)
            for m, cm in enumerate(c):
                if i == 0:
                    grams.append(cm @ cm.T)
                else:
                    grams[m] += cm @ cm.T
            c1 += c[1].sum(1)
            second += square.sum(1)
        n = len(x)
        for gram in grams:
            gram /= n
        return self._assemble(covariance, grams, c1 / n, second / n)

    def of_population(self, population: Population, cls: int, *, order: int = POPULATION_ORDER) -> Moments:
        """Moments over a whole Gaussian class and all noise: no test points, no test error.

        Features of a Gaussian class are functions of jointly Gaussian preactivations, with mean
        e^-t w_i . mu / sqrt(d) and covariance w_i . (e^-2t Sigma + Delta) w_j / d.
        """
        xp, model = self.backend, self.model
        variance = xp.array(model.signal * population.variances[cls] + model.noise)
        covariance = (self.w * variance) @ self.w.T
        s = xp.call("sqrt", covariance.diagonal())
        theta = self.w @ xp.array(np.sqrt(model.signal) * population.centroids[cls])
        c, square = self._response(order, s)(theta[:, None], s)
        grams = [cm @ cm.T for cm in c]
        return self._assemble(covariance, grams, c[1][:, 0], square[:, 0])

    def of_draws(self, x: Floats, rng: np.random.Generator, n_noise: int) -> Moments:
        """Moments over given samples with `n_noise` noise draws each: the control of `of_samples`.

        The numbers drawn do not depend on the block size, for `rng` is read row by row.
        """
        xp, model = self.backend, self.model
        u, v = xp.zeros(self.p, self.p), xp.zeros(self.p, self.d)
        rows = max(1, self.block_bytes // (8 * (2 * self.p + 3 * self.d)))
        for _ in range(n_noise):
            for i in range(0, len(x), rows):
                xi = rng.standard_normal((min(rows, len(x) - i), self.d))
                noisy = np.sqrt(model.signal) * x[i : i + rows] + np.sqrt(model.noise) * xi
                phi = xp.act(model, self.w @ xp.array(noisy).T)
                u += phi @ phi.T
                v += phi @ xp.array(xi)
        total = len(x) * n_noise
        return Moments(u / total, v / total, 0.0)

    def _response(self, order: int, s: Array) -> Response:
        # Rounded outwards, so that draws share a cached quadrature rule.
        low = np.floor(float(s.min()) * 20) / 20 or float(s.min())
        high = np.ceil(float(s.max()) * 20) / 20
        return Response(
            self.model,
            order,
            low,
            high,
            backend=self.backend,
            block_bytes=max(self.block_bytes // 2, 1),
            tolerance=self.tolerance,
        )


def _power(x: Array, n: int) -> Array:
    """Elementwise ``x^n`` for n of 1 or more, by squaring `x` in place."""
    found = None
    while True:
        if n % 2:
            found = x * 1.0 if found is None else found * x
        n //= 2
        if not n:
            return found
        x *= x


@dataclass(frozen=True)
class ClassFeatureMoments:
    """Moments of one draw: of each class's training samples and of its population or test samples."""

    shares: Floats
    train: list[Moments]
    test: list[Moments]

    def total(self) -> tuple[Array, Array]:
        """U and V of the training set."""
        whole = mixed(self.shares, self.train)
        return whole.u, whole.v

    @property
    def bound(self) -> float:
        """Largest bound on the Frobenius norm of the error of any U, relative to that of U itself."""
        worst = 0.0
        for m in (*self.train, *self.test):
            worst = max(worst, m.bound / float((m.u * m.u).sum()) ** 0.5)
        return worst


def class_moments(
    draw: Draw,
    model: RandomFeatures,
    *,
    backend: Backend,
    n_noise: int | None = None,
    order: int = SAMPLE_ORDER,
    block_bytes: int = 1 << 27,
    test: bool = True,
) -> ClassFeatureMoments:
    """Compute the moments of every class of a draw.

    Parameters
    ----------
    draw : Draw
        Weights and samples.
    model : RandomFeatures
        Diffusion time and activation.
    backend : Backend
        Where to compute.
    n_noise : int, optional
        Noise draws per training sample; by default the average over all noise.
    order : int
        Highest order of Mehler's sum for samples.
    block_bytes : int
        Scratch memory of one block.
    test : bool
        Whether the test side is wanted.
    """
    if order < 1:
        raise InvalidInput.of("order", order, "be at least 1", "leave it at its default")
    features = Features(draw.features, model, backend=backend, block_bytes=block_bytes)
    train = []
    for k, x in enumerate(draw.train):
        if n_noise is None:
            train.append(features.of_samples(x, order=order))
        else:
            train.append(features.of_draws(x, generator(draw.seed, NOISE, k), n_noise))
    tested = []
    if test and draw.test is not None:
        tested = [features.of_samples(x, order=order) for x in draw.test]
    elif test and draw.population is not None:
        tested = [features.of_population(draw.population, k) for k in range(len(draw.train))]
    return ClassFeatureMoments(draw.shares, train, tested)


def mixture_moments(
    draw: Draw, model: RandomFeatures, *, backend: Backend, test: bool = True
) -> tuple[Moments, Moments | None]:
    """Moments of the whole training set, and of the whole mixture: `class_moments` without classes."""
    features = Features(draw.features, model, backend=backend, bounded=False)
    train = features.of_samples(np.concatenate(draw.train))
    if not test or draw.population is None:
        return train, None
    # To the order of the samples: that moves the losses by less than 1e-6.
    tested = [features.of_population(draw.population, k, order=SAMPLE_ORDER) for k in range(len(draw.train))]
    return train, mixed(draw.population.weights, tested)


def mixed(weights: Floats, classes: Sequence[Moments]) -> Moments:
    """Moments of classes together, by their weights."""
    u, v = (sum(w * getattr(m, name) for w, m in zip(weights, classes, strict=True)) for name in ("u", "v"))
    return Moments(u, v, sum(float(w) * m.bound for w, m in zip(weights, classes, strict=True)))
