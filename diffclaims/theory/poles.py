"""Training filters as sums over few poles, the same for every training time.

Losses need f_tau(U) for the filters f_tau(x) = (1 - exp(-kappa x tau))/x. On an interval that holds the
spectrum each of them is close to a sum of ``w/(x - z)`` and its conjugate over few points z, so that
f_tau(U) is the same sum of resolvents. The points lie on a ray that keeps away from the spectrum, evenly
in log |z|, and serve every tau; the weights follow by least squares, and so does the error.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Complex = NDArray[np.complex128]

#: Angle of the ray, in radians. At pi/2 the same number of poles gives twice the error, beyond 2.2 the weights
#: grow and cancel.
ANGLE = 1.9
#: Singular values of the least squares below this, relative to the largest, are rounding.
ROUNDING = 1e-12
#: Eigenvalues per decade at which filters are fitted.
GRID = 60
#: Poles begin at this share of the inverse of the longest time.
START = 1.0
#: What each pole per decade lowers the error by, roughly; the error of none.
GAIN, LARGEST = 40.0, 0.6


@dataclass(frozen=True)
class Poles:
    """Points at which the resolvent is needed.

    Attributes
    ----------
    z : ndarray, shape (N,)
        Points, ``Im z > 0``.
    eigenvalues : ndarray, shape (L,)
        Where the fits are made.
    """

    z: Complex
    eigenvalues: Floats

    def weights(self, rate_times: Floats) -> tuple[Complex, float]:
        """Return the weights of each training time, and the error of the fit.

        Parameters
        ----------
        rate_times : ndarray, shape (n_times,)
            ``kappa * tau``.

        Returns
        -------
        weight : ndarray, shape (n_times, N)
            The filter of U is twice the real part of ``sum weight R(z)``, ``R(z) = (U - z)^-1``.
        error : float
            Largest error of ``x f(x)``, which lies between 0 and 1, over training times and eigenvalues.
        """
        x = self.eigenvalues[:, None]
        return self._fit(-np.expm1(-x * rate_times))

    def carry(self, values: Complex, other: Poles) -> Complex:
        """Return functions of the resolvent, known at these points, at other ones.

        Parameters
        ----------
        values : ndarray, shape (N, m)
            Sums of ``1/(x - z)`` over the spectrum with any weights, at the points z.
        other : Poles
            M points.

        Returns
        -------
        ndarray, shape (M, m)
            A guess: other poles may serve a wider spectrum.
        """
        target = self.eigenvalues[:, None] / (self.eigenvalues[:, None] - other.z)
        weights, _ = self._fit(np.concatenate([target.real, target.imag], axis=1))
        real, imag = np.split(weights @ values + np.conj(weights) @ np.conj(values), 2)
        return np.asarray(real + 1j * imag)

    def _fit(self, target: Floats) -> tuple[Complex, float]:
        """Weights of real functions ``x f(x)``, shape (L, m): w of shape (m, N), and the largest error."""
        matrix, left, right = self._least_squares
        found = right @ (left @ target)
        error = float(np.abs(matrix @ found - target).max())
        real, imag = np.split(found.T, 2, axis=1)
        return real + 1j * imag, error

    @cached_property
    def _least_squares(self) -> tuple[Floats, Floats, Floats]:
        """Matrix of the fits, (L, 2N), and two factors of its pseudo-inverse, whose product would lose digits.

        Several fits are made at the same points.
        """
        column = self.eigenvalues[:, None] / (self.eigenvalues[:, None] - self.z)
        matrix = 2 * np.concatenate([column.real, -column.imag], axis=1)
        left, values, right = np.linalg.svd(matrix, full_matrices=False)
        keep = values > ROUNDING * values[0]
        return matrix, left[:, keep].T, right[keep].T / values[keep]


def poles(low: float, high: float, largest_rate_time: float, error: float) -> Poles:
    """Place the poles.

    Parameters
    ----------
    low, high : float
        Numbers below and above the spectrum, ``0 <= low < high``.
    largest_rate_time : float
        ``kappa * tau`` of the longest training time.
    error : float
        About the error of the filters that is wanted; `Poles.weights` states the one that is reached.
    """
    # What lies below the inverse of the longest time is not learned: the filter is constant there.
    least = min(max(low, START / largest_rate_time), 0.3 * high)
    decades = np.log10(high / least)
    per_decade = np.log(LARGEST / error) / np.log(GAIN)
    count = 3 + int(np.ceil(per_decade * decades))
    z = np.geomspace(0.4 * least, 2.0 * high, count) * np.exp(1j * ANGLE)
    bottom = min(max(low, 0.01 / largest_rate_time), 0.1 * high)
    grid = np.geomspace(bottom, high, int(np.ceil(GRID * np.log10(high / bottom))) + 1)
    return Poles(z, grid)
