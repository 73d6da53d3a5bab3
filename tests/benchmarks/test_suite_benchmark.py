"""Time of what a run of all claims does beside the theory. Times are recorded, never asserted."""

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


MIXTURE = GaussianMixture([0.5, 0.5], [2.0, 1.0])


def test_a_spectrum_with_bulks(benchmark):
    model = RandomFeatures(psi_p=64, psi_n=8, diffusion_time=0.01)
    benchmark.pedantic(spectrum, (MIXTURE, model), rounds=5, warmup_rounds=1)


def test_eigenvalues_of_1500_dimensions(benchmark):
    x = np.random.default_rng(0).normal(size=(1500, 1500))
    benchmark.pedantic(np.linalg.eigvalsh, (x @ x.T,), rounds=3, warmup_rounds=1)
