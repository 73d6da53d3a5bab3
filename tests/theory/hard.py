"""A fixed list of random mixtures, many of them with far centroids, on which the solver must converge."""

import numpy as np

from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures

COUNT = 200
#: Rules and constants were chosen while looking at the first two lists; the third was drawn once, afterwards; and the
#: fourth after that. When a solve is hopeless was decided while looking at all four.
SEEDS = (0, 20261128, 20261129, 20261130)


def log_uniform(rng, low, high, shape=None):
    return np.exp(rng.uniform(np.log(low), np.log(high), shape))


def drawn(seed=SEEDS[0]):
    """Return the pairs of a mixture and a model, the same ones each time."""
    rng = np.random.default_rng(seed)
    return [draw(rng) for _ in range(COUNT)]


def draw(rng):
    """1 to 5 classes, 1 to 3 direction types, weights from 0.01, largest centroid norm^2 up to 160."""
    k, j = int(rng.integers(1, 6)), int(rng.integers(1, 4))
    weights = 0.01 + (1 - 0.01 * k) * rng.dirichlet(np.ones(k))
    variances = log_uniform(rng, 0.05, 5, (k, j))
    fractions = rng.dirichlet(2 * np.ones(j)) * 0.9 + 0.1 / j if j > 1 else np.ones(1)
    largest = log_uniform(rng, 0.01, 160)
    span = rng.normal(size=(k, int(rng.integers(1, k + 1))))
    gram = span @ span.T
    gram *= largest / np.diag(gram).max()
    near = rng.random() < 0.15  # centroids that do not grow with the dimension
    model = RandomFeatures(
        psi_p=log_uniform(rng, 0.5, 30),
        psi_n=log_uniform(rng, 0.3, 16),
        diffusion_time=log_uniform(rng, 0.01, 1),
    )
    mixture = GaussianMixture(
        weights / weights.sum(), variances, fractions / fractions.sum(), None if near else gram
    )
    return mixture, model


def many_classes(count):
    """Equal weights, and centroids of squared norm about 1 that span twenty directions at most."""
    span = np.random.default_rng(0).normal(size=(count, 20))
    gram = span @ span.T / 20
    mixture = GaussianMixture(np.full(count, 1 / count), np.linspace(0.5, 2.0, count), (1.0,), gram)
    return mixture, RandomFeatures(psi_p=8, psi_n=4, diffusion_time=0.05)
