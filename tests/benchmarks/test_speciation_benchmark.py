"""Time of `speciation` over 50 diffusion times."""

import numpy as np
import pytest

from diffclaims.problem.mixture import GaussianMixture
from diffclaims.theory.speciation import speciation

pytest.importorskip("pytest_benchmark")

TIMES = np.geomspace(0.01, 6.0, 50)


def ten_classes():
    rng = np.random.default_rng(0)
    span = 0.15 * rng.normal(size=(10, 30)) / np.sqrt(30)
    return GaussianMixture(
        np.full(10, 0.1), rng.gamma(2.0, 0.2, (10, 14)), rng.dirichlet(np.full(14, 20.0)), span @ span.T
    )


CASES = {
    "two classes, closed form": GaussianMixture([0.1, 0.9], [1.0, 1.0], (1.0,), [[1.0, -1.0], [-1.0, 1.0]]),
    "two classes, sampled": GaussianMixture([0.1, 0.9], [1.5, 1.0], (1.0,), [[1.0, -1.0], [-1.0, 1.0]]),
    "ten classes, one type": GaussianMixture(np.full(10, 0.1), np.linspace(0.5, 1.5, 10)),
    "ten classes, 14 types, 9 centroid axes": ten_classes(),
}


@pytest.mark.parametrize("name", CASES)
def test_fifty_times(benchmark, name):
    benchmark.pedantic(speciation, (CASES[name], TIMES), {"n_dims": 784}, rounds=3)
