"""How fast finite size approaches the theory: the command, and that what was recorded is remade."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from diffclaims import finite
from diffclaims.cli import main
from diffclaims.storage import netcdf as storage
from diffclaims.storage import paths as locate
from diffclaims.storage import schema
from diffclaims.studies import converge
from diffclaims.theory import learning_curves

RECORDED = sorted((locate.baselines_dir() / converge.FOLDER).glob("*.nc"))


def test_small_dimensions_have_a_bias_that_falls(tmp_path, capsys):
    seeds = {"8": 12, "16": 8, "32": 4}
    words = [w for d, n in seeds.items() for w in ("--seeds", f"{d}={n}")]
    assert main(["converge", "centroids", *words, "--folder", str(tmp_path)]) == 0
    found = storage.read_dataset(tmp_path / "centroids.nc")
    schema.validate(found, "convergence")
    assert found.attrs["command"] == "diffclaims converge centroids " + " ".join(words)
    rms = found["rms"].sel(variable="test_loss").values
    assert rms[0] > rms[-1]
    assert "c/d^a: a = " in capsys.readouterr().out
    pytest.importorskip("matplotlib").use("agg")
    assert main(["plot", str(tmp_path / "centroids.nc"), "--out", str(tmp_path / "c.png")]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["no-such-case"], "be out of ['isotropic'"),
        (["isotropic", "--seeds", "50"], "have the form D=N"),
        (["isotropic", "--seeds", "50=4", "--seeds", "100=4"], "three dimensions or more"),
    ],
)
def test_bad_input_is_one_line(words, message, tmp_path, capsys):
    assert main(["converge", *words, "--folder", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


def test_every_case_is_recorded():
    assert [p.stem for p in RECORDED] == sorted(converge.CASES)


@pytest.mark.parametrize("path", RECORDED, ids=lambda p: p.stem)
def test_a_part_of_what_was_recorded_is_remade(path):
    """The least dimension with its first seeds agrees with the mean over all of them."""
    stored = schema.validate(storage.read_dataset(path), "convergence")
    d = int(stored["n_dims"][0])
    experiment = converge.CASES[path.stem]
    exact = learning_curves(experiment.mixture, experiment.model, converge.TRAINING_TIMES, accuracy=1e-4)
    n_few, n_all = 8, int(stored["n_seeds"][0])
    few = finite.learning_curves(experiment, converge.TRAINING_TIMES, n_dims=d, seeds=n_few)
    for variable in converge.VARIABLES:
        again = finite.bias_against(few, exact, variable=variable)
        old = stored.sel(variable=variable, n_dims=d)
        off = np.abs(again["bias"].values - old["bias"].values)
        # Part of the same seeds, whose scatter all of them tell; and the theory's accuracy.
        scatter = old["stderr"].values * np.sqrt(n_all / n_few - 1)
        assert (off <= 4 * scatter + 2e-4).all()


@pytest.mark.parametrize("path", RECORDED, ids=lambda p: p.stem)
def test_the_recorded_bias_is_one_over_d_within_its_errors(path):
    """At the tail probability of three standard errors; of each loss alone, at one in a thousand."""
    stored = storage.read_dataset(path)
    assert (stats.chi2.sf(stored["chi2_of_one"], stored["chi2_of_one"].attrs["dof"]) > 0.0027).all()
    pull = (stored["exponent"].values - 1) / stored["exponent_stderr"].values
    assert (np.abs(pull) < 3).all()
    beyond = stored["chi2_pointwise"] > stats.chi2.isf(0.001, stored["chi2_pointwise"].attrs["dof"])
    assert not beyond.any()
