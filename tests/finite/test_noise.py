"""Numbers of U-turns: each point has the law of independent ones, and means scatter less."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats

from diffclaims import finite
from diffclaims.errors import InvalidInput
from diffclaims.finite.decisive import direction, growth, turned
from diffclaims.finite.draw import realize
from diffclaims.finite.noise import Noise
from diffclaims.finite.sampler import _step
from diffclaims.finite.scores import exact_score
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures

OPPOSITE = GaussianMixture([0.35, 0.65], [1.0, 1.0], centroid_gram=[[0.5, -0.5], [-0.5, 0.5]])
UNLIKE = GaussianMixture([0.35, 0.65], [1.5, 1.0], centroid_gram=[[0.5, -0.5], [-0.5, 0.5]])
THREE = GaussianMixture([0.3, 0.3, 0.4], [1.0, 1.0, 1.0], centroid_gram=np.diag([4.0, 4.0, 4.0]))


GRID = np.array([1.5, 0.9, 0.4, 0.1])


def drawn(mixture, n_points=64, **how):
    """Start and steps of one cohort, (start or step, point, class, direction)."""
    noise = Noise(np.random.default_rng(0), realize(mixture, 8, 0), n_points, **how)
    spread = np.full((mixture.n_classes, 8), 0.6)
    return noise, [noise.start(GRID, spread, 0.8), *(noise.step() for _ in GRID[1:])]


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("mixture", [OPPOSITE, THREE])
@pytest.mark.parametrize("sobol", [False, True])
def test_numbers_are_normal_and_independent_of_the_direction(mixture, mirrored, sobol):
    for z in drawn(mixture, n_points=2048, mirrored=mirrored, sobol=sobol)[1]:
        assert z.shape == (2048, mixture.n_classes, 8)
        for k in range(mixture.n_classes):
            assert stats.kstest(z[:, k] @ np.eye(8)[0], "norm").pvalue > 1e-4
            np.testing.assert_allclose(np.cov(z[:, k].T), np.eye(8), atol=0.15)


def test_what_decides_along_the_line_between_centroids_is_even():
    noise, parts = drawn(OPPOSITE, sobol=True, mirrored=True)
    population = realize(OPPOSITE, 8, 0)
    assert abs(noise.axis @ population.centroids[0]) == pytest.approx(2.0)
    along = np.stack([z[:, 0] @ noise.axis for z in parts], axis=1)
    weights = direction(1.0, *growth(population, noise.axis, GRID))
    rank = np.sort(stats.norm.cdf(along @ weights) * 64).astype(int)
    np.testing.assert_array_equal(rank, np.arange(64))
    # The control: no single number is.
    assert np.unique((stats.norm.cdf(along[:, 1]) * 64).astype(int)).size < 64


@pytest.mark.parametrize("mixture", [OPPOSITE, UNLIKE])
def test_what_decides_is_what_the_exact_score_makes_of_each_number(mixture):
    """By differences, from the point where both classes are as likely as each other."""
    population = realize(mixture, 8, 0)
    axis = population.centroids[0] / np.linalg.norm(population.centroids[0])
    grid = np.geomspace(1.5, 0.05, 7)
    model = RandomFeatures(psi_p=4, psi_n=4, diffusion_time=0.05)
    even = dataclasses.replace(
        population, weights=np.array([0.5, 0.5]), variances=population.variances[[0, 0]]
    )

    def end(numbers):
        y = numbers[0] * axis[None, None]
        for score, t, down, z in zip(scores, grid[:-1], grid[1:], numbers[1:], strict=True):
            y = _step(y, score, t, down, z * axis[None, None])
        return float((y @ axis)[0, 0])

    scores = [exact_score(even, dataclasses.replace(model, diffusion_time=t)) for t in grid[:-1]]
    effect = np.array([(end(e) - end(-e)) / 2e-4 for e in 1e-4 * np.eye(7)])
    weights = direction(1.0, *growth(even, axis, grid))
    np.testing.assert_allclose(effect / np.linalg.norm(effect), weights, atol=1e-5)
    assert weights @ direction(1.0, *growth(population, axis, grid)) > 0.99


def test_numbers_are_turned_without_a_change_of_their_law():
    weights = np.array([0.6, 0.0, -0.8])
    matrix = turned(np.eye(3), weights)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-15)
    x = np.random.default_rng(0).standard_normal((5, 3))
    np.testing.assert_allclose(turned(x, weights) @ weights, x[:, 0])
    np.testing.assert_array_equal(turned(x, np.eye(3)[0]), x)


def test_mirrored_classes_have_opposite_numbers():
    for sobol in (False, True):
        for z in drawn(OPPOSITE, sobol=sobol, mirrored=True)[1]:
            np.testing.assert_array_equal(z[:, 0], -z[:, 1])


def test_classes_with_one_centroid_have_no_line():
    one = GaussianMixture([0.5, 0.5], [1.5, 1.0])
    assert drawn(one, sobol=True)[0].axis is None


def test_any_number_of_points_is_taken():
    assert drawn(OPPOSITE, n_points=1, sobol=True)[1][0].shape == (1, 2, 8)
    assert drawn(OPPOSITE, n_points=50, sobol=True)[1][0].shape == (50, 2, 8)


@pytest.fixture(scope="module")
def turns():
    """The exact score of the same seeds, without and with."""
    model = RandomFeatures(psi_p=4, psi_n=4, diffusion_time=0.05)
    asked = {"n_dims": 16, "seeds": 48, "n_points": 64, "n_steps": 12, "score": "exact", "mirrored": True}
    return [
        finite.speciation((OPPOSITE, model), np.geomspace(0.1, 4, 12), sobol=s, **asked)["return_probability"]
        for s in (False, True)
    ]


def test_no_mean_moves(turns):
    error = np.sqrt(sum(t.var("seed", ddof=1) for t in turns) / 48)
    assert (np.abs(turns[0].mean("seed") - turns[1].mean("seed")) <= 4.5 * error + 1e-3).all()


def test_means_scatter_less(turns):
    plain, sobol = (float(t.var("seed", ddof=1).mean()) for t in turns)
    assert sobol < plain / 3


@pytest.mark.parametrize("wrong", [lambda y: y.T, lambda y: y[:-1], lambda y: 0.0])
def test_a_score_that_answers_in_another_shape_is_refused(wrong):
    model = RandomFeatures(psi_p=4, psi_n=4, diffusion_time=0.05)
    with pytest.raises(InvalidInput, match=r"score = .*as many vectors"):
        finite.speciation(
            (OPPOSITE, model),
            [0.5],
            n_dims=16,
            seeds=1,
            n_points=4,
            n_steps=2,
            score=lambda draw, model: wrong,
        )
