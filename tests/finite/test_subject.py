"""The subject keeps the contract and refuses what it cannot answer."""

from __future__ import annotations

import pytest

from diffclaims.errors import NotMeasured
from diffclaims.problem.experiment import Experiment
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.subjects import check_subject
from diffclaims.subjects.finite import SUBJECT, FiniteSubject


def test_contract():
    check_subject(FiniteSubject(n_dims=12, speciation_dims=8, seeds=2, n_points=10), repeat=False)


def test_real_data_are_not_measured():
    experiment = Experiment(
        mixture=GaussianMixture([0.5, 0.5], [1.0, 2.0]),
        model=RandomFeatures(psi_p=2, psi_n=2, diffusion_time=0.1),
        data="photographs",
    )
    for measure in (SUBJECT.learning_curves, lambda e: SUBJECT.speciation(e, [0.1])):
        with pytest.raises(NotMeasured, match="photographs"):
            measure(experiment)
