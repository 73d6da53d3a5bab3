"""Second layers between diffusion times at which they were trained, and points of one class for both."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from diffclaims import finite
from diffclaims.errors import InvalidInput
from diffclaims.finite import sampler
from diffclaims.finite.backend import Backend
from diffclaims.finite.between import fill, trained_steps
from diffclaims.finite.draw import draw_gaussian
from diffclaims.finite.sampler import time_grid
from diffclaims.finite.scores import answers_opposite, learned_scores
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.times.speciation import speciation_times

OPPOSITE = [[0.5, -0.5], [-0.5, 0.5]]
UNLIKE = GaussianMixture([0.2, 0.8], [1.5, 1.0], centroid_gram=OPPOSITE)
ALIKE = GaussianMixture([0.2, 0.8], [1.0, 1.0], centroid_gram=OPPOSITE)
MODEL = RandomFeatures(psi_p=8, psi_n=4, diffusion_time=0.05)
TIMES = np.geomspace(0.05, 5, 60)[::3]
ASKED = {"n_dims": 24, "n_points": 64, "n_steps": 24, "mirrored": True, "sobol": True}


@pytest.mark.parametrize(("n_steps", "every"), [(36, 3), (36, 5), (5, 2), (4, 10), (1, 3), (2, 1)])
def test_both_ends_are_trained(n_steps, every):
    kept = trained_steps(n_steps, every)
    assert kept[0] == 0
    assert kept[-1] == n_steps - 1
    assert (np.diff(kept) <= every).all()


def test_a_cubic_of_the_variable_is_met_and_trained_layers_are_kept():
    times = time_grid(TIMES, 1e-2, 24)[:-1]
    u = np.arctanh(np.exp(-times))
    layers = (1 + u - 2 * u**2 + 0.3 * u**3)[:, None, None] * np.ones((1, 2, 3))
    kept = trained_steps(len(times), 3)
    found = fill(times, kept, layers[kept])
    np.testing.assert_array_equal(found[kept], layers[kept])
    np.testing.assert_allclose(found, layers, atol=1e-10)


@pytest.fixture(scope="module")
def by_spacing():
    return {
        every: finite.speciation((UNLIKE, MODEL), TIMES, seeds=12, scores_every=every, **ASKED)
        for every in (1, 3, 8)
    }


def moved(by_spacing, every):
    """By how much ln t of both classes moves, by seed, where fewer scores are trained."""
    t = [
        np.log(speciation_times(by_spacing[n], of="return_probability", threshold=0.6)["speciation_time"])
        for n in (every, 1)
    ]
    return (t[0] - t[1]).values


def test_speciation_times_stay_where_each_third_score_is_trained(by_spacing):
    """By less than a tenth of what seeds scatter, root mean square; a coarser spline moves them more."""
    t = speciation_times(by_spacing[1], of="return_probability", threshold=0.6)["speciation_time"]
    scatter = np.log(t).std("seed", ddof=1).values.min()
    rms = {every: np.sqrt((moved(by_spacing, every) ** 2).mean()) for every in (3, 8)}
    assert rms[3] < scatter / 10
    assert rms[8] > rms[3]


def test_trained_scores_are_those_of_every_step():
    """With one for each step nothing is interpolated, and others agree with them where they were trained."""
    draw = draw_gaussian(UNLIKE, MODEL, n_dims=12, seed=0)
    models = [dataclasses.replace(MODEL, diffusion_time=float(t)) for t in time_grid(TIMES, 1e-2, 8)[:-1]]
    all_of_them, some = (learned_scores(draw, models, "best", every, Backend()) for every in (1, 4))
    y = np.random.default_rng(0).standard_normal((5, 12))
    kept = trained_steps(len(models), 4)
    for i, (one, other) in enumerate(zip(all_of_them, some, strict=True)):
        assert np.array_equal(one(y), other(y)) == (i in kept)


@pytest.mark.parametrize(
    ("mixture", "mirrored", "activation", "opposite"),
    [
        (ALIKE, True, "tanh", True),
        (ALIKE, True, "erf", True),
        (ALIKE, True, "relu", False),
        (ALIKE, True, np.tanh, False),
        (ALIKE, False, "tanh", False),
        (UNLIKE, True, "tanh", False),
        (GaussianMixture([0.2, 0.8], [1.0, 1.0], centroid_gram=np.diag([1.0, 1.0])), True, "tanh", False),
        (GaussianMixture([0.2, 0.3, 0.5], [1.0, 1.0, 1.0]), True, "tanh", False),
    ],
)
def test_one_class_answers_for_both_where_they_are_opposite(
    monkeypatch, mixture, mirrored, activation, opposite
):
    """And then by the same numbers as all points would."""
    asked = {"n_dims": 10, "n_points": 8, "n_steps": 6, "seeds": 2, "sobol": True, "mirrored": mirrored}
    model = dataclasses.replace(MODEL, activation=activation)
    used = []

    def spy(population, model):
        used.append(answers_opposite(population, model))
        return used[-1]

    monkeypatch.setattr(sampler, "answers_opposite", spy)
    halved = finite.speciation((mixture, model), [0.3, 1.0], **asked)
    monkeypatch.setattr(sampler, "answers_opposite", lambda population, model: False)
    full = finite.speciation((mixture, model), [0.3, 1.0], **asked)
    assert any(used) == opposite
    # Up to the rounding of features in single precision, which depends on how many are asked at once.
    np.testing.assert_allclose(halved["transition"], full["transition"], atol=1e-6)


def test_wrong_half_would_be_seen(monkeypatch):
    """The negative control: classes of unequal variance do not answer opposite points by opposite scores."""
    asked = {"n_dims": 10, "n_points": 8, "n_steps": 6, "seeds": 1, "mirrored": True}
    full = finite.speciation((UNLIKE, MODEL), [0.3, 1.0], **asked)
    monkeypatch.setattr(sampler, "answers_opposite", lambda population, model: True)
    halved = finite.speciation((UNLIKE, MODEL), [0.3, 1.0], **asked)
    assert np.abs(halved["transition"] - full["transition"]).max() > 1e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scores_every": 0}, "scores_every = 0.*at least 1"),
        ({"scores_every": 2, "score": "exact"}, "scores_every = 2.*be 1 where score is not"),
        ({"scores_every": 2, "score": lambda draw, model: None}, "scores_every = 2.*be 1 where score is not"),
    ],
)
def test_spacing_that_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(InvalidInput, match=message):
        finite.speciation((ALIKE, MODEL), [0.3, 1.0], n_dims=10, seeds=1, **arguments)
