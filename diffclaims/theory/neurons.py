"""What one neuron sees of each class: the Gaussian equivalent of the activation.

Over neurons the class means theta = (theta_1 .. theta_K) that enter the activation are Gaussian with
covariance exp(-2t) C. A quadrature over theta turns the neurons into a finite number of *types*, and
each type has four numbers per class, which are all that the rest of the theory needs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline
from scipy.special import ndtr, ndtri
from scipy.stats import qmc

from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.theory.averages import Line, calibrated, line

Floats = NDArray[np.float64]

#: Knots per width of the smoothed activation, where moments come from a spline, and the spline's degree.
KNOTS = 12.0
ORDER = 7
#: Lattice points that are made at once, about.
BOX = 200_000
#: So few types are not worth merging.
FEW = 3000
#: Lattice points, in the box around the ball, above which types are quasi-random.
MOST_POINTS = 3.3e6


@dataclass(frozen=True)
class Neurons:
    """Quadrature over neuron types with the moments of the activation.

    Attributes
    ----------
    weight : ndarray, shape (T,)
        Probability of each type.
    a : ndarray, shape (T, K)
        Linear response ``E act'(theta_k + Gamma_k z)``.
    c : ndarray, shape (T, K)
        Mean ``E act(theta_k + Gamma_k z)``.
    v2 : ndarray, shape (T, K)
        Variance of the noise-averaged feature beyond its linear part.
    s2 : ndarray, shape (T, K)
        Variance of the feature over the noise beyond its linear part.
    """

    weight: Floats
    a: Floats
    c: Floats
    v2: Floats
    s2: Floats

    @property
    def n_types(self) -> int:
        """Number of neuron types, T."""
        return int(self.weight.size)


@dataclass(frozen=True, kw_only=True)
class ThetaRule:
    """Resolution of the quadrature over neuron types.

    Attributes
    ----------
    spacing : tuple of float
        Lattice spacing, in standard deviations, when the centroids span one, two or three directions.
    radius : float
        Standard deviations at which the lattice ends.
    log2_points : int
        Quasi-random points (two to this power, then mirrored) when they span more directions, or when
        the lattice would have more than `MOST_POINTS`.
    per_width : float
        Lattice points per width over which the moments of a neuron vary. Where centroids are far, theta
        spreads over many widths, and the spacing follows this. 0 leaves it as it is.
    negligible : float
        A neuron responds to no class, or to one alone, where the moments of the others are below this, relative
        to their maxima: such types are merged, of one class in bins of `per_bin` a width. 0 keeps them all.
    per_bin : float
        Bins per width.
    """

    spacing: tuple[float, ...] = (0.4, 0.5, 0.7)
    radius: float = 5.2
    log2_points: int = 12
    per_width: float = 0.0
    negligible: float = 0.0
    per_bin: float = 30.0

    def refined(self, level: float = 1) -> ThetaRule:
        """Return a finer rule: each level divides the spacing by 1.4 and doubles the random points."""
        return ThetaRule(
            spacing=tuple(h / 1.4**level for h in self.spacing),
            radius=self.radius + 0.4 * level,
            log2_points=self.log2_points + int(level),
            per_width=self.per_width * 1.4**level,
            negligible=self.negligible / 10.0**level,
            per_bin=self.per_bin * 1.4**level,
        )

    def sampled(self, mixture: GaussianMixture, model: RandomFeatures) -> bool:
        """Return whether the types are quasi-random: the lattice would have too many points."""
        spreads = _spreads(mixture.centroid_gram * model.signal)
        return self._spacings(spreads, _width(mixture.class_variance, model)) is None

    def _spacings(self, spreads: Floats, width: float) -> Floats | None:
        """Spacing along each direction of theta, in its standard deviations; None: too many points."""
        rank = spreads.size
        if rank == 0:
            return np.empty(0)
        if rank > len(self.spacing):
            return None
        spacings = 1.0 / np.maximum(1.0 / self.spacing[rank - 1], self.per_width * spreads / width)
        return spacings if (2 * self.radius / spacings).prod() <= MOST_POINTS else None


def neurons(
    mixture: GaussianMixture,
    model: RandomFeatures,
    *,
    rule: ThetaRule | None = None,
    n_normal: int = 1,
) -> Neurons:
    """Return the neuron types of a model on a mixture.

    Parameters
    ----------
    mixture : GaussianMixture
        The data.
    model : RandomFeatures
        Noise level and activation.
    rule : ThetaRule, optional
        Quadrature over theta. Half of its nodes are kept for odd activations, whose moments do not
        change with the sign of theta.
    n_normal : int
        Refinement factor of the inner averages over Gaussian fields.

    Returns
    -------
    Neurons
    """
    # Neither the classes' weights nor the sizes of the model enter: scans over them compute this once.
    # A callable may keep a state, so that only activations with a name are remembered.
    compute = _remembered if isinstance(model.activation, str) else _neurons
    return compute(
        tuple(mixture.centroid_gram.ravel().tolist()),
        tuple(mixture.class_variance.tolist()),
        dataclasses.replace(model, psi_p=1.0, psi_n=1.0),
        rule or ThetaRule(),
        n_normal,
    )


def _neurons(
    gram: tuple[float, ...],
    class_variance: tuple[float, ...],
    model: RandomFeatures,
    rule: ThetaRule,
    n_normal: int,
) -> Neurons:
    k = len(class_variance)
    width = _width(np.array(class_variance), model)
    covariance, odd = np.reshape(gram, (k, k)) * model.signal, _is_odd(model)
    if rule._spacings(_spreads(covariance), width) is None:
        return _sampled(covariance, class_variance, model, rule, n_normal)
    theta, weight = theta_nodes(covariance, rule, width)
    if theta.shape[0] > 1 and odd:
        # Only even functions of theta occur, so one of each mirror pair carries both.
        keep = _half(theta)
        weight = np.where(np.abs(theta[keep]).sum(axis=1) > 0, 2 * weight[keep], weight[keep])
        theta = theta[keep]
    weight = weight / weight.sum()
    if rule.negligible > 0 and weight.size > FEW:
        theta, weight = _merged(theta, weight, class_variance, model, rule, width)
    return _frozen(weight, *_all_moments(theta, class_variance, model, n_normal))


def _sampled(
    covariance: Floats,
    class_variance: tuple[float, ...],
    model: RandomFeatures,
    rule: ThetaRule,
    n_normal: int,
) -> Neurons:
    """Quasi-random types, weighted so that averages which are known hold exactly."""
    theta, _ = theta_nodes(covariance, rule)
    if _is_odd(model):
        theta = theta[: theta.shape[0] // 2]  # the other half mirrors it
    a, c, v2, s2 = _all_moments(theta, class_variance, model, n_normal)

    spreads = np.sqrt(np.diag(covariance))
    # Of a class whose mean is 0 every neuron sees the same; of one that was split it sees the same twice.
    _, first = np.unique(np.column_stack([covariance, class_variance]), axis=0, return_index=True)
    seen = np.sort(first[spreads[first] > 1e-6 * spreads.max()])
    # They are the same at each resolution.
    tabulate = _remembered_line if isinstance(model.activation, str) else _line
    lines = [tabulate(class_variance[k], float(spreads[k]), model, n_normal) for k in seen]
    known = np.stack([part.T[seen] for part in (a, v2, s2)])
    return _frozen(calibrated(known, lines, covariance[np.ix_(seen, seen)]), a, c, v2, s2)


def _line(variance: float, spread: float, model: RandomFeatures, n_normal: int) -> Line:
    def moments(at: Floats) -> Floats:
        response, _, *rest = _moments(at, variance, model, n_normal)
        return np.stack([response, *rest])

    return line(moments, _width(np.array([variance]), model), spread)


_remembered_line = lru_cache(maxsize=64)(_line)


def _all_moments(
    theta: Floats, class_variance: tuple[float, ...], model: RandomFeatures, n_normal: int
) -> list[Floats]:
    """Moments of every class: a, c, v2 and s2, each of shape (T, K)."""
    parts = [_moments(theta[:, j], variance, model, n_normal) for j, variance in enumerate(class_variance)]
    return [np.stack(column, axis=1) for column in zip(*parts, strict=True)]


def _frozen(*arrays: Floats) -> Neurons:
    for array in arrays:
        array.setflags(write=False)
    return Neurons(*arrays)


#: Ten classes with centroids have some megabytes of types at each resolution.
_remembered = lru_cache(maxsize=16)(_neurons)


def _spreads(covariance: Floats) -> Floats:
    """Standard deviations of theta along the directions in which it varies."""
    values = np.linalg.eigvalsh(covariance)
    return np.sqrt(values[values > 1e-12 * max(values[-1], 0.0)]) if values[-1] > 0 else np.empty(0)


def _width(class_variance: Floats, model: RandomFeatures) -> float:
    """Width in theta over which the moments of a neuron vary, of the class where it is least.

    Gamma_k smooths the activation, which varies over about 0.5 by itself.
    """
    return float(np.sqrt(0.3 + model.signal * class_variance.min() + model.noise))


def _merged(
    theta: Floats,
    weight: Floats,
    class_variance: tuple[float, ...],
    model: RandomFeatures,
    rule: ThetaRule,
    width: float,
) -> tuple[Floats, Floats]:
    """Merge the types that respond to no class or to one: theta in between does not matter to the others."""
    line = np.linspace(-1, 1, 401) * np.abs(theta).max(axis=0)[:, None]
    responds, flat = np.empty(theta.shape, dtype=bool), np.empty(theta.shape[1])
    for k, variance in enumerate(class_variance):
        a, _, v2, s2 = _moments(line[k], variance, model, 1)
        size = np.stack([a**2, v2, s2])
        share = (size / np.maximum(size.max(axis=1, keepdims=True), 1e-300)).max(axis=0)
        alive = np.flatnonzero(share > rule.negligible)
        ends = line[k][[max(alive[0] - 1, 0), min(alive[-1] + 1, 400)]]
        responds[:, k] = (theta[:, k] >= ends[0]) & (theta[:, k] <= ends[1])
        flat[k] = line[k][np.argmin(share)]
    few = responds.sum(axis=1) <= 1
    if not few.any():
        return theta, weight
    # Bins of theta_k, numbered apart for each class; 0 for types that respond to none.
    bins = np.rint(theta[few] * rule.per_bin / width) + 0.0
    numbers = 1 + int(2 * np.abs(bins).max())
    code = 1 + bins + numbers * (np.arange(theta.shape[1]) + 0.5)
    _, where = np.unique((code * responds[few]).sum(axis=1), return_inverse=True)
    merged = np.bincount(where, weight[few])
    kept = np.where(responds[few], theta[few], flat)
    means = [np.bincount(where, weight[few] * column) / merged for column in kept.T]
    return np.concatenate([theta[~few], np.stack(means, axis=1)]), np.concatenate([weight[~few], merged])


def theta_nodes(covariance: Floats, rule: ThetaRule, width: float = 1.0) -> tuple[Floats, Floats]:
    """Return nodes and weights of a quadrature over ``theta ~ N(0, covariance)``.

    A lattice weighted by the density: the trapezoidal rule, which for a Gaussian times an analytic
    function converges faster than Gauss-Hermite nodes do; in many dimensions, Sobol points.

    Returns
    -------
    theta : ndarray, shape (T, K)
    weight : ndarray, shape (T,)
        Positive, summing to 1.
    """
    values, vectors = np.linalg.eigh(covariance)
    keep = values > 1e-12 * max(values[-1], 0.0)
    if not keep.any() or values[-1] <= 0:
        return np.zeros((1, covariance.shape[0])), np.ones(1)
    root = vectors[:, keep] * np.sqrt(values[keep])
    rank = int(keep.sum())
    spacings = rule._spacings(np.sqrt(values[keep]), width)
    if spacings is not None:
        grid = _lattice(spacings, rule.radius)
        weight = np.exp(-(grid**2).sum(axis=1) / 2)
        weight /= weight.sum()
    else:
        sobol = qmc.Sobol(rank, scramble=True, rng=np.random.default_rng(0))
        # The first coordinates of Sobol points are the most even: they go to the widest directions.
        half = ndtri(sobol.random_base2(rule.log2_points))[:, ::-1]
        # Match the second moment exactly: it is the part of the error that every loss sees first.
        half = half @ np.linalg.inv(np.linalg.cholesky(half.T @ half / half.shape[0])).T
        grid = np.concatenate([half, -half])
        weight = np.full(grid.shape[0], 1.0 / grid.shape[0])
    return grid @ root.T, weight


def _lattice(spacings: Floats, radius: float) -> Floats:
    """Points of a lattice inside a ball, shape (T, rank): A*_rank, stretched to a spacing in each direction.

    In two dimensions this is the triangular lattice, in three the body-centred cubic one: of all
    lattices those that integrate isotropic band-limited functions with the fewest points.
    """
    # Generators: the vertices of a simplex, whose Gram matrix is 1 on, -1/rank off the diagonal.
    rank = spacings.size
    gram = np.full((rank, rank), -1.0 / rank) if rank > 1 else np.zeros((1, 1))
    np.fill_diagonal(gram, 1.0)
    generators = np.linalg.cholesky(gram) * spacings
    # Each integer coordinate is a product with a dual vector: Cauchy-Schwarz bounds it.
    dual = np.linalg.norm(np.linalg.inv(generators), axis=0)
    axes = [np.arange(-int(radius * d), int(radius * d) + 1) for d in dual]
    layers = []
    # Some layers after the others need a small part of the memory.
    for some in np.array_split(axes[0], -(-int(np.prod([axis.size for axis in axes])) // BOX)):
        box = np.stack(np.meshgrid(some, *axes[1:], indexing="ij"), axis=-1)
        points = box.reshape(-1, rank) @ generators
        layers.append(points[(points**2).sum(axis=1) <= radius**2])
    return np.concatenate(layers)


def _half(theta: Floats) -> NDArray[np.bool_]:
    """Mark one of each pair theta, -theta: the one whose first non-zero entry is positive."""
    scale = 1e-9 * np.abs(theta).max()
    sign = np.where(np.abs(theta) > scale, np.sign(theta), 0.0)
    # The most significant entry decides: weight entries by powers of three.
    code = sign @ (3.0 ** -np.arange(theta.shape[1]))
    return np.asarray(code >= 0)


def _is_odd(model: RandomFeatures) -> bool:
    if isinstance(model.activation, str):
        return model.activation in ("tanh", "erf")
    x = np.linspace(0.05, 6.0, 40)
    return bool(np.allclose(model.act(-x), -model.act(x), rtol=0, atol=1e-13))


def _moments(
    theta: Floats, variance: float, model: RandomFeatures, n_normal: int
) -> tuple[Floats, Floats, Floats, Floats]:
    """Moments of one class at each theta."""
    distinct, where = np.unique(theta, return_inverse=True)
    # A smoothed activation varies over the width of what smooths it, at least the noise.
    width = float(np.sqrt(model.signal * variance + model.noise))
    table = _tabulated(
        lambda at: np.stack(_moments_at(at, variance, model, n_normal), axis=1),
        distinct,
        width / (KNOTS * n_normal),
    )
    a, c, v2, s2 = table[where].T
    # The last two are variances: below zero there is only rounding.
    return a, c, np.maximum(v2, 0.0), np.maximum(s2, 0.0)


def _tabulated(function: Callable[[Floats], Floats], values: Floats, spacing: float) -> Floats:
    """Evaluate a smooth function, by a spline through evenly spaced knots where there are more values."""
    low, high = float(values.min()), float(values.max())
    if high - low >= spacing * (values.size - 3 * ORDER):
        return function(values)
    knots = np.linspace(low, high, int((high - low) / spacing) + 2 * ORDER)
    return np.asarray(make_interp_spline(knots, function(knots), k=ORDER)(values))


def _normal_nodes(step: float) -> tuple[Floats, Floats]:
    """Trapezoidal rule for a standard normal: converges geometrically for analytic functions."""
    count = int(np.ceil(9.0 / step))
    z = step * np.arange(-count, count + 1)
    w: Floats = np.exp(-(z**2) / 2)
    return np.asarray(z, dtype=np.float64), w / w.sum()


def _moments_at(
    theta: Floats, variance: float, model: RandomFeatures, n_normal: int
) -> tuple[Floats, Floats, Floats, Floats]:
    """Moments of one class by direct averaging, each of shape (len(theta),)."""
    e2, noise = model.signal, model.noise
    gamma = np.sqrt(e2 * variance + noise)
    sigma = np.sqrt(e2 * variance)
    if model.activation == "relu":
        a, c, second = _relu_moments(theta, gamma)
        # g is smooth on the scale of the noise, which the outer step must resolve.
        z, w = _normal_nodes(min(0.25, 0.4 * np.sqrt(noise) / max(sigma, 1e-300)) / n_normal)
        g2 = _relu_moments(theta[:, None] + sigma * z, np.sqrt(noise))[1] ** 2 @ w
    else:
        smooth = isinstance(model.activation, str)
        step = (0.25 if smooth else 0.05) / n_normal
        z, w = _normal_nodes(min(step, step / gamma))
        field = theta[:, None] + gamma * z
        act = model.act(field)
        a = act @ (w * z) / gamma
        c = act @ w
        second = act**2 @ w
        outer, outer_w = _normal_nodes(min(step, step / max(sigma, 1e-300)))
        g2 = _noise_average(theta[:, None] + sigma * outer, model, step, smooth) ** 2 @ outer_w
    v2 = g2 - c**2 - e2 * variance * a**2
    s2 = second - g2 - noise * a**2
    return a, c, v2, s2


def _noise_average(field: Floats, model: RandomFeatures, step: float, smooth: bool) -> Floats:
    """Average of the activation over the noise, at fields of any shape."""
    z, w = _normal_nodes(step)

    def average(at: Floats) -> Floats:
        out = np.empty_like(at)
        # Blocks keep the grid (field, noise) below some tens of megabytes.
        block = max(1, int(4e6 / z.size))
        for start in range(0, at.size, block):
            part = at[start : start + block, None]
            out[start : start + block] = model.act(part + np.sqrt(model.noise) * z) @ w
        return out

    # Activations that have a name vary over 1; of others nothing is known.
    spacing = 1.0 / (2 * KNOTS) if smooth else 0.0
    return _tabulated(average, field.ravel(), spacing).reshape(field.shape)


def _relu_moments(mean: Floats, width: float) -> tuple[Floats, Floats, Floats]:
    """``E relu'``, ``E relu`` and ``E relu^2`` of a normal field, in closed form."""
    r = mean / width
    density = np.exp(-(r**2) / 2) / np.sqrt(2 * np.pi)
    below = ndtr(r)
    return below, mean * below + width * density, (mean**2 + width**2) * below + mean * width * density
