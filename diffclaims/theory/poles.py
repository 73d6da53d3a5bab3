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
    z : ndarray, shape (..., N)
        Points, ``Im z > 0``; of several problems, with an axis for them first, here as below.
    eigenvalues : ndarray, shape (..., L)
        Where the fits are made.
    """

    z: Complex
    eigenvalues: Floats

    def weights(self, rate_times: Floats) -> Complex:
        """Return the weights of each training time.

        Parameters
        ----------
        rate_times : ndarray, shape (..., n_times)
            ``kappa * tau``.

        Returns
        -------
        ndarray, shape (..., n_times, N)
            The filter of U is twice the real part of ``sum weight R(z)``, ``R(z) = (U - z)^-1``.
        """
        real, imag = np.split(np.swapaxes(self._fit(self._filters(rate_times)), -1, -2), 2, axis=-1)
        return np.asarray(real + 1j * imag)

    def error(self, rate_times: Floats) -> float:
        """Return the largest error of ``x f(x)``, which lies between 0 and 1, over training times and eigenvalues."""
        target = self._filters(rate_times)
        return float(np.abs(self._least_squares[0] @ self._fit(target) - target).max())

    def _filters(self, rate_times: Floats) -> Floats:
        """``x f(x)`` where fits are made, shape (..., L, n_times)."""
        return np.asarray(-np.expm1(-self.eigenvalues[..., :, None] * rate_times[..., None, :]))

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
        found = self._fit(np.concatenate([target.real, target.imag], axis=1)).T
        # Of weight w = u + iv and value g: w g + conj(w g), u and v being the two halves.
        real, imag = np.split(2 * (found @ np.concatenate([values.real, -values.imag])), 2)
        return np.asarray(real + 1j * imag)

    def _fit(self, target: Floats) -> Floats:
        """Weights of real functions ``x f(x)``, (..., L, m): their real and imaginary parts, shape (..., 2N, m)."""
        _, left, right = self._least_squares
        return np.asarray(right @ (left @ target))

    @cached_property
    def _least_squares(self) -> tuple[Floats, Floats, Floats]:
        """Matrix of the fits, (..., L, 2N), and two factors of its pseudo-inverse, whose product would lose digits.

        Several fits are made at the same points.
        """
        x = self.eigenvalues[..., :, None]
        column = x / (x - self.z[..., None, :])
        matrix = 2 * np.concatenate([column.real, -column.imag], axis=-1)
        left, values, right = np.linalg.svd(matrix, full_matrices=False)
        inverse = np.divide(1.0, values, out=np.zeros_like(values), where=values > ROUNDING * values[..., :1])
        return matrix, np.swapaxes(left, -1, -2), np.swapaxes(right, -1, -2) * inverse[..., None, :]

    def of(self, problem: int) -> Poles:
        """Return those of one of several problems, with what is known of their fits."""
        one = Poles(self.z[problem], self.eigenvalues[problem])
        if "_least_squares" in self.__dict__:
            one.__dict__["_least_squares"] = tuple(part[problem] for part in self._least_squares)
        return one


def poles(
    low: float | Floats, high: float | Floats, largest_rate_time: float | Floats, error: float | Floats
) -> Poles:
    """Place the poles.

    Parameters
    ----------
    low, high : float or ndarray, shape (...)
        Numbers below and above the spectrum, ``0 <= low < high``. Of several problems, all get as many poles.
    largest_rate_time : float or ndarray, shape (...)
        ``kappa * tau`` of the longest training time.
    error : float or ndarray, shape (...)
        About the error of the filters that is wanted; `Poles.weights` states the one that is reached.
    """
    # What lies below the inverse of the longest time is not learned: the filter is constant there.
    least = np.minimum(np.maximum(low, START / largest_rate_time), 0.3 * high)
    per_decade = np.log(LARGEST / error) / np.log(GAIN)
    count = 3 + int(np.max(np.ceil(per_decade * np.log10(high / least))))
    z = np.geomspace(0.4 * least, 2.0 * high, count, axis=-1) * np.exp(1j * ANGLE)
    bottom = np.minimum(np.maximum(low, 0.01 / largest_rate_time), 0.1 * high)
    most = int(np.max(np.ceil(GRID * np.log10(high / bottom)))) + 1
    return Poles(z, np.geomspace(bottom, high, most, axis=-1))
