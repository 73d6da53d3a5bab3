"""One contour around the spectrum that serves every training time.

The filter f_tau is entire, so the contour may cross the real axis anywhere below the spectrum, a
negative point included. It runs up a ray and closes by an arc beyond the upper edge; nodes are
Gauss-Legendre in the logarithm of the distance from a point just left of the crossing, because the
filter and the resolvent both vary on a logarithmic scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Complex = NDArray[np.complex128]

#: Angle of the ray. Steeper lets the filter oscillate, flatter comes close to the spectrum; of
#: pi/8 to 2 pi/5 this one converged fastest over six unlike cases.
ANGLE = np.pi / 4


@dataclass(frozen=True)
class Contour:
    """Upper half of a closed contour.

    Attributes
    ----------
    z : ndarray, shape (N,)
        Nodes, ``Im z > 0``.
    weight : ndarray, shape (N,)
        ``-dz/(2 pi i)``, so that a function of U is twice the real part of ``sum weight f(z) R(z)``.
    n_ray : int
        How many of the nodes lie on the ray; the others are on the arc.
    """

    z: Complex
    weight: Complex
    n_ray: int

    def carry(self, values: Complex, other: Contour) -> Complex:
        """Interpolate values at these nodes to the same shares of another contour.

        Polynomials through Gauss-Legendre nodes converge geometrically for functions as smooth along
        the path as a resolvent is. Contours of different ends give a guess, not a value.

        Parameters
        ----------
        values : ndarray, shape (N, m)
        other : Contour
            Of M nodes.

        Returns
        -------
        ndarray, shape (M, m)
        """
        parts = []
        for one, two in ((slice(None, self.n_ray), slice(None, other.n_ray)),
                         (slice(self.n_ray, None), slice(other.n_ray, None))):  # fmt: skip
            known, wanted = self.z[one].size, other.z[two].size
            parts.append(_legendre_interpolation(known, wanted) @ values[one])
        return np.concatenate(parts)


def contour(low: float, high: float, largest_rate_time: float, nodes_per_decade: float) -> Contour:
    """Build the contour.

    Parameters
    ----------
    low, high : float
        Numbers below and above the spectrum, ``0 <= low < high``.
    largest_rate_time : float
        ``kappa * tau`` of the longest training time.
    nodes_per_decade : float
        Nodes on the ray for each power of ten that it spans; the arc has a third as many in all.
    """
    slack = 1.0 / (2.0 * largest_rate_time)
    crossing = low / 2 - slack
    unit = low / 2 + slack
    radius = 1.25 * high - crossing
    top = np.log1p(radius / unit)
    n_nodes = max(16, int(np.ceil(nodes_per_decade * top / np.log(10.0))))
    x, w = _gauss_legendre(n_nodes)
    u = top * (x + 1) / 2
    ray = crossing + unit * np.expm1(u) * np.exp(1j * ANGLE)
    ray_weight = (top / 2 * w) * unit * np.exp(u) * np.exp(1j * ANGLE)
    x, w = _gauss_legendre(max(8, n_nodes // 3))
    phase = ANGLE * (1 - x) / 2
    arc = crossing + radius * np.exp(1j * phase)
    arc_weight = -(ANGLE / 2 * w) * 1j * radius * np.exp(1j * phase)
    # From the crossing up and clockwise is the negative sense for the spectrum inside; closed with
    # its mirror image that is  f(U) = (1/2 pi i) * sum f R dz  with R = (U - z)^-1.
    z = np.concatenate([ray, arc])
    return Contour(z, np.concatenate([ray_weight, arc_weight]) / (2j * np.pi), n_nodes)


@lru_cache(maxsize=64)
def _gauss_legendre(count: int) -> tuple[Floats, Floats]:
    return np.polynomial.legendre.leggauss(count)


@lru_cache(maxsize=64)
def _legendre_interpolation(known: int, wanted: int) -> Floats:
    """Matrix from values at the Gauss-Legendre nodes of one number to those of another."""
    x, w = _gauss_legendre(known)
    at, _ = _gauss_legendre(wanted)
    # Barycentric form; these are the weights of Gauss-Legendre nodes up to a common factor.
    bary = np.sqrt((1 - x**2) * w) * (-1.0) ** np.arange(known)
    gap = at[:, None] - x
    same = np.abs(gap) < 1e-14
    share = bary / np.where(same, 1.0, gap)
    share /= share.sum(axis=1, keepdims=True)
    return np.where(same.any(axis=1, keepdims=True), same.astype(np.float64), share)


def training_filter(z: Complex, rate_times: Floats) -> Complex:
    """``(1 - exp(-z kappa tau))/z`` for each kappa tau, shape (len(rate_times), len(z))."""
    x = rate_times[:, None] * z
    return np.asarray(-np.expm1(-x) / z)
