"""Exact flow against plain gradient steps to the same training time, and a seed of U-turns."""

from __future__ import annotations

import numpy as np
import pytest

from diffclaims import finite
from diffclaims.problem.experiment import Experiment
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.subjects.finite import FiniteSubject

pytest.importorskip("pytest_benchmark")

QUESTION = (
    GaussianMixture([0.25, 0.75], [1.2, 0.6], centroid_gram=[[1, 0.3], [0.3, 2]]),
    RandomFeatures(psi_p=4, psi_n=3, diffusion_time=0.1),
)
#: Past generalization, where the test losses are near their least.
END = 50.0


@pytest.mark.parametrize("n_dims", [50, 100])
def test_exact_flow(benchmark, n_dims):
    times = np.geomspace(0.1, END, 121)
    benchmark(lambda: finite.learning_curves(QUESTION, times, n_dims=n_dims, seeds=1))


@pytest.mark.parametrize("n_dims", [50, 100])
def test_gradient_steps(benchmark, n_dims):
    probe = finite.descend(QUESTION, 1, n_dims=n_dims, seeds=1)
    n_steps = int(np.ceil(END / probe.attrs["learning_rate"]))
    benchmark.extra_info["n_steps"] = n_steps
    benchmark.pedantic(lambda: finite.descend(QUESTION, n_steps, n_dims=n_dims, seeds=1), rounds=2)


def test_a_seed_of_u_turns(benchmark):
    """One seed of one experiment, with the settings of the subject `finite`."""
    subject = FiniteSubject(speciation_seeds=1)
    experiment = Experiment(mixture=QUESTION[0], model=RandomFeatures(psi_p=8, psi_n=4, diffusion_time=0.05))
    benchmark.pedantic(lambda: subject.speciation(experiment, np.geomspace(0.05, 5, 20)), rounds=3)
