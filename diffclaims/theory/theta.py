"""A quadrature over what neurons see of the class means: lattices in few directions, Sobol points in many."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.theory.moments import least_width

Floats = NDArray[np.float64]

#: Lattice points that are made at once, about.
BOX = 200_000
#: Lattice points, in the box around the ball, above which types are quasi-random.
MOST_POINTS = 3.3e6
#: Lattice points up to which lattices are remembered, some of them.
REMEMBERED = 10_000
#: A response below this share of the accuracy is none; bins err by the square of their width.
NEGLIGIBLE = 1e-3


@dataclass(frozen=True)
class Extent:
    """How far theta spreads.

    Attributes
    ----------
    covariance : ndarray, shape (centroids, centroids)
        Of theta, one of each centroid.
    widths : ndarray, shape (centroids,)
        Over which the moments of the classes of each centroid vary, at least.
    """

    covariance: Floats
    widths: Floats

    @classmethod
    def of(cls, mixture: GaussianMixture, model: RandomFeatures) -> Extent:
        """Return that of a model on a mixture."""
        different, which = distinct(mixture.centroid_gram)
        return cls(different * model.signal, widths_of(mixture.class_variance, which, model))

    @cached_property
    def width(self) -> float:
        """Least of the widths."""
        return float(self.widths.min())

    @cached_property
    def wide(self) -> Floats:
        """Standard deviations along the directions in which theta varies, shape (rank,)."""
        return spreads(self.covariance)

    @cached_property
    def own(self) -> Floats:
        """The same where each class is measured in its own width, in units of the least."""
        return spreads(self.covariance / _squares(self.widths))


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
    own_widths : bool
        Whether what neurons see of each class is measured in its own width, and not in the least of all.
    """

    spacing: tuple[float, ...] = (0.4, 0.5, 0.7)
    radius: float = 5.2
    log2_points: int = 12
    per_width: float = 0.0
    negligible: float = 0.0
    per_bin: float = 30.0
    own_widths: bool = False

    def refined(self, level: float = 1) -> ThetaRule:
        """Return a finer rule: each level divides the spacing by 1.4 and doubles the random points."""
        return ThetaRule(
            spacing=tuple(h / 1.4**level for h in self.spacing),
            radius=self.radius + 0.4 * level,
            log2_points=self.log2_points + int(level),
            per_width=self.per_width * 1.4**level,
            negligible=self.negligible / 10.0**level,
            per_bin=self.per_bin * 1.4**level,
            own_widths=self.own_widths,
        )

    def merging(self, accuracy: float) -> ThetaRule:
        """Return a rule that merges types as far as such an accuracy of losses allows."""
        loose = max(accuracy, 1e-8)
        return dataclasses.replace(self, negligible=NEGLIGIBLE * loose, per_bin=loose**-0.5)

    def sampled(self, extent: Extent) -> bool:
        """Return whether the types are quasi-random: the lattice would have too many points."""
        return self.spacings(extent.own if self.own_widths else extent.wide, extent.width) is None

    def scales(self, widths: Floats) -> Floats:
        """Units of the covariance of theta, shape (K, K), of classes whose moments vary over such widths."""
        return _squares(widths) if self.own_widths else np.ones((widths.size, widths.size))

    def spacings(self, wide: Floats, width: float) -> Floats | None:
        """Spacing along each direction of theta, in its standard deviations; None: too many points."""
        rank = wide.size
        if rank == 0:
            return np.empty(0)
        if rank > len(self.spacing):
            return None
        spacings = 1.0 / np.maximum(1.0 / self.spacing[rank - 1], self.per_width * wide / width)
        return spacings if (2 * self.radius / spacings).prod() <= MOST_POINTS else None


def distinct(gram: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Return the Gram matrix of the different centroids, and which of them each class has.

    Of a class that was split in two neurons see what they saw of it whole: both parts share a coordinate of theta, so
    that types do not depend on how often a class was named.
    """
    positions: dict[bytes, int] = {}
    # Zeros of either sign are one.
    where = [positions.setdefault(row.tobytes(), len(positions)) for row in np.asarray(gram) + 0.0]
    first = [where.index(i) for i in range(len(positions))]
    return (gram if len(first) == len(where) else gram[np.ix_(first, first)]), np.array(where)


def widths_of(class_variance: Floats, which: NDArray[np.intp], model: RandomFeatures) -> Floats:
    """Least width over which the moments of the classes of each centroid vary, shape (centroids,)."""
    return np.array([least_width(class_variance[which == j], model) for j in range(which.max() + 1)])


def _squares(widths: Floats) -> Floats:
    """Products of each two widths, relative to the least of all."""
    units = widths / widths.min()
    return np.asarray(units * units[:, None])


def theta_nodes(covariance: Floats, rule: ThetaRule, widths: Floats | None = None) -> tuple[Floats, Floats]:
    """Return nodes and weights of a quadrature over ``theta ~ N(0, covariance)``.

    A lattice weighted by the density: the trapezoidal rule, which for a Gaussian times an analytic
    function converges faster than Gauss-Hermite nodes do; in many dimensions, Sobol points.

    Returns
    -------
    theta : ndarray, shape (T, K)
    weight : ndarray, shape (T,)
        Positive, summing to 1.
    """
    widths = np.ones(covariance.shape[0]) if widths is None else widths
    scales = rule.scales(widths)
    values, vectors = np.linalg.eigh(covariance / scales)
    keep = values > 1e-12 * max(values[-1], 0.0)
    if not keep.any() or values[-1] <= 0:
        return np.zeros((1, covariance.shape[0])), np.ones(1)
    root = np.sqrt(np.diag(scales))[:, None] * vectors[:, keep] * np.sqrt(values[keep])
    rank = int(keep.sum())
    spacings = rule.spacings(np.sqrt(values[keep]), float(widths.min()))
    if spacings is not None:
        few = (2 * rule.radius / spacings).prod() <= REMEMBERED
        grid, weight = (_remembered if few else _weighted)(tuple(spacings.tolist()), rule.radius)
    else:
        from scipy.stats import qmc  # takes longer to import than most mixtures to solve; few need it

        sobol = qmc.Sobol(rank, scramble=True, rng=np.random.default_rng(0))
        # The first coordinates of Sobol points are the most even: they go to the widest directions.
        half = ndtri(sobol.random_base2(rule.log2_points))[:, ::-1]
        # Match the second moment exactly: it is the part of the error that every loss sees first.
        half = half @ np.linalg.inv(np.linalg.cholesky(half.T @ half / half.shape[0])).T
        grid = np.concatenate([half, -half])
        weight = np.full(grid.shape[0], 1.0 / grid.shape[0])
    return grid @ root.T, weight


def spreads(covariance: Floats) -> Floats:
    """Standard deviations of theta along the directions in which it varies."""
    values = np.linalg.eigvalsh(covariance)
    return np.sqrt(values[values > 1e-12 * max(values[-1], 0.0)]) if values[-1] > 0 else np.empty(0)


def _weighted(spacings: tuple[float, ...], radius: float) -> tuple[Floats, Floats]:
    """Points of a lattice, and their weights by the density of standard normals."""
    grid = _lattice(np.array(spacings), radius)
    weight = np.exp(-(grid**2).sum(axis=1) / 2)
    weight /= weight.sum()
    for array in (grid, weight):
        array.setflags(write=False)
    return grid, weight


#: In units of theta's deviations near centroids of all mixtures have the same lattice.
_remembered = lru_cache(maxsize=32)(_weighted)


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
