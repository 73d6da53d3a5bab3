"""Orders of classes beside those that the theory predicts."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from diffclaims.cli import main
from diffclaims.problem.experiment import Experiment
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.storage import netcdf as storage
from diffclaims.storage.provenance import provenance
from diffclaims.storage.recordings import record
from diffclaims.storage.schema import stamp
from diffclaims.studies import predict

CLASSES = ("a", "b", "c", "d")
EXPERIMENT = Experiment(
    mixture=GaussianMixture([0.25] * 4, [3.0, 2.0, 1.0, 0.5], centroid_gram=np.diag([0.5, 0.0, 0.0, 0.0])),
    model=RandomFeatures(psi_p=8, psi_n=4, diffusion_time=0.05),
    data="synthetic",
    classes=CLASSES,
)


def curves(log_times, n_seeds=3, experiment=EXPERIMENT):
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
        {
            "class": list(experiment.classes),
            "seed": range(n_seeds),
            "gen_definition": ["m"],
            "training_time": steps,
        },
    )
    return stamp(dataset, "curves", provenance(subject="unet", experiment=experiment, seeds=range(n_seeds)))


def pair(weight, gram=None):
    return Experiment(
        mixture=GaussianMixture([weight, 1 - weight], [1.0, 0.8], centroid_gram=gram),
        model=RandomFeatures(psi_p=8, psi_n=4, diffusion_time=0.05),
        data="synthetic",
        classes=("a", "b"),
    )


def test_networks_that_follow_the_variances_agree_with_the_theory():
    """Isotropic classes: the theory has the higher variance first."""
    found = predict.compare_many(curves([1.0, 2.0, 3.0, 4.0]))
    without = found.sel(centroids="without centroids")
    assert (np.diff(without["predicted"].sel(threshold=0.5).values) > 0).all()
    assert float(without["correlation"]) == pytest.approx(1)
    assert float(without["correlation_by_definition"][0]) == pytest.approx(1)
    assert float(found["variance_correlation"]) == pytest.approx(1)
    reverse = predict.compare_many(curves([4.0, 3.0, 2.0, 1.0]))
    assert float(reverse["correlation_high"].sel(centroids="without centroids")) == pytest.approx(-1)


def test_only_with_centroids_does_a_rare_class_come_later():
    far = [[4.0, 0.0], [0.0, 4.0]]
    recorded = {f"w{w}": curves([1.0, 2.0], experiment=pair(w, gram=far)) for w in (0.05, 0.5)}
    found = predict.compare_pairs(recorded)
    assert found["experiment"].values.tolist() == ["w0.05", "w0.5"]
    with_them = found["predicted"].sel(centroids="with centroids", threshold=0.5).values
    assert with_them[0] > 0 > with_them[1]
    assert (found["predicted"].sel(centroids="without centroids") < 0).all()
    np.testing.assert_allclose(found["measured"], -1.0, atol=0.05)


def test_the_command_reads_recordings_and_writes_what_it_found(tmp_path, capsys):
    record(tmp_path, EXPERIMENT, curves([1.0, 2.0, 3.0, 4.0]), name="four")
    record(tmp_path, pair(0.3), curves([1.0, 2.0], experiment=pair(0.3)), name="two")
    out = tmp_path / "out" / "predicted.nc"
    assert main(["predict", "cpu", "--folder", str(tmp_path), "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert "rank correlation with the theory without centroids: +1.00" in text
    assert "0.30" in text
    tree = storage.read(out)
    assert tree.attrs["command"] == "diffclaims predict cpu"
    assert set(tree.children) == {"pairs", "four"}
    assert main(["predict", "cpu", "--folder", str(tmp_path / "none")]) == 2
    assert "holds no recorded curves" in capsys.readouterr().err
