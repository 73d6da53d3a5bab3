"""A subject's answers are kept, and only what is missing is measured."""

from __future__ import annotations

import numpy as np
import pytest

from diffclaims.cli import main
from diffclaims.problem.experiment import Experiment
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.studies.record import Recorder
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
