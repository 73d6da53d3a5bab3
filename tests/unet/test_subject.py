"""The live subject, on synthetic images."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
from diffclaims.errors import InvalidInput, NotMeasured
from diffclaims.subjects import check_subject
from diffclaims.subjects.unet import UNetSubject
from diffclaims.suite.loading import columns
from tests.unet.synthetic import TINY

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def subject(source, tmp_path, monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    return UNetSubject(preset="smoke", results=tmp_path, settings=TINY, _source=source)


def test_the_live_subject_keeps_the_contract(subject):
    check_subject(subject)
    (experiment,) = subject.experiments().values()
    assert subject.learning_curves(experiment).attrs["experiment_key"] == experiment.key
    assert subject.speciation(experiment, [0.1]).sizes["diffusion_time"] == 2
    with pytest.raises(NotMeasured, match="has no such experiment"):
        subject.learning_curves(experiment.replace(psi_n=1.0))


def test_without_data_it_is_not_measured(tmp_path):
    with pytest.raises(NotMeasured, match="no data to train on"):
        UNetSubject(preset="smoke", data_dir=tmp_path).experiments()


def test_a_wrong_setting_is_told_of_before_any_case(monkeypatch):
    monkeypatch.setattr("diffclaims.subjects.unet.SUBJECT", UNetSubject(dataset="nothing"))
    with pytest.raises(InvalidInput, match=r"dataset = 'nothing'.*choose one"):
        columns(baselines_dir=None, subjects=["unet"], live=["unet"])
