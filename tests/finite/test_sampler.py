"""U-turns: the sampler with the true score against the posteriors, and with learned ones."""

from __future__ import annotations

import numpy as np
import pytest

from diffclaims import finite
from diffclaims.errors import InvalidInput
from diffclaims.finite.draw import generator, realize
from diffclaims.finite.sampler import time_grid
from diffclaims.finite.scores import exact_score, log_posterior
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures

MIXTURE = GaussianMixture([0.25, 0.75], [1.0, 0.6], centroid_gram=[[0.5, -0.5], [-0.5, 0.5]])
MODEL = RandomFeatures(psi_p=4, psi_n=8, diffusion_time=0.1)
TIMES = np.array([0.3, 1.0, 1.6])


@pytest.fixture(scope="module")
def exact():
    return finite.speciation(
        (MIXTURE, MODEL), TIMES, n_dims=20, seeds=8, n_points=800, n_steps=150, score="exact"
    )


def expected(n_dims=20, n=40_000):
    """E p(l | x_t) over fresh points of each class, by plain sampling."""
    population = realize(MIXTURE, n_dims, seed=0)
    out = np.empty((2, 2, TIMES.size))
    for k in range(2):
        x = population.sample(k, n, generator(11, k))
        xi = generator(12, k).standard_normal(x.shape)
        for i, t in enumerate(TIMES):
            y = np.exp(-t) * x + np.sqrt(-np.expm1(-2 * t)) * xi
            p = log_posterior(population, y, np.exp(-2 * t), -np.expm1(-2 * t))
            out[k, :, i] = np.exp(p).mean(axis=0)
    return out


def test_true_score_returns_as_the_posterior_says(exact):
    off = exact.transition.mean("seed").values - expected()
    # 4 standard errors of both samples, and 1e-2 for the finite steps.
    assert (np.abs(off) < 4 * exact.transition_stderr.values + 1e-2).all()


def test_true_score_is_in_detailed_balance(exact):
    flow = exact.transition.transpose("seed", "class", "to_class", "diffusion_time").values
    violation = 0.25 * flow[:, 0, 1] - 0.75 * flow[:, 1, 0]
    stderr = violation.std(axis=0, ddof=1) / np.sqrt(8)
    assert (np.abs(violation.mean(axis=0)) < 4 * stderr + 5e-3).all()


def test_transitions_are_probabilities(exact):
    np.testing.assert_allclose(exact.transition.sum("to_class"), 1, atol=1e-12)
    np.testing.assert_array_equal(
        exact.return_probability.sel({"class": 1}), exact.transition.sel({"class": 1, "to_class": 1})
    )
    assert (exact.commitment.sel(diffusion_time=0.3) > 0.95).all()


def test_score_is_the_gradient():
    population = realize(MIXTURE, 6, seed=0)
    y = generator(1).standard_normal((1, 6))

    def log_density(y):
        total = MODEL.signal * population.variances + MODEL.noise
        terms = [
            np.log(w) - 0.5 * np.log(v).sum() - 0.5 * ((y - np.sqrt(MODEL.signal) * mu) ** 2 / v).sum()
            for w, v, mu in zip(population.weights, total, population.centroids, strict=True)
        ]
        return np.logaddexp(*terms)

    h = 1e-5
    slope = [(log_density(y[0] + h * e) - log_density(y[0] - h * e)) / (2 * h) for e in np.eye(6)]
    np.testing.assert_allclose(exact_score(population, MODEL)(y)[0], slope, rtol=1e-6)


def test_learned_score_returns_late_u_turns_and_forgets_early_ones():
    ds = finite.speciation(
        (MIXTURE, MODEL), [0.1, 2.5], n_dims=24, seeds=2, n_points=100, n_steps=25, end=0.05
    )
    assert ds.attrs["score"] == "learned"
    assert (ds.return_probability.sel(diffusion_time=0.1).mean("seed") > 0.9).all()
    # From pure noise the class does not depend on the start.
    forgotten = ds.transition.sel(diffusion_time=2.5).mean("seed").values
    assert np.abs(forgotten[0] - forgotten[1]).max() < 0.3
    again = finite.speciation(
        (MIXTURE, MODEL), [0.1, 2.5], n_dims=24, seeds=[1], n_points=100, n_steps=25, end=0.05
    )
    np.testing.assert_array_equal(again.transition[0], ds.transition.sel(seed=1))


def test_grid_holds_the_turning_times():
    grid = time_grid(TIMES, 0.01, 50)
    assert set(TIMES) <= set(grid)
    assert grid[0] == 1.6
    assert grid[-1] == 0.01
    assert (np.diff(grid) < 0).all()
    assert len(grid) <= 54


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"diffusion_times": [0.001]}, "end must lie between 0 and"),
        ({"diffusion_times": [1.0, 0.5]}, "in increasing order"),
        ({"score": "perfect"}, "score = 'perfect'"),
        ({"training_time": "late"}, "training_time"),
        ({"training_time": -1.0}, "training_time"),
        ({"n_points": 0}, "n_points"),
        ({"n_dims": 1}, "n_dims"),
    ],
)
def test_bad_input_says_what_to_do(arguments, match):
    with pytest.raises(InvalidInput, match=match):
        finite.speciation(
            (MIXTURE, MODEL), **{"diffusion_times": TIMES, "n_dims": 10, "seeds": 1, **arguments}
        )
