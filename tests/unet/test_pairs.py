"""Runs of the preset `pairs`, which draw no images: recorded with any number of seeds; and the script for them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("torch")

from diffclaims.unet import cli, results
from diffclaims.unet.data.data_set import DataSet
from diffclaims.unet.record import analyse

pytestmark = pytest.mark.usefixtures("one_thread")
SCRIPT = Path(__file__).parents[2] / "docs" / "gpu-run.sh"
PAIR = ["--preset", "pairs", "--only", "bag-boot", "--only", "bag-coat"]
SMALL = (
    "steps=8",
    "first_snapshot=2",
    "snapshots=4",
    "width=4",
    "embedding=8",
    "batch=4",
    "n_eval=8",
    "size=16",
)


def test_what_draws_no_images_needs_no_classifier_and_no_sheet(source, tmp_path, capsys, monkeypatch):
    def refuse(*args, **more):
        raise AssertionError("a classifier is not needed")

    monkeypatch.setattr(analyse, "train_classifier", refuse)
    monkeypatch.setattr(DataSet, "load", lambda *a, **k: source)
    chosen = [*PAIR, "--results", str(tmp_path / "runs")]
    for word in SMALL:
        chosen += ["--set", word]
    # As a cut leaves it: both seeds of one pair, one seed of the other.
    assert cli.main(["train", *chosen, "--at-once", "2"]) == 0
    shutil.rmtree(tmp_path / "runs" / "bag-coat" / "seed1001")
    capsys.readouterr()
    out, sheets = tmp_path / "out", tmp_path / "sheets"
    assert cli.main(["record", *chosen, "--out", str(out), "--sheets", str(sheets)]) == 1
    said = capsys.readouterr().out
    assert "bag-boot, 2 of 2 seeds" in said
    assert "bag-coat, 1 of 2 seeds" in said
    assert not sheets.exists()
    found = results.load(out)
    assert {n: c.sizes["seed"] for n, c in found.items()} == {"bag-boot": 2, "bag-coat": 1}
    for name, curves in found.items():
        assert curves.attrs["classifier_accuracy"] == "not trained"
        assert [str(c).lower() for c in curves["class"].values] == name.split("-")
        assert results.named_times(curves)["tau_gen"].dims == ("seed", "class")
    # What files of 45 pairs may take.
    assert max(p.stat().st_size for p in out.glob("*.nc")) < 42_000


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_the_script_is_well_formed():
    done = subprocess.run(["bash", "-n", str(SCRIPT)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
