"""Denoisers of Gaussian data, fitted to few samples in many dimensions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Directions that carry less than this share of the variance are left to the isotropic part.
_NEGLIGIBLE = 1e-12


@dataclass(frozen=True, eq=False)
class Gaussian:
    """A mean, and a covariance that is isotropic outside a few directions.

    Parameters
    ----------
    mean : ndarray, shape (d,)
    values : ndarray, shape (r,)
        Variances along `vectors`.
    vectors : ndarray, shape (r, d)
        Orthonormal rows.
    rest : float
        Variance along every other direction.
    """

    mean: Floats
    values: Floats
    vectors: Floats
    rest: float

    @classmethod
    def fit(cls, x: Floats, mean: Floats | None = None) -> Gaussian:
        """Fit to samples (n, d), shrunk by the oracle approximation of Chen et al., arXiv:0907.4698."""
        mean = x.mean(axis=0) if mean is None else mean
        z = x - mean
        n, d = z.shape
        if n <= d:
            values, left = np.linalg.eigh(z @ z.T / n)
            keep = values > _NEGLIGIBLE * max(values[-1], 0.0)
            vectors = (z.T @ left[:, keep] / np.sqrt(n * values[keep])).T
        else:
            values, right = np.linalg.eigh(z.T @ z / n)
            keep = values > _NEGLIGIBLE * max(values[-1], 0.0)
            vectors = right.T[keep]
        values = values[keep]
        typical, square = float(values.sum()) / d, float(np.square(values).sum()) / d**2
        unsure = (n + 1) * (square - typical**2 / d)
        shrink = min(1.0, (square + typical**2) / unsure) if unsure > 0 else 1.0
        return cls(mean, (1 - shrink) * values + shrink * typical, vectors, shrink * typical)

    def at(self, mean: Floats) -> Gaussian:
        """Return the same around another mean."""
        return dataclasses.replace(self, mean=mean)

    def denoise(self, y: Floats, sigma: float) -> Floats:
        """Return the posterior mean of rows (n, d)."""
        z, s2 = y - self.mean, sigma**2
        common = self.rest / (self.rest + s2)
        along = z @ self.vectors.T * (self.values / (self.values + s2) - common)
        return np.asarray(self.mean + common * z + along @ self.vectors)

    def log_density(self, y: Floats, sigma: float) -> Floats:
        """Return ln p of rows at a noise level, up to a constant that all Gaussians share."""
        z, s2 = y - self.mean, sigma**2
        square = np.square(z @ self.vectors.T)
        missing = z.shape[1] - len(self.values)
        # Nothing lies outside of all directions; rounding would, divided by a small variance.
        outside = np.square(z).sum(axis=1) - square.sum(axis=1) if missing else 0.0
        logs = np.log(self.values + s2).sum() + missing * np.log(self.rest + s2)
        return np.asarray(
            -0.5 * ((square / (self.values + s2)).sum(axis=1) + outside / (self.rest + s2) + logs)
        )


def mixture(parts: Sequence[Gaussian], weights: Floats, y: Floats, sigma: float) -> Floats:
    """Return the posterior mean of rows (n, d) under a mixture."""
    logits = np.log(weights)[:, None] + np.stack([g.log_density(y, sigma) for g in parts])
    p = np.exp(logits - logits.max(axis=0))
    p /= p.sum(axis=0)
    return np.asarray(sum(share[:, None] * g.denoise(y, sigma) for share, g in zip(p, parts, strict=True)))
