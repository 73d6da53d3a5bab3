"""Exact gradient flow from A = 0, at all training times at once.

``A(tau)/sqrt(p) = -V^T f_tau(U)/sqrt(Delta)`` with ``f_tau(z) = (1 - exp(-kappa z tau))/z`` and
``kappa = 2 Delta d/p`` (arXiv:2505.17638): one symmetric eigendecomposition of U serves every time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from diffclaims.finite.backend import Array, Backend
from diffclaims.finite.gram import ClassFeatureMoments, Moments

Floats = NDArray[np.float64]


def filters(eigenvalues: Floats, rate_times: Floats) -> Floats:
    """Return f_tau(z) for all ``kappa tau`` (T,) and eigenvalues (p,), shape (T, p); no cancellation at 0."""
    z = np.maximum(eigenvalues, 0.0)
    x = rate_times[:, None] * z
    small = x < 1e-8
    ratio = np.where(small, 1 - x / 2, -np.expm1(-x) / np.where(small, 1.0, x))
    return np.asarray(rate_times[:, None] * ratio)


class Flow:
    """Gradient flow on one draw.

    Parameters
    ----------
    moments : ClassFeatureMoments
        Moments of the training set, by class.
    noise : float
        Delta.
    backend : Backend
        Where to compute.
    n_features : int, optional
        Number of features that sets the rate; by default that of the moments.
    """

    def __init__(
        self,
        moments: ClassFeatureMoments,
        noise: float,
        *,
        backend: Backend,
        n_features: int | None = None,
    ) -> None:
        u, v = moments.total()
        self.noise, self.backend = noise, backend
        self.p, self.d = v.shape
        #: Rate factor at these very sizes; the model's own where p = psi_p d exactly.
        self.kappa = 2 * noise * self.d / (n_features or self.p)
        values, self.vectors = backend.eigh(u)
        self.eigenvalues = backend.numpy(values)
        #: V in the eigenbasis.
        self.b = self.vectors.T @ v
        self._outer = self.b @ self.b.T

    @classmethod
    def of(cls, train: Moments, noise: float, *, backend: Backend) -> Flow:
        """Flow on a training set whose classes do not matter."""
        return cls(ClassFeatureMoments(np.ones(1), [train], []), noise, backend=backend)

    def losses(self, moments: Moments, training_times: Floats) -> Floats:
        """Loss on the points behind `moments` at each training time, shape (T,); 1 at time 0."""
        f = self.backend.array(filters(self.eigenvalues, self.kappa * training_times))
        rotated = self.vectors.T @ moments.u @ self.vectors
        quadratic = ((f @ (self._outer * rotated)) * f).sum(1) / self.d
        linear = f @ ((self.b * (self.vectors.T @ moments.v)).sum(1) / self.d)
        return 1 + self.backend.numpy(quadratic - 2 * linear)

    def mean_losses(self, training_times: Floats) -> Floats:
        """Training loss of all classes together, by their shares, at each training time, shape (T,)."""
        f = filters(self.eigenvalues, self.kappa * training_times)
        norms = self.backend.numpy((self.b * self.b).sum(1)) / self.d
        return np.asarray(1 + (f * f) @ (self.eigenvalues * norms) - 2 * (f @ norms))

    def readout(self, training_time: float) -> Array:
        """Trained second layer A/sqrt(p) at one training time, shape (d, p)."""
        f = self.backend.array(filters(self.eigenvalues, np.array([self.kappa * training_time]))[0])
        return -((self.b * f[:, None]).T @ self.vectors.T) / np.sqrt(self.noise)


def loss_of(readout: Array, moments: Moments, noise: float) -> float:
    """Loss of any second layer A/sqrt(p) (d, p) on the points behind `moments`."""
    d = readout.shape[0]
    quadratic = ((readout @ moments.u) * readout).sum()
    linear = (readout.T * moments.v).sum()
    return float(1 + (noise * quadratic + 2 * np.sqrt(noise) * linear) / d)
