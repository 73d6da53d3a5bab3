"""A neuron's smooth response as polynomials in ``tanh(u/2)`` and s: few multiplications in place of many activations.

The response at mean preactivation u and noise amplitude s is a Gaussian average of the activation, and as smooth as
that. Poles of tanh, at ``i pi/2``, are those of ``v = tanh(u/2)`` at i, far from [-1, 1] however large u is: about 25
Chebyshev polynomials in v reach 1e-9. The response is averaged by quadrature at their nodes alone. On maps of the
infinite line: Boyd, Chebyshev and Fourier Spectral Methods, 2nd edition, chapter 17; the choice of this one is ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from diffclaims.finite.backend import Array, Backend

Floats = NDArray[np.float64]
#: Makes values (M, S, U) from preactivations u (U,) and noise amplitudes s (S,).
Exact = Callable[[Floats, Floats], Floats]

#: Numbers of polynomials in v tried in turn; more would cost no less than the activations.
_SIZES = (16, 20, 24, 28, 32, 40, 48, 64)
#: Polynomials in s, which varies little between neurons.
_AMPLITUDES = 12
_PROBES = 61
#: Scratch memory of one block of polynomials: what a processor's cache holds.
_BLOCK_BYTES = 1 << 20


def _polynomials(size: int) -> tuple[Floats, Floats]:
    """Chebyshev nodes (J,), and the matrix (J, J) from values there to coefficients."""
    angles = (np.arange(size) + 0.5) * np.pi / size
    matrix = 2 / size * np.cos(np.outer(angles, np.arange(size)))
    matrix[:, 0] /= 2
    return np.cos(angles), matrix


@dataclass(frozen=True)
class Interpolant:
    """Coefficients (M, S, J) for \\|u\\| below a reach and s between two limits."""

    coefficients: Floats
    reach: float
    low: float
    high: float

    def of_amplitudes(self, s: Floats) -> Floats:
        """Coefficients in v of each neuron, shape (p, M, J)."""
        basis = chebyshev.chebvander(2 * (s - self.low) / (self.high - self.low) - 1, _AMPLITUDES - 1)
        m, n_s, j = self.coefficients.shape
        flat = self.coefficients.transpose(1, 0, 2).reshape(n_s, m * j)
        return np.asarray((basis @ flat).reshape(len(s), m, j))

    def values(self, u: Array, s: Array, backend: Backend) -> Array:
        """All responses (M, p, b) at u (p, b) and s (p,)."""
        own = backend.array(self.of_amplitudes(backend.numpy(s)))
        p, b = u.shape
        _, m, j = own.shape
        out = backend.zeros(m, p, b)
        rows = max(1, _BLOCK_BYTES // (8 * j * b))
        powers = backend.zeros(j, min(rows, p), b)
        powers[0] = 1.0
        scale = 1 / np.tanh(self.reach / 2)
        for i in range(0, p, rows):
            part = slice(i, min(i + rows, p))
            t = powers[:, : part.stop - i]
            t[1] = backend.call("tanh", u[part] / 2) * scale
            twice = t[1] * 2
            for k in range(2, j):
                t[k] = twice * t[k - 1]
                t[k] -= t[k - 2]
            out[:, part] = (own[part] @ t.swapaxes(0, 1)).swapaxes(0, 1)
        return out


def interpolate(exact: Exact, reach: float, low: float, high: float, tolerance: float) -> Interpolant | None:
    """Return an interpolant that errs by less than `tolerance` at probes, or None where none of the sizes does.

    Parameters
    ----------
    exact : callable
        The response by quadrature.
    reach : float
        Largest \\|u\\|.
    low, high : float
        Smallest and largest s.
    tolerance : float
        Absolute.
    """
    high = max(high, low * (1 + 1e-9))
    scale = np.tanh(reach / 2)
    at_s, to_s = _polynomials(_AMPLITUDES)
    amplitudes = low + (high - low) * (at_s + 1) / 2
    # Off the nodes, and at both ends.
    probes_u, probes_s = np.linspace(-1, 1, _PROBES), np.linspace(0, 1, 5)
    expected = exact(2 * np.arctanh(scale * probes_u), low + (high - low) * probes_s)
    for size in _SIZES:
        at_v, to_v = _polynomials(size)
        values = exact(2 * np.arctanh(scale * at_v), amplitudes)
        coefficients = np.einsum("msj,jk,st->mtk", values, to_v, to_s, optimize=True)
        basis_s = chebyshev.chebvander(2 * probes_s - 1, _AMPLITUDES - 1)
        got = np.einsum(
            "mtk,st,uk->msu", coefficients, basis_s, chebyshev.chebvander(probes_u, size - 1), optimize=True
        )
        if np.abs(got - expected).max() <= tolerance:
            return Interpolant(coefficients, reach, low, high)
    return None
