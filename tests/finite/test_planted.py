"""Planted errors have the size that they state, and none of size 0."""

from __future__ import annotations

import numpy as np
import pytest

from diffclaims import GaussianMixture, RandomFeatures, finite
from diffclaims.errors import InvalidInput
from diffclaims.finite.draw import draw_gaussian, generator
from diffclaims.finite.planted import KINDS
from diffclaims.finite.scores import exact_score

GRAM = [[0.5, -0.5], [-0.5, 0.5]]
UNEQUAL = GaussianMixture([0.2, 0.8], [1.5, 1.0], centroid_gram=GRAM)
EQUAL = GaussianMixture([0.2, 0.8], [1.0, 1.0], centroid_gram=GRAM)
MODEL = RandomFeatures(psi_p=2, psi_n=4, diffusion_time=1.2)
POINTS = generator(3).standard_normal((40, 12))


def drawn(mixture=UNEQUAL, seed=0):
    return draw_gaussian(mixture, MODEL, n_dims=12, seed=seed)


def planted(kind, size, mixture=UNEQUAL):
    return finite.PlantedError(kind=kind, size=size)(drawn(mixture), MODEL)


def exact(mixture=UNEQUAL):
    return exact_score(drawn(mixture).population, MODEL)


@pytest.mark.parametrize("kind", KINDS)
def test_size_0_is_the_exact_score_and_another_is_not(kind):
    np.testing.assert_allclose(planted(kind, 0.0)(POINTS), exact()(POINTS), rtol=1e-12, atol=1e-14)
    assert np.abs(planted(kind, 0.3)(POINTS) - exact()(POINTS)).max() > 1e-2


@pytest.mark.parametrize("size", [-0.2, 0.05, 0.4])
def test_a_scaled_score_is_measured_at_its_size(size):
    total, axis = finite.score_error(drawn(), [MODEL], [planted("scale", size)])
    np.testing.assert_allclose(total, size**2, rtol=1e-9)
    np.testing.assert_allclose(axis, size**2, rtol=1e-9)


@pytest.mark.parametrize("size", [0.1, 1.0])
def test_a_random_field_is_measured_at_its_size(size):
    total, _ = finite.score_error(drawn(), [MODEL], [planted("field", size)], n_points=4000)
    # The norm is one of both classes; each of them alone is near it.
    assert abs(np.sqrt(total.mean()) / size - 1) < 0.1


def test_the_mirrored_score_is_odd_and_that_of_equal_weights_for_equal_covariances():
    odd = planted("mirror", 1.0)
    np.testing.assert_allclose(odd(-POINTS), -odd(POINTS), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        planted("mirror", 0.6, EQUAL)(POINTS), planted("weights", 0.6, EQUAL)(POINTS), rtol=1e-9, atol=1e-12
    )
    assert np.abs(exact()(-POINTS) + exact()(POINTS)).max() > 0.1


def test_responsibility_is_taken_from_the_minority_wherever_it_stands():
    population = drawn().population
    none_left = planted("responsibility", 1.0)(POINTS)
    signal, noise = MODEL.signal, MODEL.noise
    alone = -(POINTS - np.sqrt(signal) * population.centroids[1]) / (signal * 1.0 + noise)
    np.testing.assert_allclose(none_left, alone, rtol=1e-9)
    turned = GaussianMixture([0.8, 0.2], [1.0, 1.5], centroid_gram=GRAM)
    population = drawn(turned).population
    alone = -(POINTS - np.sqrt(signal) * population.centroids[0]) / (signal * 1.0 + noise)
    np.testing.assert_allclose(planted("responsibility", 1.0, turned)(POINTS), alone, rtol=1e-9)


def test_a_score_of_ones_own_goes_through_the_sampler():
    asked = {"diffusion_times": [0.5, 1.5], "n_dims": 12, "seeds": 2, "n_points": 20, "n_steps": 6}
    own = finite.speciation((UNEQUAL, MODEL), score=finite.PlantedError(kind="scale", size=0.0), **asked)
    true = finite.speciation((UNEQUAL, MODEL), score="exact", **asked)
    np.testing.assert_array_equal(own["transition"], true["transition"])
    assert own.attrs["score"] == "exact, scale 0"
    wrong = finite.speciation((UNEQUAL, MODEL), score=finite.PlantedError(kind="weights", size=1.0), **asked)
    assert np.abs(wrong["transition"] - true["transition"]).max() > 0.05


@pytest.mark.parametrize(("kind", "size"), [("luck", 0.1), ("weights", 1.5), ("centroid", -0.1)])
def test_an_unknown_error_is_refused(kind, size):
    with pytest.raises(InvalidInput):
        finite.PlantedError(kind=kind, size=size)


def test_three_classes_are_refused():
    three = GaussianMixture([0.2, 0.3, 0.5], [1.0, 1.0, 1.0])
    with pytest.raises(InvalidInput, match="two classes"):
        finite.PlantedError(kind="scale", size=0.1)(drawn(three), MODEL)
