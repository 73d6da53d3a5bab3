"""The attributes that every stored result carries."""

from __future__ import annotations

import datetime
import json
import subprocess
from pathlib import Path

import pytest

from diffclaims import __version__
from diffclaims.problem.experiment import Experiment
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.storage import provenance as module
from diffclaims.storage.provenance import provenance


def test_attributes_are_plain():
    experiment = Experiment(
        mixture=GaussianMixture([1.0], [1.0]), model=RandomFeatures(psi_p=1, psi_n=1, diffusion_time=1)
    )
    attrs = provenance(subject="x", experiment=experiment, seeds=range(3), device="cuda", width=64)
    assert all(type(v) in (str, int, float) for v in attrs.values())
    assert attrs["diffclaims_version"] == __version__
    assert json.loads(attrs["seeds"]) == [0, 1, 2]
    assert Experiment.from_json(attrs["experiment"]) == experiment
    assert attrs["experiment_key"] == experiment.key
    assert (attrs["device"], attrs["width"]) == ("cuda", 64)
    made = datetime.datetime.fromisoformat(attrs["created_at"])
    assert made.utcoffset() == datetime.timedelta(0)


def test_an_installed_copy_has_no_commit(tmp_path, monkeypatch):
    # A copy inside somebody else's repository must not borrow that repository's commit.
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    monkeypatch.setattr(module, "__file__", str(tmp_path / "provenance.py"))
    module._commit.cache_clear()
    try:
        assert module._commit() == ("", 0)
    finally:
        module._commit.cache_clear()


@pytest.mark.skipif(not (Path(__file__).parents[1] / ".git").exists(), reason="not a checkout")
def test_a_checkout_has_its_commit():
    package = Path(module.__file__).parents[1]
    head = subprocess.run(
        ["git", "-C", str(package), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    if head.returncode or package.parent != Path(__file__).parents[1]:
        pytest.skip("the package under test is not the checkout's")
    assert provenance(subject="x")["commit"] == head.stdout.strip()
