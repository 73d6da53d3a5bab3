"""The order of many classes beside the theory's."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from diffclaims import ranks, storage
from diffclaims.cli import main
from diffclaims.experiment import Experiment
from diffclaims.mixture import GaussianMixture
from diffclaims.model import RandomFeatures
from diffclaims.provenance import provenance
from diffclaims.schema import stamp
from diffclaims.subjects.recorded import record

CLASSES = ("a", "b", "c", "d")
EXPERIMENT = Experiment(
    mixture=GaussianMixture([0.25] * 4, [3.0, 2.0, 1.0, 0.5], centroid_gram=np.diag([0.5, 0.0, 0.0, 0.0])),
    model=RandomFeatures(psi_p=8, psi_n=4, diffusion_time=0.05),
    data="synthetic",
    classes=CLASSES,
)


def curves(log_times, n_seeds=3):
    """A recording whose times are given, with a little noise between seeds."""
    rng = np.random.default_rng(0)
    values = np.exp(np.asarray(log_times) + 0.01 * rng.normal(size=(n_seeds, len(log_times))))
    steps = np.arange(1.0, 8.0)
    loss = np.ones((n_seeds, len(log_times), steps.size))
    dataset = xr.Dataset(
        {
            "test_loss": (("seed", "class", "training_time"), loss),
            "train_loss": (("seed", "class", "training_time"), loss),
            "bayes_loss": (("class",), np.full(len(log_times), 0.5)),
            "tau_gen_by_definition": (("seed", "class", "gen_definition"), values[..., None]),
            "tau_gen_resampled": (("seed", "class", "resampling"), np.repeat(values[..., None], 5, axis=-1)),
        },
        {"class": list(CLASSES), "seed": range(n_seeds), "gen_definition": ["m"], "training_time": steps},
    )
    return stamp(dataset, "curves", provenance(subject="unet", experiment=EXPERIMENT, seeds=range(n_seeds)))


def test_networks_that_follow_the_variances_agree_with_the_theory():
    """Isotropic classes: the theory has the higher variance first."""
    found = ranks.compare_ranks(curves([1.0, 2.0, 3.0, 4.0]))
    predicted = found["predicted"].sel(centroids="without centroids").values
    assert (np.diff(predicted) > 0).all()
    assert float(found["correlation"].sel(centroids="without centroids")) == pytest.approx(1)
    assert float(found["variance_correlation"]) == pytest.approx(1)
    reverse = ranks.compare_ranks(curves([4.0, 3.0, 2.0, 1.0]))
    assert float(reverse["correlation_high"].sel(centroids="without centroids")) == pytest.approx(-1)


def test_the_command_reads_recordings_and_writes_what_it_found(tmp_path, capsys):
    record(tmp_path, EXPERIMENT, curves([1.0, 2.0, 3.0, 4.0]), name="four")
    out = tmp_path / "out" / "ranks.nc"
    assert main(["ranks", "cpu", "--folder", str(tmp_path), "--out", str(out)]) == 0
    assert "rank correlation with the theory without centroids: +1.00" in capsys.readouterr().out
    assert storage.read_dataset(out).attrs["command"] == "diffclaims ranks cpu"
    assert main(["ranks", "cpu", "--folder", str(tmp_path), "--experiment", "five"]) == 2
    assert "be one of ['four']" in capsys.readouterr().err
    assert main(["ranks", "cpu", "--folder", str(tmp_path / "none")]) == 2
    assert "holds no recorded curves" in capsys.readouterr().err
