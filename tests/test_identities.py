"""Equations of the random-features model that every answer must obey."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from diffclaims import Experiment, GaussianMixture, RandomFeatures, finite
from diffclaims.api.identities import (
    Checked,
    check_curves,
    check_speciation,
    check_spectrum,
    initial_slopes,
)
from diffclaims.api.subject import SAME_MODEL, Tags
from diffclaims.errors import SubjectInvalid
from diffclaims.subjects.theory import SUBJECT

MODEL = RandomFeatures(psi_p=8, psi_n=4, diffusion_time=0.05)
MIXTURES = {
    "isotropic": GaussianMixture([0.2, 0.8], [2.0, 1.0]),
    "centroids": GaussianMixture([0.5, 0.5], [2.0, 1.0], centroid_gram=[[4.0, 0.0], [0.0, 1.0]]),
    "anisotropic": GaussianMixture([0.3, 0.7], [[2.8, 0.2], [0.1, 0.9]], [0.5, 0.5]),
    "three": GaussianMixture([0.2, 0.3, 0.5], [2.0, 1.0, 0.5]),
}
EXPERIMENTS = {name: Experiment(mixture=m, model=MODEL) for name, m in MIXTURES.items()}
EXACT = SUBJECT.tags


@pytest.fixture(scope="module")
def curves():
    return {name: SUBJECT.learning_curves(e) for name, e in EXPERIMENTS.items()}


@pytest.mark.parametrize("name", list(EXPERIMENTS))
def test_the_theory_begins_to_learn_as_it_must(name, curves):
    check_curves(curves[name], EXPERIMENTS[name], EXACT, who="it")
    checked = Checked(SUBJECT)
    assert checked.learning_curves(EXPERIMENTS[name]).equals(curves[name])


def test_the_slope_at_the_start_is_that_of_a_training_step():
    """Against finite size, by the loss at a time at which hardly anything was learned.

    At d = 100 slopes are 1.0 to 1.3 % low, with standard errors of at most 0.3 %.
    """
    experiment = EXPERIMENTS["isotropic"]
    slopes = initial_slopes(experiment)
    times = 1e-3 / slopes.max() * np.array([1.0, 2.0])
    found = finite.learning_curves(experiment, times, n_dims=100, seeds=6)
    for name in ("test_loss", "train_loss"):
        fallen = (1 - found[name].isel(training_time=0).mean("seed").values) / times[0]
        assert fallen == pytest.approx(slopes, rel=0.03)


def flipped(dataset, name, axis):
    """Other values under the same labels."""
    return dataset.assign({name: (dataset[name].dims, np.flip(dataset[name].values, axis))})


def _factor(curves, name, k, factor):
    """The fall of one loss of one class, times a factor."""
    out = curves.copy(deep=True)
    out[name].values[k] = 1 - factor * (1 - curves[name].values[k])
    return out


@pytest.mark.parametrize("loss", ["test_loss", "train_loss"])
@pytest.mark.parametrize("k", [0, 1])
def test_a_class_that_falls_three_percent_too_fast_is_seen(loss, k, curves):
    spoiled = _factor(curves["isotropic"], loss, k, 1.03)
    with pytest.raises(SubjectInvalid, match=rf"{loss} of class {k} begins to fall 1.03"):
        check_curves(spoiled, EXPERIMENTS["isotropic"], EXACT, who="it")


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("isotropic", GaussianMixture([0.5, 0.5], [2.0, 1.0])),
        ("isotropic", GaussianMixture([0.2, 0.8], [1.0, 2.0])),
        ("centroids", GaussianMixture([0.5, 0.5], [2.0, 1.0])),
    ],
)
def test_curves_of_another_mixture_are_seen(name, other, curves):
    with pytest.raises(SubjectInvalid, match=r"Answer the experiment that is asked.*Tags\(model="):
        check_curves(curves[name], Experiment(mixture=other, model=MODEL), EXACT, who="it")


@pytest.mark.parametrize(
    ("variances", "psi_p", "psi_n", "t", "seen"),
    [
        ([6.842, 1.4953], 8.92166, 14.118, 0.0101539, 1.1),
        ([9.0, 1.0], 2.0, 1.0, 0.005, 1.5),
        ([1.0, 0.1], 64.0, 32.0, 0.3, 1.1),
    ],
)
def test_a_slope_that_changes_early_is_no_reason_to_refuse(variances, psi_p, psi_n, t, seen):
    """At small diffusion times a loss turns before it has fallen by a thousandth; less is then seen."""
    e = Experiment(
        mixture=GaussianMixture([0.5, 0.5], variances),
        model=RandomFeatures(psi_p=psi_p, psi_n=psi_n, diffusion_time=t),
    )
    found = SUBJECT.learning_curves(e)
    check_curves(found, e, EXACT, who="it")
    with pytest.raises(SubjectInvalid, match="begins to fall"):
        check_curves(_factor(found, "train_loss", 0, seen), e, EXACT, who="it")


@pytest.fixture(scope="module")
def spectrum():
    return SUBJECT.spectrum(EXPERIMENTS["isotropic"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.assign(bulk_mass=0.97 * s.bulk_mass), "mass is"),
        (lambda s: s.assign(bulk_mean=1.03 * s.bulk_mean), "first moment is"),
        (
            lambda s: flipped(s, "bulk_population_energy", 0),
            "population energy of each",
        ),
        (lambda s: flipped(s, "bulk_training_energy", 0), "training energy of each"),
        (
            lambda s: flipped(s, "bulk_population_energy", 1),
            "share of the first layer",
        ),
        (
            lambda s: flipped(s, "bulk_training_energy", 1),
            "eigenvalues of each bulk",
        ),
        (lambda s: s.assign(bulk_training_log=s.bulk_training_log + 5.0), "must lie between the logarithms"),
    ],
)
def test_each_identity_of_a_spectrum_can_fail(change, message, spectrum):
    check_spectrum(spectrum, EXPERIMENTS["isotropic"], EXACT, who="it")
    with pytest.raises(SubjectInvalid, match=message):
        check_spectrum(change(spectrum), EXPERIMENTS["isotropic"], EXACT, who="it")


@pytest.mark.parametrize("name", list(EXPERIMENTS))
def test_spectra_of_all_kinds_of_mixtures_pass(name):
    check_spectrum(SUBJECT.spectrum(EXPERIMENTS[name]), EXPERIMENTS[name], EXACT, who="it")


@pytest.fixture(scope="module")
def turns():
    e = Experiment(
        mixture=GaussianMixture([0.2, 0.8], [1.5, 1.0], centroid_gram=[[0.5, -0.5], [-0.5, 0.5]]), model=MODEL
    )
    return e, SUBJECT.speciation(e, np.geomspace(0.05, 5.0, 12))


def _weights(found, weights):
    """U-turns that end by these weights under full noise."""
    out = found.copy(deep=True)
    out.return_probability.values[:, -1] = weights
    return out.drop_vars("transition")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.assign(transition=0.9 * f.transition), "add up to 1"),
        (lambda f: flipped(f, "return_probability", 0), "diagonal of transition"),
        (lambda f: _weights(f, [0.5, 0.5]), "under full noise"),
        (
            lambda f: f.drop_vars("transition").assign(return_probability=0.98 * f.return_probability),
            "as many U-turns lead from 0 to 1",
        ),
    ],
)
def test_each_identity_of_speciation_can_fail(change, message, turns):
    experiment, found = turns
    check_speciation(found, experiment, EXACT, who="it")
    with pytest.raises(SubjectInvalid, match=message):
        check_speciation(change(found), experiment, EXACT, who="it")


def test_balance_is_asked_of_three_classes_by_their_transitions():
    e = Experiment(
        mixture=GaussianMixture([0.2, 0.3, 0.5], [1.0, 1.0, 1.0], centroid_gram=0.5 * np.eye(3)), model=MODEL
    )
    found = SUBJECT.speciation(e, np.geomspace(0.05, 5.0, 8))
    check_speciation(found, e, EXACT, who="it")
    other = e.replace(mixture=e.mixture.reweighted([0.5, 0.3, 0.2]))
    with pytest.raises(SubjectInvalid, match="full noise"):
        check_speciation(found, other, EXACT, who="it")


@pytest.mark.parametrize("change", [1.0, 1.03])
def test_classes_of_one_covariance_return_by_a_known_curve(change):
    """Times that are labelled 3 % too late are seen."""
    e = Experiment(
        mixture=GaussianMixture([0.2, 0.8], [1.0, 1.0], centroid_gram=[[0.5, -0.5], [-0.5, 0.5]]), model=MODEL
    )
    times = np.geomspace(0.05, 5.0, 60)
    found = SUBJECT.speciation(e, times).assign_coords(diffusion_time=change * times)
    if change == 1.0:
        check_speciation(found, e, EXACT, who="it")
        return
    with pytest.raises(SubjectInvalid, match="known curve"):
        check_speciation(found, e, EXACT, who="it")


class _Wrong:
    """Answers of another mixture."""

    name = "wrong"

    def __init__(self, model):
        self.tags = Tags(exact=True, stochastic=False, measures=frozenset({"learning_curves"}), model=model)

    def learning_curves(self, experiment) -> xr.Dataset:
        return SUBJECT.learning_curves(EXPERIMENTS["centroids"])


def test_a_subject_of_another_model_is_not_held_to_them():
    Checked(_Wrong("perceptron")).learning_curves(EXPERIMENTS["isotropic"])
    with pytest.raises(SubjectInvalid, match="begins to fall"):
        Checked(_Wrong(SAME_MODEL)).learning_curves(EXPERIMENTS["isotropic"])
    Checked(_Wrong(SAME_MODEL), identities=False).learning_curves(EXPERIMENTS["isotropic"])
