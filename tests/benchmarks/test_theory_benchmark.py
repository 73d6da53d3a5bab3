"""Time of spectra and learning curves, next to the accuracy reached. Times are recorded, never asserted.

The two slow ones (the root solve that spectra are compared with, ten classes with centroids) run
with `--benchmark-only`.
"""

import resource
import time

import numpy as np
import pytest

from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.theory.curves import learning_curves
from diffclaims.theory.neurons import neurons
from diffclaims.theory.spectrum import spectrum
from tests.benchmarks import by_roots
from tests.theory.hard import SEEDS, drawn, many_classes

pytest.importorskip("pytest_benchmark")

ONE = GaussianMixture([1.0], [[0.5, 1.5]], (0.5, 0.5))
ONE_MODEL = RandomFeatures(psi_p=8, psi_n=4, diffusion_time=0.01)
EIGENVALUES = np.concatenate([np.geomspace(1.5e-3, 0.5, 200), np.linspace(0.51, 12.0, 200)])
TIMES = np.geomspace(0.1, 1e5, 200)


def slow(request):
    if not request.config.getoption("--benchmark-only"):
        pytest.skip("slow: run with --benchmark-only")


def test_400_eigenvalues_of_one_class(benchmark):
    found = benchmark.pedantic(
        spectrum, (ONE, ONE_MODEL, EIGENVALUES), {"bulks": False}, rounds=10, warmup_rounds=1
    )
    benchmark.extra_info["residual"] = found.attrs["residual"]


def test_the_same_by_root_finding(benchmark, request):
    slow(request)
    # A tenth of the list: the work is the same for each eigenvalue.
    part = EIGENVALUES[::10]
    types = neurons(ONE, ONE_MODEL, n_normal=2)
    found = benchmark.pedantic(by_roots.of_one_class, (ONE, ONE_MODEL, types, part), rounds=1)
    exact = spectrum(ONE, ONE_MODEL, part, bulks=False).density.values
    inside = exact > 0
    benchmark.extra_info["share_of_the_list"] = part.size / EIGENVALUES.size
    benchmark.extra_info["largest_difference"] = float(np.abs(found - exact).max())
    # Where it does not stray the two agree; at an edge its smoothing shows.
    assert np.median(np.abs(found[inside] / exact[inside] - 1)) < 1e-5


def ten_classes(gram=None):
    return GaussianMixture(np.full(10, 0.1), np.linspace(0.5, 2.0, 10), (1.0,), gram)


def random_gram(seed):
    x = np.random.default_rng(seed).normal(size=(10, 20))
    return x @ x.T / 20


CURVES = {
    "two classes": (
        GaussianMixture([0.5, 0.5], [1.5, 0.5]),
        RandomFeatures(psi_p=8, psi_n=4, diffusion_time=0.01),
    ),
    "two classes, centroids": (
        GaussianMixture([0.25, 0.75], [1.2, 0.6], (1.0,), [[1.0, 0.3], [0.3, 2.0]]),
        RandomFeatures(psi_p=4, psi_n=3, diffusion_time=0.1),
    ),
    "ten classes": (ten_classes(), RandomFeatures(psi_p=8, psi_n=4, diffusion_time=0.05)),
}


def record(benchmark, curves):
    for name in ("accuracy", "levels", "neuron_types"):
        benchmark.extra_info[name] = curves.attrs[name]
    benchmark.extra_info["peak_memory_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


@pytest.mark.parametrize("name", CURVES)
def test_200_training_times(benchmark, name):
    curves = benchmark.pedantic(learning_curves, (*CURVES[name], TIMES), rounds=5, warmup_rounds=1)
    record(benchmark, curves)
    assert curves.attrs["accuracy"] <= 1e-5


@pytest.mark.parametrize(("count", "max_rank"), [(14, None), (14, 24), (30, 45), (100, 20)])
def test_many_classes_with_centroids(benchmark, request, count, max_rank):
    slow(request)
    curves = benchmark.pedantic(
        learning_curves, (*many_classes(count), TIMES), {"max_rank": max_rank, "throw": False}, rounds=1
    )
    record(benchmark, curves)


@pytest.mark.parametrize("seed", SEEDS)
def test_hard_mixtures(benchmark, request, seed):
    slow(request)

    def solved():
        spent, failures = [], 0
        for mixture, model in drawn(seed):
            start = time.process_time()
            got = learning_curves(mixture, model, accuracy=1e-3, throw=False)
            spent.append(time.process_time() - start)
            failures += got.attrs["outcome"] != "converged"
        return spent, failures

    spent, failures = benchmark.pedantic(solved, rounds=1)
    benchmark.extra_info["failures"] = failures
    benchmark.extra_info["slowest_cpu_seconds"] = max(spent)


@pytest.mark.parametrize("seed", [0, 1])
def test_ten_classes_with_centroids(benchmark, request, seed):
    slow(request)
    model = RandomFeatures(psi_p=8, psi_n=4, diffusion_time=0.05)
    curves = benchmark.pedantic(learning_curves, (ten_classes(random_gram(seed)), model, TIMES), rounds=1)
    record(benchmark, curves)
    assert curves.attrs["accuracy"] <= 1e-3
