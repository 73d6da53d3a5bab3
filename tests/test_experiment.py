"""Experiments: their written form and their key."""

from __future__ import annotations

from diffclaims.problem.experiment import Experiment
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures

EXPERIMENT = Experiment(
    mixture=GaussianMixture([0.25, 0.75], [1 / 3, 2.0], centroid_gram=[[1, 0.1], [0.1, 2]]),
    model=RandomFeatures(psi_p=8.0, psi_n=4.0, diffusion_time=0.1),
    classes=("Bag", "Trouser"),
)


def test_the_written_form_gives_the_same_experiment_and_key():
    again = Experiment.from_json(EXPERIMENT.to_json())
    assert again == EXPERIMENT
    assert again.key == EXPERIMENT.key
    assert len(again.key) == 12


def test_every_change_changes_the_key():
    changed = [
        EXPERIMENT.replace(psi_n=5.0),
        EXPERIMENT.replace(diffusion_time=0.2, activation="relu"),
        EXPERIMENT.replace(data="images"),
        EXPERIMENT.replace(classes=()),
        EXPERIMENT.replace(mixture=GaussianMixture([0.25, 0.75], [1 / 3, 2.0])),
    ]
    assert len({e.key for e in [EXPERIMENT, *changed]}) == 6


def test_replace_reaches_into_the_model():
    changed = EXPERIMENT.replace(psi_n=5.0, data="images")
    assert (changed.model.psi_n, changed.model.psi_p, changed.data) == (5.0, 8.0, "images")
    assert changed.mixture is EXPERIMENT.mixture


def test_the_text_of_an_experiment_is_made_once_and_not_taken_along():
    one = Experiment(
        mixture=GaussianMixture([0.5, 0.5], [2.0, 1.0]),
        model=RandomFeatures(psi_p=4, psi_n=2, diffusion_time=0.1),
    )
    assert one.to_json() is one.to_json()
    other = one.replace(psi_n=8.0)
    assert other.to_json() != one.to_json()
    assert Experiment.from_json(other.to_json()).key == other.key != one.key
