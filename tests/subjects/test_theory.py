"""The theory as a subject."""

from __future__ import annotations

import numpy as np
import pytest

from diffclaims.errors import NotMeasured
from diffclaims.problem.experiment import Experiment
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.subjects import check_subject
from diffclaims.subjects.theory import SUBJECT, Theory

PAIR = Experiment(
    mixture=GaussianMixture([0.3, 0.7], [1.5, 0.5]),
    model=RandomFeatures(psi_p=4, psi_n=2, diffusion_time=0.1),
)


def test_it_keeps_the_contract():
    check_subject(SUBJECT)


def test_real_data_are_not_measured():
    for measure in (SUBJECT.learning_curves, SUBJECT.spectrum, lambda e: SUBJECT.speciation(e, [1.0])):
        with pytest.raises(NotMeasured, match="photographs"):
            measure(PAIR.replace(data="photographs"))


def test_the_accuracy_asked_for_is_reached():
    coarse = Theory(accuracy=1e-3).learning_curves(PAIR)
    fine = Theory(accuracy=1e-6).learning_curves(PAIR)
    assert fine.attrs["accuracy"] <= 1e-6
    assert float(np.abs(coarse.test_loss - fine.test_loss).max()) <= coarse.attrs["accuracy"] <= 1e-3


def test_sampled_probabilities_state_an_accuracy():
    answer = SUBJECT.speciation(PAIR, [0.5, 1.0])
    assert answer.attrs["accuracy"] >= 3 * float(answer["return_probability_stderr"].max()) > 0
