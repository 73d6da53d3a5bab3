"""Exact flow against the same experiment by plain gradient steps, to the same training time."""

from __future__ import annotations

import numpy as np
import pytest

from diffclaims import finite
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures

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
