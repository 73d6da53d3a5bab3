"""Names of subjects, and recordings that stand for them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from diffclaims.errors import BaselineError, InvalidInput, NotMeasured
from diffclaims.storage.recordings import record
from diffclaims.subjects import registry
from diffclaims.subjects.contract import PROBE, check_subject
from diffclaims.subjects.recorded import Recorded
from diffclaims.suite.loading import columns


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "example"))
    import toy

    yield toy
    del sys.modules["toy"]


def test_the_built_in_subjects_are_registered_without_being_imported():
    assert list(registry.registered())[:3] == ["theory", "finite", "unet"]


def test_an_unknown_name_answers_with_the_nearest_and_all():
    with pytest.raises(InvalidInput, match=r"did you mean 'finite'\? Available: theory, finite, unet"):
        registry.find("finit", registry.registered())


def test_what_takes_long_is_not_run_without_recordings():
    with pytest.raises(NotMeasured, match="measure it with --live finite"):
        registry.load(registry.registered()["finite"])


def test_a_module_that_is_missing_is_a_reason_not_an_error():
    entry = registry.Entry(name="x", target="diffclaims.subjects.finite:SUBJECT", needs=("no_such_module",))
    with pytest.raises(NotMeasured, match="no_such_module is not installed"):
        registry.load(entry, live=True)


def test_an_object_from_the_command_line(toy):
    entries = registry.registered(extra=["toy:SUBJECT"])
    assert registry.load(entries["toy:SUBJECT"]) is toy.SUBJECT
    for target in ("toy:", "toy:SUBJECT.nothing"):
        with pytest.raises(InvalidInput, match=r"package\.module:OBJECT"):
            registry.load(registry.Entry(name="x", target=target))


def test_two_subjects_may_not_share_a_name(toy):
    with pytest.raises(InvalidInput, match="name of a subject"):
        columns(baselines_dir=None, subjects=["toy:SUBJECT", "toy:FASTER"])


def test_recordings_stand_for_a_subject(toy, tmp_path):
    folder = tmp_path / "finite" / "recorded"
    record(folder, PROBE, toy.NOISY.learning_curves(PROBE), name="probe")
    entries = registry.registered(tmp_path)
    assert entries["finite"].title == "finite (recorded)"
    subject = registry.load(entries["finite"])
    assert isinstance(subject, Recorded)
    assert subject.tags.stochastic
    assert subject.tags.measures == {"learning_curves"}
    assert subject.experiments() == {"probe": PROBE}
    assert subject.learning_curves(PROBE).identical(subject.learning_curves(PROBE))
    check_subject(subject)
    with pytest.raises(NotMeasured, match="were not recorded"):
        subject.learning_curves(PROBE.replace(psi_n=3.0))


def test_campaigns_are_not_mixed(toy, tmp_path):
    record(tmp_path / "unet" / "recorded" / "cpu", PROBE, toy.NOISY.learning_curves(PROBE))
    entries = registry.registered(tmp_path)
    assert list(entries)[:4] == ["theory", "finite", "unet", "unet-cpu"]
    assert entries["unet-cpu"].title == "unet (recorded: cpu)"
    assert registry.load(entries["unet-cpu"]).title == "unet (recorded: cpu)"


def test_a_damaged_recording_fails_the_run_but_not_the_others(toy, tmp_path):
    path = record(tmp_path / "finite" / "recorded", PROBE, toy.NOISY.learning_curves(PROBE))
    path.write_bytes(path.read_bytes()[:1000])
    found = {c.name: c for c in columns(baselines_dir=tmp_path)}
    assert isinstance(found["finite"].error, BaselineError)
    with pytest.raises(BaselineError, match="cannot be read"):
        found["finite"].contract()


def test_a_recording_under_the_wrong_name_is_refused(toy, tmp_path):
    path = record(tmp_path, PROBE, toy.NOISY.learning_curves(PROBE))
    path.rename(path.with_name("000000000000.nc"))
    with pytest.raises(BaselineError, match="another experiment than its name says"):
        Recorded("x", tmp_path).experiments()


def test_recordings_of_a_project_stand_beside_those_of_the_package(toy, tmp_path):
    own, shipped = tmp_path / "own", tmp_path / "shipped"
    other = PROBE.replace(psi_n=3.0)
    answer = toy.NOISY.learning_curves(PROBE)
    record(shipped / "finite" / "recorded", PROBE, answer.assign_attrs(device="theirs"))
    record(shipped / "finite" / "recorded", other, toy.NOISY.learning_curves(other))
    record(shipped / "unet" / "recorded" / "cpu", PROBE, answer)
    record(own / "finite" / "recorded", PROBE, answer.assign_attrs(device="mine"))
    record(own / "unet" / "recorded" / "mine", PROBE, answer)
    entries = registry.registered(own, shipped=shipped)
    assert list(entries)[:5] == ["theory", "finite", "unet", "unet-cpu", "unet-mine"]
    subject = registry.load(entries["finite"])
    assert subject.learning_curves(PROBE).attrs["device"] == "mine"
    assert subject.learning_curves(other).sizes["seed"] > 1
    assert list(registry.registered(shipped=shipped))[:4] == ["theory", "finite", "unet", "unet-cpu"]
