"""Time of what a run of all claims does beside the theory. Times are recorded, never asserted."""

import time

import numpy as np
import pytest
import xarray as xr

from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.storage import netcdf
from diffclaims.storage import paths as locate
from diffclaims.theory.spectrum import spectrum
from diffclaims.times.crossing import smooth_crossing

pytest.importorskip("pytest_benchmark")

FILES = sorted(locate.baselines_dir().rglob("*.nc"))[::40]


def test_stored_files(benchmark):
    benchmark.extra_info["files"] = len(FILES)
    benchmark.pedantic(lambda: [netcdf.read_groups(f) for f in FILES], rounds=3, warmup_rounds=1)


def test_the_same_files_by_the_library(benchmark, monkeypatch):
    monkeypatch.setattr(netcdf, "groups_in", lambda content: None)
    benchmark.extra_info["files"] = len(FILES)
    benchmark.pedantic(lambda: [netcdf.read_groups(f) for f in FILES], rounds=3, warmup_rounds=1)


def test_the_same_files_by_xarray(benchmark):
    def read(path):
        with xr.open_datatree(path, engine="h5netcdf", decode_times=False) as opened:
            return opened.load()

    benchmark.extra_info["files"] = len(FILES)
    benchmark.pedantic(lambda: [read(f) for f in FILES], rounds=1)


@pytest.mark.parametrize("n_seeds", [1, 24])
def test_a_crossing(benchmark, n_seeds):
    curves = np.sort(np.random.default_rng(0).normal(size=(n_seeds, 200)), axis=1)
    benchmark(smooth_crossing, np.linspace(0, 10, 200), curves, 0.5)


CLAIM = RandomFeatures(psi_p=64, psi_n=8, diffusion_time=0.01)
SPECTRA = {
    "isotropic": (GaussianMixture([0.5, 0.5], [2.0, 1.0]), CLAIM),
    "imbalanced": (GaussianMixture([0.9, 0.1], [2.0, 1.0]), CLAIM),
    "two direction types": (GaussianMixture([0.3, 0.7], [[2.8, 0.2], [0.1, 0.9]], (0.5, 0.5)), CLAIM),
    "few directions": (GaussianMixture([0.5, 0.5], [[4.0, 0.1], [0.6, 0.6]], (0.2, 0.8)), CLAIM),
    "two centroids": (
        GaussianMixture([0.5, 0.5], [1.0, 1.0], centroid_gram=[[1.0, 0.0], [0.0, 4.0]]),
        RandomFeatures(psi_p=8, psi_n=8, diffusion_time=0.1),
    ),
    "three centroids": (
        GaussianMixture(
            [0.2, 0.3, 0.5],
            [1.2, 0.6, 0.9],
            centroid_gram=[[1.0, 0.3, 0.0], [0.3, 2.0, 0.2], [0.0, 0.2, 1.5]],
        ),
        RandomFeatures(psi_p=4, psi_n=3, diffusion_time=0.1),
    ),
}


def cpu_seconds(function, *args):
    """Least of three."""
    spent = []
    for _ in range(3):
        start = time.process_time()
        function(*args)
        spent.append(time.process_time() - start)
    return min(spent)


@pytest.mark.parametrize("name", SPECTRA)
def test_a_spectrum_with_bulks_beside_an_eigensolver(benchmark, name):
    x = np.random.default_rng(0).normal(size=(1500, 1500))
    found = benchmark.pedantic(spectrum, SPECTRA[name], rounds=1, warmup_rounds=1)
    ratio = cpu_seconds(spectrum, *SPECTRA[name]) / cpu_seconds(np.linalg.eigvalsh, x @ x.T)
    benchmark.extra_info["times_eigvalsh_of_1500"] = ratio
    benchmark.extra_info["accuracy"] = found.attrs["accuracy"]
