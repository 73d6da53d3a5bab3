import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffclaims.errors import InvalidInput, SolveFailed
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.storage.schema import validate
from diffclaims.theory.curves import bayes_loss, default_training_times, learning_curves
from diffclaims.theory.losses import Problem, losses
from diffclaims.theory.theta import ThetaRule
from tests.theory.hard import many_classes
from tests.theory.reference import CASES, TIMES, equations, mixtures, models

GRID = np.geomspace(0.1, 1e5, 25)


def quick(mixture, model, times=GRID):
    """One resolution, a hundredth of a percent off at most: enough to compare two mixtures."""
    asked = Problem(equations(mixture, model, rule=ThetaRule().refined(1)), times, filter_error=1e-9)
    return losses([asked])[0]


# ---------------------------------------------------------------- reference values


@pytest.mark.parametrize("name", CASES)
def test_reference_cases(name):
    case = CASES[name]
    got = learning_curves(case.mixture, case.model, TIMES)
    validate(got, "curves")
    # The table is rounded to 5e-6.
    np.testing.assert_allclose(got.test_loss, case.test, atol=2e-5)
    np.testing.assert_allclose(got.train_loss, case.train, atol=2e-5)


@pytest.mark.parametrize("name", CASES)
def test_halving_every_quadrature_moves_nothing(name):
    case = CASES[name]
    got = learning_curves(case.mixture, case.model, GRID)
    accuracy = got.attrs["accuracy"]
    assert accuracy <= 1e-5
    # Half the spacing in every direction, and for filters: neuron types, averages over Gaussian fields.
    rule = ThetaRule(spacing=tuple(h / 2 for h in ThetaRule().refined(1).spacing), radius=6.4)
    finer = equations(case.mixture, case.model, rule=rule, n_normal=4)
    (fine,) = losses([Problem(finer, GRID, filter_error=1e-11)])
    assert np.abs(got.test_loss.values - fine.test).max() <= accuracy
    assert np.abs(got.train_loss.values - fine.train).max() <= accuracy


def test_a_tighter_accuracy_is_met():
    case = CASES["centroids"]
    coarse = learning_curves(case.mixture, case.model, GRID, accuracy=1e-3)
    fine = learning_curves(case.mixture, case.model, GRID, accuracy=1e-8)
    assert fine.attrs["accuracy"] <= 1e-8
    assert np.abs(coarse.test_loss - fine.test_loss).max() <= coarse.attrs["accuracy"]


def test_bayes_loss_in_closed_form():
    case = CASES["two direction types"]
    e2, noise = case.model.signal, case.model.noise
    total = e2 * case.mixture.variances + noise
    np.testing.assert_allclose(
        bayes_loss(case.mixture, case.model), (e2 * case.mixture.variances / total) @ [0.5, 0.5]
    )
    got = learning_curves(case.mixture, case.model, [1.0])
    np.testing.assert_allclose(got.bayes_loss, bayes_loss(case.mixture, case.model))


def test_no_loss_falls_below_the_bayes_loss():
    # A class alone, an isotropic Gaussian: the linear denoiser is the best there is.
    model = RandomFeatures(psi_p=64, psi_n=2000, diffusion_time=0.1)
    got = learning_curves(GaussianMixture([1.0], [1.0]), model, np.geomspace(1, 1e6, 60))
    excess = (got.test_loss - got.bayes_loss).values
    assert excess.min() > 0
    assert excess.min() < 0.05 * float(1 - got.bayes_loss[0])


def test_small_losses_agree_with_a_linear_network():
    # With act(x) = x the score is linear in the data and U = W M W^T / d, with M = e2 S_n + Delta:
    # where only the first order in tau matters, 1 - L = 2 Delta kappa tau (1/d) Tr V V^T / Delta.
    mixture = GaussianMixture([0.3, 0.7], [1.5, 0.4])
    model = RandomFeatures(psi_p=3, psi_n=2, diffusion_time=0.3, activation=lambda x: x)
    tau = 1e-5
    got = quick(mixture, model, np.array([tau]))
    np.testing.assert_allclose(
        (1 - got.test[:, 0]) / (2 * model.noise * model.kappa * tau * model.psi_p), 1.0, rtol=1e-3
    )


# ---------------------------------------------------------------- laws


@settings(max_examples=10)
@given(mixtures(), models(), st.randoms(use_true_random=False))
def test_permuting_classes_permutes_the_losses(mixture, model, random):
    order = list(range(mixture.n_classes))
    random.shuffle(order)
    moved = GaussianMixture(
        mixture.weights[order],
        mixture.variances[order],
        mixture.fractions,
        mixture.centroid_gram[np.ix_(order, order)],
    )
    one, two = quick(mixture, model), quick(moved, model)
    np.testing.assert_allclose(two.test, one.test[order], atol=1e-6)
    np.testing.assert_allclose(two.train, one.train[order], atol=1e-6)


@settings(max_examples=10)
@given(mixtures(), models(), st.floats(0.1, 0.9))
def test_splitting_a_class_in_two_changes_nothing(mixture, model, share):
    order = [0, *range(mixture.n_classes)]
    weights = mixture.weights[order].copy()
    weights[:2] *= share, 1 - share
    split = GaussianMixture(
        weights, mixture.variances[order], mixture.fractions, mixture.centroid_gram[np.ix_(order, order)]
    )
    one, two = quick(mixture, model), quick(split, model)
    np.testing.assert_allclose(two.test, one.test[order], atol=1e-6)
    np.testing.assert_allclose(two.train, one.train[order], atol=1e-6)


@settings(max_examples=8)
@given(mixtures(centroids=False), models())
def test_direction_types_may_be_split(mixture, model):
    split = GaussianMixture(
        mixture.weights,
        np.concatenate([mixture.variances, mixture.variances], axis=1),
        np.concatenate([mixture.fractions * 0.25, mixture.fractions * 0.75]),
    )
    one, two = quick(mixture, model), quick(split, model)
    np.testing.assert_allclose(two.test, one.test, atol=1e-8)
    np.testing.assert_allclose(two.train, one.train, atol=1e-8)


@settings(max_examples=8)
@given(mixtures(max_classes=2), models())
def test_a_weight_near_one_is_a_class_alone(mixture, model):
    gram = mixture.centroid_gram

    def distance(rest):
        lopsided = GaussianMixture([1 - rest, rest], mixture.variances, mixture.fractions, gram)
        got = quick(lopsided, model)
        return max(np.abs(got.test[0] - one.test[0]).max(), np.abs(got.train[0] - one.train[0]).max())

    one = quick(GaussianMixture([1.0], mixture.variances[:1], mixture.fractions, gram[:1, :1]), model)
    # Not in proportion to the weight: at the last training times even a rare class is learned.
    assert distance(1e-9) < 0.2 * distance(1e-5) + 1e-6


@settings(max_examples=12)
@given(mixtures(), models())
def test_laws_of_gradient_flow(mixture, model):
    got = quick(mixture, model, np.concatenate([[0.0], GRID]))
    np.testing.assert_allclose(got.test[:, 0], 1.0, atol=1e-12)
    np.testing.assert_allclose(got.train[:, 0], 1.0, atol=1e-12)
    weighted = mixture.weights @ got.train
    assert np.diff(weighted).max() <= 1e-6
    assert (got.train <= got.test + 1e-6).all()


@settings(max_examples=8)
@given(mixtures(), models())
def test_many_samples_close_the_gap(mixture, model):
    gaps = []
    for psi_n in (1e3, 1e4):
        got = quick(mixture, dataclasses.replace(model, psi_n=psi_n))
        gaps.append(np.abs(got.test - got.train).max())
    assert gaps[1] < 0.15 * gaps[0] + 1e-5


@pytest.mark.parametrize(
    ("name", "activation"),
    [
        ("isotropic", "relu"),
        ("isotropic", "erf"),
        ("isotropic", np.sin),
        ("centroids", "relu"),
        ("centroids", "erf"),
    ],
)
def test_other_activations_reach_the_accuracy(name, activation):
    case = CASES[name]
    model = dataclasses.replace(case.model, activation=activation)
    got = learning_curves(case.mixture, model, TIMES)
    assert got.attrs["accuracy"] <= 1e-5
    assert got.attrs["outcome"] == "converged"


def test_the_sign_of_odd_activations_is_free():
    case = CASES["centroids"]
    other = dataclasses.replace(case.model, activation=lambda x: -np.tanh(x))
    np.testing.assert_allclose(
        quick(case.mixture, other).test, quick(case.mixture, case.model).test, atol=1e-7
    )


def test_opposite_centroids_tie():
    mixture = GaussianMixture([0.5, 0.5], [1.0, 1.0], (1.0,), [[1.0, -1.0], [-1.0, 1.0]])
    got = quick(mixture, CASES["centroids"].model)
    np.testing.assert_allclose(got.test[0], got.test[1], atol=1e-12)


# ---------------------------------------------------------------- what else a user sees


def test_default_times_span_the_learning():
    case = CASES["isotropic"]
    times = default_training_times(case.mixture, case.model)
    got = learning_curves(case.mixture, case.model)
    np.testing.assert_array_equal(got.training_time, times)
    assert times.size == 200
    assert np.abs(got.test_loss[:, 0] - 1).max() < 0.02
    last = got.train_loss.values
    assert np.abs(last[:, -1] - last[:, -5]).max() < 1e-3


def test_attributes_say_how_it_was_computed():
    case = CASES["centroids"]
    attrs = learning_curves(case.mixture, case.model, [1.0, 5.0]).attrs
    assert attrs["subject"] == "theory"
    assert attrs["outcome"] == "converged"
    assert attrs["residual"] <= 1e-11
    assert attrs["levels"] >= 2
    assert attrs["steps"] > 0
    assert attrs["neuron_types"] > 100


@pytest.mark.parametrize(
    "times", [[], [1.0, 1.0], [2.0, 1.0], [-1.0, 1.0], [np.nan], [np.inf], "soon", [[1.0, 2.0]], [None]]
)
def test_bad_training_times(times):
    case = CASES["isotropic"]
    with pytest.raises(InvalidInput, match=r"training_times .* increasing"):
        learning_curves(case.mixture, case.model, times)


@pytest.mark.parametrize("accuracy", [0.0, -1.0, np.nan])
def test_bad_accuracy(accuracy):
    case = CASES["isotropic"]
    with pytest.raises(InvalidInput, match=r"accuracy .* above 0"):
        learning_curves(case.mixture, case.model, [1.0], accuracy=accuracy)


@pytest.mark.parametrize("max_levels", [0, 1])
def test_one_level_cannot_know_its_accuracy(max_levels):
    case = CASES["isotropic"]
    with pytest.raises(InvalidInput, match=r"max_levels .* at least 2"):
        learning_curves(case.mixture, case.model, [1.0], max_levels=max_levels)


def test_fewer_directions_move_losses_by_less_than_they_state():
    exact = learning_curves(*many_classes(10), GRID)
    fewer = learning_curves(*many_classes(10), GRID, max_rank=16)
    moved = np.abs(fewer.test_loss - exact.test_loss).max()
    assert exact.attrs["accuracy"] < moved <= fewer.attrs["accuracy"]
    shares = [np.abs(fewer[loss] / exact[loss] - 1).max() for loss in ("test_loss", "train_loss")]
    assert max(shares) <= fewer.attrs["relative_accuracy"] < fewer.attrs["accuracy"]


def test_too_few_directions_are_refused():
    with pytest.raises(SolveFailed, match="max_rank"):
        learning_curves(*many_classes(10), GRID, max_rank=4, accuracy=1e-3)
    with pytest.raises(InvalidInput, match=r"max_rank .* at least 2"):
        learning_curves(*many_classes(10), GRID, max_rank=1)


def test_an_accuracy_out_of_reach_raises():
    case = CASES["isotropic"]
    with pytest.raises(SolveFailed, match=r"more than accuracy = 1\.0e-30, after 2 resolutions.*throw=False"):
        learning_curves(case.mixture, case.model, TIMES, accuracy=1e-30, max_levels=2)


def test_an_accuracy_out_of_reach_is_recorded():
    case = CASES["isotropic"]
    got = learning_curves(case.mixture, case.model, TIMES, accuracy=1e-30, max_levels=2, throw=False)
    assert got.attrs["outcome"] == "inaccurate"
    assert 0 < got.attrs["accuracy"] < 1e-4
    np.testing.assert_allclose(got.test_loss, case.test, atol=2e-5)


@pytest.mark.parametrize("enough", [True, False])
def test_curves_end_at_half_of_the_times_if_these_say_enough(enough):
    mixture = GaussianMixture([0.25, 0.75], [1.2, 0.6], (1.0,), [[1.0, 0.3], [0.3, 2.0]])
    model = RandomFeatures(psi_p=4, psi_n=3, diffusion_time=0.1)
    times, asked = np.geomspace(0.1, 1e3, 40), []

    def until(test, train):
        asked.append((test.shape, train.shape))
        return enough

    found = learning_curves(mixture, model, times, accuracy=1e-4, until=until)
    plain = learning_curves(mixture, model, times, accuracy=1e-4)
    assert asked == [((2, 20), (2, 20))]
    count = 20 if enough else 40
    np.testing.assert_array_equal(found.training_time, times[:count])
    for name in ("test_loss", "train_loss"):
        np.testing.assert_allclose(found[name], plain[name][:, :count], rtol=0, atol=2e-4)
