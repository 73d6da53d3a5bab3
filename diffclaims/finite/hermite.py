"""Hermite coefficients of a neuron's response to Gaussian noise.

For a neuron whose preactivation is ``u + s z`` with z ~ N(0, 1), the coefficients
``c_m = E[act(u + s z) He_m(z)] / sqrt(m!)`` give, by Mehler's formula, the expectation of the product of
two neurons whose z have correlation r: ``sum_m r^m c_m c'_m``. The omitted tail of the sum is at
most ``|r|^(M+1)`` times the root of the two neurons' remaining variances (Cauchy-Schwarz).
"""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.polynomial.hermite_e import hermevander
from numpy.typing import NDArray

from diffclaims.errors import InvalidInput
from diffclaims.finite.backend import Array, Backend
from diffclaims.finite.interpolant import Interpolant, interpolate
from diffclaims.problem.model import Activation, RandomFeatures

Floats = NDArray[np.float64]

#: Numbers of nodes tried in turn for a smooth activation.
_SIZES = (16, 20, 24, 28, 32, 40, 48, 64, 96, 128)
_REFERENCE = 256
#: What counts as converged on the probe grid, absolute, for coefficients of a smooth activation.
SMOOTH_TOLERANCE = 1e-9
#: The same for an activation with kinks, which takes many nodes.
ROUGH_TOLERANCE = 2e-5
_ROUGH_SIZE = 2400
#: Nodes reach this many standard deviations, where the density is 1e-15 of its height.
_EDGE = 8.3
#: Fewer inputs than this are integrated one by one.
_FEW = 8


@dataclass(frozen=True)
class Rule:
    """Nodes (q,), weights times normalized Hermite polynomials (M + 1, q), weights (q,)."""

    nodes: Floats
    table: Floats
    weights: Floats
    #: Largest change of a coefficient against a finer rule, on the probe grid.
    error: float


@functools.cache
def _rule(size: int, order: int) -> Rule:
    # The midpoint rule: under a Gaussian weight it converges geometrically, as Gauss-Hermite does, but at a
    # rate that the poles of tanh, i pi/2 away, spoil far less when the noise is wide.
    nodes = np.asarray((np.arange(size) + 0.5) * (2 * _EDGE / size) - _EDGE, dtype=np.float64)
    weights = np.exp(-(nodes**2) / 2)
    weights = np.asarray(weights / weights.sum(), dtype=np.float64)
    norms = np.sqrt([float(math.factorial(m)) for m in range(order + 1)])
    table = (hermevander(nodes, order) / norms).T * weights
    return Rule(nodes, np.ascontiguousarray(table), weights, 0.0)


def _apply(rule: Rule, values: Floats) -> Floats:
    """Coefficients and second moment from activations at the nodes, which are the first axis."""
    first = np.tensordot(rule.table, values, axes=1)
    return np.concatenate([first, np.tensordot(rule.weights, values**2, axes=1)[None]])


@functools.lru_cache(maxsize=1024)
def quadrature(
    activation: str | Activation, order: int, low: float, high: float, tolerance: float = SMOOTH_TOLERANCE
) -> Rule:
    """Choose a rule that is converged for noise amplitudes between `low` and `high`.

    Parameters
    ----------
    activation : str or callable
        As in `RandomFeatures`.
    order : int
        Highest Hermite order.
    low, high : float
        Smallest and largest standard deviation of the preactivation.
    tolerance : float
        What counts as converged for a smooth activation.

    Raises
    ------
    InvalidInput
        If no rule converges: the activation jumps.
    """
    act = RandomFeatures(psi_p=1, psi_n=1, diffusion_time=1, activation=activation).act
    # Off the lattice, so that a kink at 0 is not met exactly.
    u = np.linspace(-6.0, 6.0, 97)[None, :, None] + 0.0123
    s = np.array([low, high])[None, None, :]

    def coefficients(rule: Rule) -> Floats:
        return _apply(rule, act(u + rule.nodes[:, None, None] * s))

    def error(size: int, reference: Floats) -> float:
        return float(np.abs(coefficients(_rule(size, order)) - reference).max())

    best = coefficients(_rule(_REFERENCE, order))
    for size in _SIZES:
        if (off := error(size, best)) <= tolerance:
            return dataclasses.replace(_rule(size, order), error=off)
    off = error(_ROUGH_SIZE, coefficients(_rule(4 * _ROUGH_SIZE + 3, order)))
    if off <= ROUGH_TOLERANCE:
        return dataclasses.replace(_rule(_ROUGH_SIZE, order), error=off)
    raise InvalidInput.of(
        "activation",
        activation,
        f"be continuous for its noise average to be computed (quadrature error {off:.1g})",
        "smooth it",
    )


@functools.lru_cache(maxsize=1024)
def _shared_interpolant(
    activation: str | Activation, order: int, low: float, high: float, tolerance: float, reach: float
) -> Interpolant | None:
    rule = quadrature(activation, order, low, high, tolerance)
    if len(rule.nodes) >= _ROUGH_SIZE:
        return None
    act = RandomFeatures(psi_p=1, psi_n=1, diffusion_time=1, activation=activation).act

    def exact(u: Floats, s: Floats) -> Floats:
        return _apply(rule, act(u + rule.nodes[:, None, None] * s[:, None]))

    return interpolate(exact, reach, low, high, tolerance)


class Response:
    """Hermite coefficients of the activation, for many neurons and inputs at once.

    Parameters
    ----------
    model : RandomFeatures
        Gives the activation.
    order : int
        Highest order M.
    low, high : float
        Smallest and largest noise amplitude that will be asked for.
    backend : Backend
        Where the arrays live.
    block_bytes : int
        Scratch memory of one block.
    tolerance : float
        As in `quadrature`.

    Notes
    -----
    relu has closed forms; everything else is integrated over z: at each input, or where the inputs are many and the
    result is smooth, at the nodes of an interpolant (`diffclaims.finite.interpolant`) of the same tolerance.
    """

    def __init__(
        self,
        model: RandomFeatures,
        order: int,
        low: float,
        high: float,
        *,
        backend: Backend,
        block_bytes: int = 1 << 26,
        tolerance: float = SMOOTH_TOLERANCE,
    ) -> None:
        self.model, self.order, self.backend, self.block_bytes = model, order, backend, block_bytes
        self.low, self.high, self.tolerance = low, high, tolerance
        self.rule = None
        if model.activation != "relu":
            self.rule = quadrature(model.activation, order, low, high, tolerance)
        self.error = 0.0 if self.rule is None else self.rule.error

    def __call__(self, u: Array, s: Array) -> tuple[list[Array], Array]:
        """Return c_0..c_M and the second moment, each of the shape of `u` (p, b); `s` has shape (p,)."""
        if self.rule is None:
            return self._relu(u, s[:, None])
        if u.shape[1] >= _FEW and (found := self._interpolant(u, s)) is not None:
            out = found.values(u, s, self.backend)
        else:
            out = self._quadrature(u, s)
        return [out[m] for m in range(self.order + 1)], out[-1]

    def _quadrature(self, u: Array, s: Array) -> Array:
        """All orders and the second moment (M + 2, p, b), averaged over the noise at each input."""
        assert self.rule is not None
        xp, rule = self.backend, self.rule
        p, b = u.shape
        out = xp.zeros(self.order + 2, p, b)
        nodes, table = xp.array(rule.nodes)[:, None, None], xp.array(rule.table)
        weights = xp.array(rule.weights)[None]
        rows = max(1, self.block_bytes // (8 * len(rule.nodes) * b))
        for i in range(0, p, rows):
            part = slice(i, min(i + rows, p))
            values = xp.act(self.model, u[None, part] + nodes * s[None, part, None])
            flat = values.reshape(len(rule.nodes), -1)
            out[:-1, part] = (table @ flat).reshape(self.order + 1, -1, b)
            out[-1, part] = (weights @ (flat * flat)).reshape(-1, b)
        return out

    def _interpolant(self, u: Array, s: Array) -> Interpolant | None:
        """Polynomials that err by less than the quadrature may, where there are such."""
        assert self.rule is not None
        # Rounded outwards, so that draws share it.
        reach = max(np.ceil(2 * float(abs(u).max())) / 2, 0.5)
        low, high = min(self.low, float(s.min())), max(self.high, float(s.max()))
        return _shared_interpolant(self.model.activation, self.order, low, high, self.tolerance, reach)

    def _relu(self, u: Array, s: Array) -> tuple[list[Array], Array]:
        a = u / s
        above = self.backend.call("ndtr", a)
        density = self.backend.call("exp", -0.5 * a * a) / math.sqrt(2 * math.pi)
        c = [u * above + s * density, s * above]
        hermite = [a * 0 + 1, a]
        for m in range(2, self.order + 1):
            # d^m/du^m E relu = (-1)^m He_{m-2}(a) phi(a) / s^(m-1).
            c.append((-1) ** m * hermite[m - 2] * density * s / math.sqrt(math.factorial(m)))
            hermite.append(a * hermite[m - 1] - (m - 1) * hermite[m - 2])
        return c[: self.order + 1], (u * u + s * s) * above + u * s * density
