import numpy as np
import pytest

from diffclaims.errors import SolveFailed
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.theory.curves import RULE, _reach, default_training_times, learning_curves
from diffclaims.theory.neurons import neurons
from diffclaims.theory.theta import Extent
from tests.theory.hard import COUNT, SEEDS, drawn

#: Far centroids (largest norm^2 33, 48, 61, 120 and 10) on which a spacing fixed in standard deviations failed.
FAR = (16, 21, 23, 28, 42)
#: Five classes, far in four directions: the most types there are reach 1.1e-3. That is said after three resolutions,
#: in less than a second.
OUT_OF_REACH = {(20261129, 165)}
#: Four classes, far in as many directions: sampled types do not reach the accuracy, lattices do; of the last early.
FOUR_DIRECTIONS = {(20261129, 116), (20261130, 23), (20261130, 144)}
#: Lattices that reach 1e-5 in some seconds.
TRUE = (16, 21, 23)
#: The same mixtures drawn differently; the last has sampled types, whose points depend on the Gram matrix.
LAWS = (16, 28, 42)
#: Sampled types, and a lattice that a split would take out of reach if types knew of it.
SPLIT = (29, 96)


def curves(mixture, model, times=None):
    return learning_curves(mixture, model, times, accuracy=1e-3)


@pytest.mark.parametrize("index", FAR)
def test_far_centroids_converge(index):
    assert curves(*drawn()[index]).attrs["accuracy"] <= 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("index", range(COUNT))
def test_every_drawn_mixture_converges(seed, index):
    if (seed, index) in OUT_OF_REACH:
        with pytest.raises(SolveFailed, match=r"more than accuracy .* or simulate"):
            curves(*drawn(seed)[index])
        return
    assert curves(*drawn(seed)[index]).attrs["accuracy"] <= 1e-3


@pytest.mark.parametrize(("seed", "index"), sorted(OUT_OF_REACH))
def test_what_is_out_of_reach_is_said_after_three_resolutions(seed, index):
    mixture, model = drawn(seed)[index]
    with pytest.raises(SolveFailed, match=r"after 3 resolutions, .* accuracy=.e-03, .* CPU s, a seed"):
        curves(mixture, model)


@pytest.mark.parametrize(
    ("seed", "index"),
    [
        pytest.param(*each, marks=[] if each[1] == 144 else pytest.mark.slow)
        for each in sorted(FOUR_DIRECTIONS)
    ],
)
def test_lattices_in_four_directions_take_over(seed, index):
    mixture, model = drawn(seed)[index]
    times = default_training_times(mixture, model, 20)
    got = curves(mixture, model, times)
    assert got.attrs["accuracy"] <= 1e-3
    # Sampled types alone do not get there; where they end is near.
    by_samples = learning_curves(mixture, model, times, accuracy=2e-2)
    moved = max(np.abs(got[v] - by_samples[v]).max() for v in ("test_loss", "train_loss"))
    assert 1e-4 < moved <= got.attrs["accuracy"] + by_samples.attrs["accuracy"]


def test_a_guess_is_the_mean_of_what_each_refinement_says():
    # Each says 1 at the last of six: no more is told by those that halve exactly.
    assert _reach([32.0], 6) == _reach([32.0, 16.0, 8.0], 6) == pytest.approx(1.0)
    assert _reach([32.0, 4.0], 6) == pytest.approx(0.5)


@pytest.mark.parametrize("index", TRUE)
def test_the_stated_accuracy_is_true(index):
    mixture, model = drawn()[index]
    times = default_training_times(mixture, model, 40)
    coarse, fine = curves(mixture, model, times), learning_curves(mixture, model, times, accuracy=1e-5)
    moved = max(np.abs(coarse[v] - fine[v]).max() for v in ("test_loss", "train_loss"))
    assert moved <= coarse.attrs["accuracy"] + fine.attrs["accuracy"]
    assert fine.attrs["accuracy"] <= 1e-5


def largest_move(one, model, other, order):
    two = curves(other, model, one.training_time.values)
    moved = max(np.abs(one[v].values[order] - two[v].values).max() for v in ("test_loss", "train_loss"))
    return moved, one.attrs["accuracy"] + two.attrs["accuracy"]


@pytest.mark.parametrize(
    "index", [i if i in LAWS else pytest.param(i, marks=pytest.mark.slow) for i in range(COUNT)]
)
def test_laws_hold_within_the_stated_accuracy(index):
    mixture, model = drawn()[index]
    k, one = mixture.n_classes, curves(mixture, model, default_training_times(mixture, model, 40))
    reverse = list(range(k))[::-1]
    moved, allowed = largest_move(one, model, mixture.take(reverse), reverse)
    assert moved <= allowed
    twice = [0, *range(k)]
    weights = mixture.weights[twice].copy()
    weights[:2] /= 2
    split = GaussianMixture(
        weights, mixture.variances[twice], mixture.fractions, mixture.centroid_gram[np.ix_(twice, twice)]
    )
    moved, allowed = largest_move(one, model, split, twice)
    assert moved <= allowed
    halves = GaussianMixture(
        mixture.weights,
        np.concatenate([mixture.variances] * 2, axis=1),
        np.concatenate([mixture.fractions / 2] * 2),
        mixture.centroid_gram,
    )
    moved, allowed = largest_move(one, model, halves, list(range(k)))
    assert moved <= allowed


@pytest.mark.parametrize("index", SPLIT)
def test_neurons_see_of_a_split_class_what_they_saw_of_it_whole(index):
    mixture, model = drawn()[index]
    twice = [0, *range(mixture.n_classes)]
    weights = mixture.weights[twice].copy()
    weights[:2] /= 2
    split = GaussianMixture(
        weights, mixture.variances[twice], mixture.fractions, mixture.centroid_gram[np.ix_(twice, twice)]
    )
    extents = [Extent.of(one, model) for one in (split, mixture)]
    assert RULE.refined(2).sampled(extents[0]) is RULE.refined(2).sampled(extents[1])
    one, two = (neurons(m, model, rule=RULE) for m in (mixture, split))
    np.testing.assert_allclose(two.weight, one.weight, rtol=1e-6)
    np.testing.assert_allclose(two.a, one.a[:, twice], rtol=1e-9, atol=1e-12)
