"""Functions of the eigenvalue inside one bulk of the spectrum, in an angle.

The eigenvalue is ``lo (hi/lo)^s``, ``s = (1 - cos(angle))/2``: at the edges of a bulk the resolvent has square roots,
which an angle takes away. Continued around the circle it is periodic and analytic, and its conjugate at minus the
angle. So Fourier sums interpolate it, and the trapezoidal rule integrates it, with an error that falls geometrically.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Complex = NDArray[np.complex128]

#: Fourier coefficients below this share of the largest do not matter to a guess.
NEGLIGIBLE = 1e-6
#: Distances up to which an edge is known from points inside, in units of the distance of the last of these.
REACH = 3.0


def nodes(parts: int) -> Floats:
    """Angles of the trapezoidal rule of so many parts, its ends left out; shape (parts - 1,)."""
    return np.pi * np.arange(1, parts) / parts


def position(angle: Floats, lo: float, hi: float) -> Floats:
    """Eigenvalue at an angle. A logarithm, as a bulk may span decades."""
    return np.asarray(lo * (hi / lo) ** ((1 - np.cos(angle)) / 2))


def slope(angle: Floats, lo: float, hi: float) -> Floats:
    """Derivative of the eigenvalue by the angle."""
    return np.asarray(position(angle, lo, hi) * np.log(hi / lo) * np.sin(angle) / 2)


def integral(values: Floats) -> tuple[Floats, Floats]:
    """Integrals over the angle from 0 to pi, and what they may be off by.

    Parameters
    ----------
    values : ndarray, shape (..., N - 1)
        Integrands at the nodes. At 0 and pi they are 0.

    Returns
    -------
    integral, error : ndarray, shape (...)
        What half as many parts are off by, which bounds the error of N: the Fourier coefficient of order N. It
        may be small by chance, so that the largest of those next to it stands for it.
    """
    parts = values.shape[-1] + 1
    around = np.zeros((*values.shape[:-1], 2 * parts))
    around[..., 1:parts] = values
    around[..., parts + 1 :] = values[..., ::-1]
    tail = np.abs(np.fft.rfft(around)[..., -max(parts // 16, 4) :]).max(axis=-1)
    return np.asarray(np.pi / parts * values.sum(axis=-1)), np.asarray(np.pi / parts * tail)


class Wave:
    """A Fourier sum through the unknowns at the nodes of one bulk.

    Parameters
    ----------
    lo, hi : float
        Edges of the bulk.
    unknowns : ndarray, shape (N - 1, m)
        Values at the nodes.
    """

    def __init__(self, lo: float, hi: float, unknowns: Complex) -> None:
        self.lo, self.hi = lo, hi
        ends = [_between(unknowns[:3]), _between(unknowns[::-1][:3])]
        around = np.concatenate([ends[:1], unknowns, ends[1:], np.conj(unknowns[::-1])])
        self.coefficients = np.fft.fft(around, axis=0).real / len(around)

    def __call__(self, eigenvalues: Floats) -> Complex:
        """Unknowns at eigenvalues of the bulk, shape (M, m)."""
        share = np.log(eigenvalues / self.lo) / np.log(self.hi / self.lo)
        angle = np.arccos(np.clip(1 - 2 * share, -1, 1))
        # Orders k and -k together: they share a cosine and a sine.
        parts = len(self.coefficients) // 2
        positive, negative = np.zeros((2, parts + 1, self.coefficients.shape[1]))
        positive[:parts], negative[1:] = self.coefficients[:parts], self.coefficients[: parts - 1 : -1]
        size = np.maximum(np.abs(positive), np.abs(negative)).max(axis=1)
        large = np.flatnonzero(size > NEGLIGIBLE * size.max())
        phase = angle[:, None] * large
        cosines = np.cos(phase) @ (positive + negative)[large]
        return np.asarray(cosines + 1j * (np.sin(phase) @ (positive - negative)[large]))

    def doubled(self) -> Complex:
        """Unknowns at the nodes of twice as many parts, shape (2N - 1, m)."""
        parts = len(self.coefficients) // 2
        more = np.zeros((4 * parts, self.coefficients.shape[1]))
        more[:parts], more[-parts:] = self.coefficients[:parts], self.coefficients[parts:]
        return np.asarray(np.fft.ifft(more, axis=0)[1 : 2 * parts] * len(more))


class Root:
    """Unknowns next to an edge: inside, imaginary parts are the root of the distance times a smooth function.

    Parameters
    ----------
    edge : float
    at : ndarray, shape (n,)
        Eigenvalues inside, the nearest first.
    unknowns : ndarray, shape (n, m)
    """

    def __init__(self, edge: float, at: Floats, unknowns: Complex) -> None:
        self.edge, self.at = edge, at
        self.smooth = np.concatenate(
            [unknowns.real, unknowns.imag / np.sqrt(np.abs(at - edge))[:, None]], axis=1
        )

    def __call__(self, eigenvalues: Floats) -> Complex:
        """Unknowns at eigenvalues on either side, shape (M, m)."""
        real, factor = np.split(through(self.at, self.smooth, eigenvalues), 2, axis=1)
        root = np.sqrt(np.abs(eigenvalues - self.edge))[:, None] * factor
        upwards = self.at[0] > self.edge
        inside = (eigenvalues > self.edge) == upwards
        # Outside, the root is real: of the two the one that the upper half plane leads to.
        return np.asarray(
            np.where(inside[:, None], real + 1j * root, real - root if upwards else real + root)
        )

    def outside(self, eigenvalues: Floats) -> NDArray[np.bool_]:
        """Which eigenvalues lie outside, and no farther than where this holds."""
        upwards = self.at[0] > self.edge
        near = np.abs(eigenvalues - self.edge) < REACH * np.abs(self.at[-1] - self.edge)
        return np.asarray(near & ((eigenvalues > self.edge) != upwards))


def through(x: Floats, y: Floats, at: Floats) -> Floats:
    """Values of the polynomial through the points (x, y), y of shape (n, ...)."""
    own = np.eye(x.size, dtype=bool)
    above = np.where(own, 1.0, at[:, None, None] - x)
    below = np.where(own, 1.0, x[:, None] - x)
    return np.asarray((above / below).prod(axis=2) @ y)


def _between(three: Complex) -> Complex:
    """Value at an edge, where it is real, from three nodes next to it and their mirror images."""
    return np.asarray(np.array([1.5, -0.6, 0.1]) @ three.real + 0j)
