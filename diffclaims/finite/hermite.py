"""Hermite coefficients of a neuron's response to Gaussian noise.

For a neuron whose preactivation is ``u + s z`` with z ~ N(0, 1), the coefficients
``c_m = E[act(u + s z) He_m(z)] / sqrt(m!)`` give, by Mehler's formula, the expectation of the product of
two neurons whose z have correlation r: ``sum_m r^m c_m c'_m``. The omitted tail of the sum is at
most ``|r|^(M+1)`` times the root of the two neurons' remaining variances (Cauchy-Schwarz).
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.polynomial.hermite_e import hermegauss, hermevander
from numpy.typing import NDArray

from diffclaims.errors import InvalidInput
from diffclaims.finite.backend import Array, Backend
from diffclaims.model import RandomFeatures

Floats = NDArray[np.float64]

#: Gauss-Hermite sizes tried in turn; hermegauss loses accuracy far beyond the last.
_SIZES = (8, 12, 16, 24, 32, 48, 64, 96)
#: What counts as converged on the probe grid, absolute, for coefficients of a smooth activation.
SMOOTH_TOLERANCE = 1e-9
#: The same for an activation with kinks, integrated by a dense midpoint rule.
ROUGH_TOLERANCE = 2e-5
_DENSE = 2400


@dataclass(frozen=True)
class Rule:
    """A quadrature rule: nodes (q,), weights times normalized Hermite polynomials (M + 1, q), weights (q,)."""

    nodes: Floats
    table: Floats
    weights: Floats
    #: Largest change of a coefficient against a finer rule, on the probe grid.
    error: float


def _rule(nodes: Floats, weights: Floats, order: int, error: float = 0.0) -> Rule:
    norms = np.sqrt([float(math.factorial(m)) for m in range(order + 1)])
    table = (hermevander(nodes, order) / norms).T * weights
    return Rule(nodes, np.ascontiguousarray(table), weights, error)


def _gauss(size: int, order: int) -> Rule:
    nodes, weights = hermegauss(size)
    return _rule(nodes, weights / weights.sum(), order)


def _dense(size: int, order: int) -> Rule:
    edge = 9.0
    nodes = (np.arange(size) + 0.5) * (2 * edge / size) - edge
    weights = np.exp(-(nodes**2) / 2)
    return _rule(nodes, weights / weights.sum(), order)


def _apply(rule: Rule, values: Floats) -> Floats:
    """Coefficients and second moment from activations at the nodes, which are the first axis."""
    first = np.tensordot(rule.table, values, axes=1)
    return np.concatenate([first, np.tensordot(rule.weights, values**2, axes=1)[None]])


@functools.lru_cache(maxsize=64)
def quadrature(model: RandomFeatures, order: int, low: float, high: float) -> Rule:
    """Choose a rule that is converged for noise amplitudes between `low` and `high`.

    Gauss-Hermite rules are tried up to 96 nodes; for an activation with kinks, where they do not
    converge, a dense midpoint rule.

    Raises
    ------
    InvalidInput
        If neither converges: the activation jumps.
    """
    # Off the lattice, so that a kink at 0 is not met exactly.
    u = np.linspace(-6.0, 6.0, 97)[None, :, None] + 0.0123
    s = np.array([low, high])[None, None, :]

    def coefficients(rule: Rule) -> Floats:
        return _apply(rule, model.act(u + rule.nodes[:, None, None] * s))

    last = coefficients(_gauss(128, order))
    for size in _SIZES:
        rule = _gauss(size, order)
        error = float(np.abs(coefficients(rule) - last).max())
        if error <= SMOOTH_TOLERANCE:
            return Rule(rule.nodes, rule.table, rule.weights, error)
    rule = _dense(_DENSE, order)
    error = float(np.abs(coefficients(rule) - coefficients(_dense(4 * _DENSE + 3, order))).max())
    if error <= ROUGH_TOLERANCE:
        return Rule(rule.nodes, rule.table, rule.weights, error)
    raise InvalidInput.of(
        "activation",
        model.activation,
        f"be continuous for its noise average to be computed (quadrature error {error:.1g})",
        "smooth it",
    )


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

    Notes
    -----
    relu has closed forms; everything else is integrated over z.
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
    ) -> None:
        self.model, self.order, self.backend, self.block_bytes = model, order, backend, block_bytes
        self.rule = None if model.activation == "relu" else quadrature(model, order, low, high)
        self.error = 0.0 if self.rule is None else self.rule.error

    def __call__(self, u: Array, s: Array) -> tuple[list[Array], Array]:
        """Return c_0..c_M and the second moment, each of the shape of `u` (p, b); `s` has shape (p,)."""
        if self.rule is None:
            return self._relu(u, s[:, None])
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
        return [out[m] for m in range(self.order + 1)], out[-1]

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
