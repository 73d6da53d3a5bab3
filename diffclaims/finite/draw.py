"""One draw of the experiment at finite size: features' weights, training samples, test samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from diffclaims.errors import InvalidInput
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.problem.names import Name, labels_of, match_labels

Floats = NDArray[np.float64]

# Streams of random numbers under one seed. Each purpose has its own, so that asking for more test
# points never changes the training set.
_WEIGHTS, _CENTROIDS, _TRAIN, _TEST, NOISE, _SPLIT, STEPS, TURNS = range(8)


def generator(seed: int, *stream: int) -> np.random.Generator:
    """Return the generator of one purpose under one seed."""
    return np.random.default_rng(np.random.SeedSequence([seed, *stream]))


def proportional_counts(total: int, shares: Floats) -> NDArray[np.int64]:
    """Split `total` in proportion to `shares`, by largest remainder; the counts sum to `total`."""
    exact = total * shares / shares.sum()
    counts: NDArray[np.int64] = np.floor(exact + 1e-9).astype(np.int64)
    rest = np.argsort(counts - exact, kind="stable")[: total - int(counts.sum())]
    counts[rest] += 1
    return counts


@dataclass(frozen=True, kw_only=True)
class Population:
    """The mixture at finite d, in the coordinates where all covariances are diagonal.

    Attributes
    ----------
    weights : ndarray, shape (K,)
        Class probabilities.
    centroids : ndarray, shape (K, d)
        Class means.
    variances : ndarray, shape (K, d)
        Variance of each class in each coordinate.
    """

    weights: Floats
    centroids: Floats
    variances: Floats

    @property
    def n_dims(self) -> int:
        """Dimension, d."""
        return int(self.centroids.shape[1])

    def sample(self, cls: int, n: int, rng: np.random.Generator) -> Floats:
        """Return `n` points of one class, shape (n, d)."""
        z = rng.standard_normal((n, self.n_dims))
        return np.asarray(self.centroids[cls] + np.sqrt(self.variances[cls]) * z)

    def bayes_loss(self, model: RandomFeatures) -> Floats:
        """Loss of the best linear denoiser of each class, shape (K,)."""
        return np.asarray(1 - np.mean(model.noise / (model.signal * self.variances + model.noise), axis=1))


def realize(mixture: GaussianMixture, n_dims: int, seed: int) -> Population:
    """Lay a mixture out in `n_dims` dimensions.

    Types take blocks of coordinates, whose sizes are the fractions of d by largest remainder: no
    generality is lost, because the features are rotation invariant. Centroids lie in a random frame
    and have exactly the Gram matrix ``n_dims * centroid_gram``.

    Raises
    ------
    InvalidInput
        If d is too small for a direction of each type and for the centroids.
    """
    rank = int(np.linalg.matrix_rank(mixture.centroid_gram)) if mixture.centroid_gram.any() else 0
    counts = proportional_counts(n_dims, mixture.fractions)
    needed = max(rank, int(np.ceil(1 / mixture.fractions.min() - 1e-9)), 2)
    if counts.min() < 1 or n_dims < needed:
        raise InvalidInput.of(
            "n_dims",
            n_dims,
            f"give every direction type a direction and every centroid a place (here at least {needed})",
            "raise n_dims",
        )
    variances = np.repeat(mixture.variances, counts, axis=1)
    centroids = np.zeros((mixture.n_classes, n_dims))
    if rank:
        values, vectors = np.linalg.eigh(mixture.centroid_gram)
        root = vectors[:, -rank:] * np.sqrt(np.maximum(values[-rank:], 0.0))
        frame, _ = np.linalg.qr(generator(seed, _CENTROIDS).standard_normal((n_dims, rank)))
        centroids = np.sqrt(n_dims) * root @ frame.T
    return Population(weights=mixture.weights, centroids=centroids, variances=variances)


@dataclass(frozen=True, kw_only=True)
class Draw:
    """Everything random of one seed, except noise.

    Attributes
    ----------
    seed : int
        Where it came from.
    features : ndarray, shape (p, d)
        First-layer weights W, i.i.d. N(0, 1).
    train : tuple of ndarray, each (n_k, d)
        Training samples by class; the n_k are in proportion to the weights.
    test : tuple of ndarray, each (m_k, d), or None
        Fresh samples by class; None where the population is known and is used itself.
    population : Population or None
        The population, where it is known.
    """

    seed: int
    features: Floats
    train: tuple[Floats, ...]
    test: tuple[Floats, ...] | None
    population: Population | None

    @property
    def n_dims(self) -> int:
        """Dimension, d."""
        return int(self.features.shape[1])

    @property
    def n_features(self) -> int:
        """Number of features, p."""
        return int(self.features.shape[0])

    @property
    def n_samples(self) -> int:
        """Number of training samples, n."""
        return sum(len(x) for x in self.train)

    @property
    def shares(self) -> Floats:
        """Share of each class in the training set, shape (K,)."""
        return np.array([len(x) for x in self.train]) / self.n_samples


def sizes(model: RandomFeatures, n_dims: int, n_classes: int) -> tuple[int, int]:
    """Return (p, n) of a model at dimension d.

    Raises
    ------
    InvalidInput
        If d is not a positive integer, or too small for a feature and a sample of each class.
    """
    if isinstance(n_dims, bool) or not isinstance(n_dims, int | np.integer) or n_dims < 2:
        raise InvalidInput.of("n_dims", n_dims, "be an integer of at least 2", "give the dimension d")
    p, n = round(model.psi_p * n_dims), round(model.psi_n * n_dims)
    if p < 1 or n < n_classes:
        raise InvalidInput.of(
            "n_dims",
            n_dims,
            f"give at least 1 feature and {n_classes} training samples, one per class "
            f"(psi_p d = {p}, psi_n d = {n})",
            "raise n_dims",
        )
    return p, n


def opposite_size(x: Floats) -> Floats:
    """Return normal numbers of the same sign whose size is as rare from the other end.

    A number larger than all but a share q of them becomes one smaller than all but a share q: of normal
    numbers come normal numbers, large for small and small for large.
    """
    # Away from 1, where the size would be infinite.
    tail = np.minimum(2 * ndtr(-np.abs(x)), 1 - 1e-16)
    return np.asarray(np.copysign(-ndtri((1 - tail) / 2), x))


def draw_gaussian(
    mixture: GaussianMixture,
    model: RandomFeatures,
    *,
    n_dims: int,
    seed: int,
    n_test: int | None = None,
    partner: bool = False,
) -> Draw:
    """Draw weights and samples of a Gaussian mixture.

    Class counts are the weights' shares of n, not multinomial: seeds then differ in the draws, not in the
    imbalance.

    Parameters
    ----------
    mixture, model
        The experiment.
    n_dims : int
        Dimension d; p = round(psi_p d), n = round(psi_n d).
    seed : int
        Seed.
    n_test : int, optional
        Fresh test points per class; by default none, and the population itself is used.
    partner : bool
        Return the other member of the seed's pair: as likely as the first, with the same centroids. Each class
        has the random numbers of the next one, and where neurons overlap much with the centroids they now do little.
    """
    p, n = sizes(model, n_dims, mixture.n_classes)
    counts = proportional_counts(n, mixture.weights)
    if counts.min() < 1:
        raise InvalidInput.of(
            "n_dims",
            n_dims,
            f"give every class a training sample (n = {n}, by class {counts.tolist()})",
            "raise n_dims or psi_n",
        )
    population = realize(mixture, n_dims, seed)
    classes = range(mixture.n_classes)
    stream = [(k + 1) % mixture.n_classes for k in classes] if partner else list(classes)
    test = None
    if n_test is not None:
        test = tuple(population.sample(k, n_test, generator(seed, _TEST, stream[k])) for k in classes)
    features = generator(seed, _WEIGHTS).standard_normal((p, n_dims))
    if partner:
        features = _across(features, population.centroids)
    return Draw(
        seed=seed,
        features=features,
        train=tuple(
            population.sample(k, int(counts[k]), generator(seed, _TRAIN, stream[k])) for k in classes
        ),
        test=test,
        population=population,
    )


def _across(features: Floats, centroids: Floats) -> Floats:
    """Weights whose overlaps with the centroids have opposite sizes; elsewhere the same."""
    _, values, axes = np.linalg.svd(centroids, full_matrices=False)
    axes = axes[values > 1e-9 * values.max(initial=1.0)]
    overlaps = features @ axes.T
    return np.asarray(features + (opposite_size(overlaps) - overlaps) @ axes)


def check_samples(
    x: ArrayLike, labels: ArrayLike, classes: Sequence[Name] | None = None
) -> tuple[Floats, NDArray[np.int64], list[Name]]:
    """Return samples of the classes as (N, d) floats, the position of each one's class, and the classes.

    Labels are matched by name to `classes`, and samples of other classes are left out; without
    `classes`, they are the labels in sorted order.
    """
    data = np.asarray(x, dtype=np.float64)
    data = data.reshape(len(data), -1) if data.ndim > 1 else data
    names = labels_of(labels)
    if data.ndim != 2 or names.shape != (len(data),) or not np.isfinite(data).all():
        raise InvalidInput.of(
            "x",
            np.shape(x),
            f"be finite samples along the first axis, one for each of the {names.size} labels",
            "give arrays of shape (N, ...) and (N,)",
        )
    chosen: list[Name] = np.unique(names).tolist() if classes is None else list(classes)
    index = match_labels(names, chosen)
    return data[index >= 0], index[index >= 0], chosen


def draw_samples(
    x: Floats,
    labels: NDArray[np.int64],
    weights: Floats,
    model: RandomFeatures,
    *,
    seed: int,
    n_test: int | None = None,
    classes: Sequence[Name] | None = None,
) -> Draw:
    """Split real samples into disjoint training and test sets and draw the weights.

    Parameters
    ----------
    x : ndarray, shape (N, d)
        Samples.
    labels : ndarray of int, shape (N,)
        Class of each, 0..K-1.
    weights : ndarray, shape (K,)
        Shares of the classes in the training set.
    model : RandomFeatures
        n = round(psi_n d) samples are for training.
    seed : int
        Seed of the split and of the weights.
    n_test : int, optional
        Test points per class; by default all that are left.
    classes : sequence of int or str, optional
        Names of the classes, for messages.

    Raises
    ------
    InvalidInput
        If a class has too few samples for its share and at least one test point.
    """
    n_dims = x.shape[1]
    p, n = sizes(model, n_dims, len(weights))
    counts = proportional_counts(n, weights)
    train, test = [], []
    for k, count in enumerate(counts):
        rows = np.flatnonzero(labels == k)
        wanted = int(count) + (1 if n_test is None else n_test)
        if count < 1 or len(rows) < wanted:
            raise InvalidInput.of(
                "x",
                f"{len(rows)} samples of class {k if classes is None else classes[k]}",
                f"hold {count} training samples and {wanted - count} test samples of it, at least 1 of each "
                f"(psi_n d = {n} in all)",
                "give more samples, or change psi_n, n_test or the weights",
            )
        rows = generator(seed, _SPLIT, k).permutation(rows)
        train.append(x[rows[:count]])
        test.append(x[rows[count:] if n_test is None else rows[count:wanted]])
    return Draw(
        seed=seed,
        features=generator(seed, _WEIGHTS).standard_normal((p, n_dims)),
        train=tuple(train),
        test=tuple(test),
        population=None,
    )


def check_seeds(seeds: int | Sequence[int]) -> list[int]:
    """Return the seeds: ``range(seeds)`` for a number, the seeds themselves for a sequence."""
    listed = list(range(seeds)) if isinstance(seeds, int | np.integer) else [int(s) for s in seeds]
    if not listed or min(listed) < 0 or len(set(listed)) < len(listed):
        raise InvalidInput.of(
            "seeds", seeds, "be a number above 0 or distinct seeds >= 0", "give for instance seeds=4"
        )
    return listed
