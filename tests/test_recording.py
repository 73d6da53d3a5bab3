"""A subject's answers are kept, and only what is missing is measured."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from diffclaims.api.claim import find_claim
from diffclaims.cli import main
from diffclaims.errors import BaselineError
from diffclaims.problem.experiment import Experiment
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.storage.recordings import record
from diffclaims.studies.record import Recorder
from diffclaims.subjects.finite import FiniteSubject
from diffclaims.subjects.recorded import Recorded
from diffclaims.subjects.theory import Theory

PAIR = Experiment(
    mixture=GaussianMixture([0.5, 0.5], [1.5, 0.5]),
    model=RandomFeatures(psi_p=4, psi_n=2, diffusion_time=0.1),
)
TIMES = np.array([0.5, 1.0])


def test_what_was_recorded_is_not_measured_again(tmp_path):
    first = Recorder(Theory(), tmp_path, command="diffclaims record theory")
    answers = first.learning_curves(PAIR), first.speciation(PAIR, TIMES), first.spectrum(PAIR)
    assert first.measured == 3
    second = Recorder(Theory(), tmp_path, command="diffclaims record theory")
    again = second.learning_curves(PAIR), second.speciation(PAIR, TIMES), second.spectrum(PAIR)
    assert second.measured == 0
    for a, b in zip(answers, again, strict=True):
        for name in a.data_vars:
            # Where U-turns of two classes ended is put back, to rounding.
            np.testing.assert_allclose(a[name].values, b[name].values, rtol=0, atol=1e-15)


def test_other_diffusion_times_are_measured_anew(tmp_path):
    recorder = Recorder(Theory(), tmp_path, command="")
    recorder.speciation(PAIR, TIMES)
    recorder.speciation(PAIR, TIMES * 2)
    assert recorder.measured == 2


def test_a_recording_plays_back_as_a_subject(tmp_path):
    recorder = Recorder(Theory(), tmp_path, command="diffclaims record theory")
    measured = recorder.learning_curves(PAIR)
    played = Recorded("theory", tmp_path).learning_curves(PAIR)
    np.testing.assert_array_equal(played["test_loss"].values, measured["test_loss"].values)
    assert played.attrs["command"] == "diffclaims record theory"


SMALL = FiniteSubject(
    n_dims=12, speciation_dims=8, seeds=2, speciation_seeds=2, n_points=8, n_steps=4, n_times=10
)


@pytest.mark.parametrize(
    ("kind", "changed", "message"),
    [
        ("curves", {"n_dims": 14}, r"n_dims = 12 \(now 14\)"),
        ("curves", {"reduced": True}, r"paired = 0 \(now 1\), control = 0 \(now 1\)"),
        ("speciation", {"n_points": 16, "sobol": False}, r"n_points = 8 \(now 16\), sobol = 1 \(now 0\)"),
        ("speciation", {"n_steps": 5}, r"n_regular_steps = 4 \(now 5\)"),
        ("speciation", {"scores_every": 2}, r"scores_every = 3 \(now 2\)"),
        ("speciation", {"mirrored": False}, r"mirrored = 1 \(now 0\)"),
    ],
)
def test_a_recording_of_other_settings_is_said_and_renewed_when_told_to(tmp_path, kind, changed, message):
    def ask(subject, **how):
        recorder = Recorder(subject, tmp_path, command="diffclaims record finite", **how)
        found = recorder.learning_curves(PAIR) if kind == "curves" else recorder.speciation(PAIR, TIMES)
        return found, recorder.measured

    other = dataclasses.replace(SMALL, **changed)
    ask(SMALL)
    assert ask(SMALL)[1] == 0
    with pytest.raises(BaselineError, match=message + ".*--renew"):
        ask(other)
    assert ask(other, renew=True)[1] == 1
    assert ask(other)[1] == 0


def test_the_command_goes_on_with_the_other_cases(tmp_path, monkeypatch, capsys):
    subject = dataclasses.replace(SMALL, seeds=8)
    claim = find_claim("centroid-secondary")
    first = next(iter(claim.case("equal-variance-norms-1-4").experiments.values()))
    record(tmp_path, first, dataclasses.replace(subject, n_dims=14).learning_curves(first))
    monkeypatch.setattr("diffclaims.subjects.registry.subject_of", lambda *args, **kwargs: subject)
    assert main(["record", "finite", "--claim", "centroid-secondary", "--folder", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "equal-variance-norms-1-4: " in out
    assert "n_dims = 14 (now 12)" in out
    assert "ratio-2-against-norms-4-0: 1 measured" in out


def test_settings_that_a_recording_does_not_state_were_none(tmp_path):
    """Recordings that were made before there was a choice."""
    recorder = Recorder(SMALL, tmp_path, command="")
    old = SMALL.learning_curves(PAIR)
    record(
        tmp_path,
        PAIR,
        old.drop_attrs(deep=False).assign_attrs(
            {k: v for k, v in old.attrs.items() if k not in ("paired", "control")}
        ),
    )
    recorder.learning_curves(PAIR)
    assert recorder.measured == 0


@pytest.mark.parametrize("kind", ["curves", "speciation"])
@pytest.mark.parametrize("norms", [1.0, 4.0])
def test_the_settings_of_finite_are_those_of_its_answers(kind, norms):
    mixture = GaussianMixture([0.5, 0.5], [1.0, 1.0], centroid_gram=np.diag([norms, 1.0]))
    asked = PAIR.replace(mixture=mixture)
    found = SMALL.learning_curves(asked) if kind == "curves" else SMALL.speciation(asked, TIMES)
    stated = SMALL.settings(kind, asked)
    assert {name: found.attrs[name] for name in stated} == stated


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["record", "theorie"], "did you mean 'theory'"),
        (["record", "theory", "--claim", "nonsense"], "variance-order"),
    ],
)
def test_unknown_names_are_one_line(words, message, capsys):
    assert main(words) == 2
    said = capsys.readouterr().err.strip()
    assert message in said
    assert said.count("\n") == 0


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert "diffclaims" in capsys.readouterr().out


def test_what_is_played_may_be_changed_and_is_played_again_as_it_was(tmp_path):
    Recorder(Theory(), tmp_path, command="").learning_curves(PAIR)
    subject = Recorded("theory", tmp_path)
    first = subject.learning_curves(PAIR)
    first["test_loss"][:] = 7.0
    first.attrs.clear()
    again = subject.learning_curves(PAIR)
    assert (again["test_loss"] < 7).any()
    assert "checksum" not in again.attrs
    assert again.attrs["recording"].endswith(".nc")
