"""Three reference cases, and a sampled matrix, that several tests of the solver share.

The losses come from an independent prototype (a plain damped iteration, a ray contour of 96 nodes,
Gauss-Hermite neuron types), itself within its sampling error of finite-size simulations.
"""

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.theory.moments import class_moments
from diffclaims.theory.neurons import neurons
from diffclaims.theory.resolvent import Equations


class Case(NamedTuple):
    mixture: GaussianMixture
    model: RandomFeatures
    test: list[list[float]]
    train: list[list[float]]


TIMES = [1.0, 10.0, 100.0, 1000.0, 10000.0]
CASES = {
    "isotropic": Case(
        GaussianMixture([0.5, 0.5], [1.5, 0.5]),
        RandomFeatures(psi_p=8, psi_n=4, diffusion_time=0.01),
        [[0.99948, 0.99563, 0.98863, 1.02446, 1.29847], [0.99930, 0.99371, 0.97171, 0.97255, 1.07430]],
        [[0.99948, 0.99561, 0.98356, 0.96933, 0.90651], [0.99930, 0.99370, 0.96981, 0.95126, 0.90276]],
    ),
    "two direction types": Case(
        GaussianMixture([0.3, 0.7], [[2.8, 0.2], [0.1, 0.9]], (0.5, 0.5)),
        RandomFeatures(psi_p=8, psi_n=4, diffusion_time=0.01),
        [[0.99945, 0.99538, 0.99178, 1.09866, 1.83005], [0.99925, 0.99330, 0.96868, 0.95753, 0.99709]],
        [[0.99945, 0.99535, 0.98465, 0.97993, 0.90186], [0.99925, 0.99329, 0.96657, 0.93790, 0.87036]],
    ),
    "centroids": Case(
        GaussianMixture([0.25, 0.75], [1.2, 0.6], (1.0,), [[1.0, 0.3], [0.3, 2.0]]),
        RandomFeatures(psi_p=4, psi_n=3, diffusion_time=0.1),
        [[0.97333, 0.87830, 1.03521, 1.56498, 1.74747], [0.97102, 0.83892, 0.79395, 0.94786, 0.99619]],
        [[0.97329, 0.86191, 0.71517, 0.60576, 0.60539], [0.97101, 0.83399, 0.68825, 0.62247, 0.61745]],
    ),
}


def equations(mixture, model, **options):
    return Equations(mixture, model, neurons(mixture, model, **options))


@st.composite
def mixtures(draw, *, max_classes=3, centroids=True):
    """Unlike classes, weights not below a tenth, at most two centroid directions."""
    k = draw(st.integers(2, max_classes))
    j = draw(st.integers(1, 2))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    gram = None
    if centroids and draw(st.booleans()):
        span = rng.normal(size=(k, draw(st.integers(1, 2))))
        gram = draw(st.sampled_from([0.3, 2.0])) * span @ span.T
    weights = 0.1 + rng.dirichlet(np.ones(k)) * (1 - 0.1 * k)
    fractions = [1.0] if j == 1 else [0.3, 0.7]
    return GaussianMixture(weights / weights.sum(), rng.uniform(0.2, 2.0, (k, j)), fractions, gram)


@st.composite
def models(draw, activations=("tanh", "erf", "relu")):
    return RandomFeatures(
        psi_p=draw(st.sampled_from([2.0, 8.0, 24.0])),
        psi_n=draw(st.sampled_from([1.0, 4.0, 15.0])),
        diffusion_time=draw(st.sampled_from([0.02, 0.1, 0.5])),
        activation=draw(st.sampled_from(activations)),
    )


def sampled(mixture, model, n_dims, rng):
    """Sample the Gaussian equivalent of U, its outliers left out, and who carries its modes.

    Returns eigenvalues, shape (p,); the population and training energy of each class in each
    mode, shape (K, p); and the diagonal of U, shape (p,).
    """
    p, e2 = round(model.psi_p * n_dims), model.signal
    variance = np.repeat(mixture.variances, (mixture.fractions * n_dims).round().astype(int), axis=1)
    assert variance.shape[1] == n_dims
    values, vectors = np.linalg.eigh(mixture.centroid_gram * e2)
    theta = rng.normal(size=(p, mixture.n_classes)) @ (vectors * np.sqrt(np.maximum(values, 0))).T
    # The moments at each neuron's own theta, not at the nodes of the quadrature.
    parts = [class_moments(theta[:, k], float(v), model, 1) for k, v in enumerate(mixture.class_variance)]
    a, _, v2, s2 = (np.stack(column, axis=1) for column in zip(*parts, strict=True))
    w = rng.normal(size=(p, n_dims)) / np.sqrt(n_dims)
    counts = np.round(mixture.weights * model.psi_n * n_dims).astype(int)
    n = counts.sum()
    u = np.diag(s2 @ mixture.weights)
    population, features = [], []
    for k, count in enumerate(counts):
        wa = a[:, k : k + 1] * w
        u += mixture.weights[k] * model.noise * wa @ wa.T
        signal = np.sqrt(e2) * wa * np.sqrt(variance[k])
        g = signal @ rng.normal(size=(n_dims, count))
        g += np.sqrt(v2[:, k : k + 1]) * rng.normal(size=(p, count))
        population.append(signal @ signal.T + np.diag(v2[:, k]))
        features.append(g)
        u += g @ g.T / n
    eigenvalues, modes = np.linalg.eigh(u)
    pop = np.stack([np.einsum("ip,ij,jp->p", modes, s, modes, optimize=True) / n for s in population])
    train = np.stack([((g.T @ modes) ** 2).mean(axis=0) / n for g in features])
    return eigenvalues, pop, train, np.diag(u)
