"""What is said of an advice: of which classes, how the predictors go together, and scatter as a factor."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import diffclaims
from diffclaims.advice import show
from diffclaims.advice.sentences import agreement, factor, time, window

RNG = np.random.default_rng(0)
X = np.concatenate([RNG.normal(size=(60, 12)) * s for s in (1.5, 1.0, 0.7)])
Y = np.repeat(["a", "b", "c"], 60)


@pytest.mark.parametrize(
    ("correlation", "said"),
    [
        (1.0, "agree on"),
        (0.3, "agree on"),
        (0.1, "neither agree nor disagree on"),
        (-0.1, "neither agree nor disagree on"),
        (-1.0, "disagree on"),
    ],
)
def test_predictors_agree_where_they_do(correlation, said):
    assert (
        agreement(correlation)
        == f"Here theory and coverage {said} the order of learning (rank correlation {correlation:+.2f})."
    )


@pytest.mark.parametrize("turned", [1, -1])
def test_the_advice_says_so(turned):
    """Classes of fewer dimensions are covered better; which are learned first depends on their variance."""
    classes = []
    for dims, s in zip((2, 5, 12), (1.5, 1.0, 0.7)[::turned], strict=True):
        x = np.zeros((60, 12))
        x[:, :dims] = RNG.normal(size=(60, dims)) * s * (12 / dims) ** 0.5
        classes.append(x)
    found = diffclaims.advise(np.concatenate(classes), Y, resamples=0, weights_search=False)
    value = found.attrs["agreement_gen"]
    assert agreement(value) in found.attrs["trust"].splitlines()


def test_the_window_is_of_the_classes_that_could_be_judged():
    all_ = diffclaims.advise(X, Y, resamples=2)
    assert "a time at which all classes are learned" in window(all_).replace("no time", "a time")
    assert "judged" not in window(all_)
    more, labels = np.concatenate([X, X[:1]]), np.concatenate([Y, ["single"]])
    left = diffclaims.advise(more, labels, classes=["a", "b", "c", "single", "empty"], resamples=2)
    assert "time at which all 3 classes that could be judged are learned and none is memorized" in window(
        left
    )
    assert "all 3 classes that could be judged" in " ".join(show.shown(left, 200).split())
    one = diffclaims.advise(X[:61], [*Y[:60], "single"], resamples=2)
    assert "the one class that could be judged is learned and not memorized" in window(one)


@pytest.mark.parametrize(
    ("error", "said"), [(0.05, "x/÷ 1.05"), (0.87, "x/÷ 2.4"), (3.0, "x/÷ 20.1"), (7.0, "x/÷ 1.1e+03")]
)
def test_scatter_is_a_factor(error, said):
    assert factor(error) == said


def test_a_time_has_the_factor_of_95_percent():
    one = xr.Dataset({"tau_gen": 40.6, "tau_gen_stderr": np.log(2.4) / 1.96})
    assert time(one, "gen", 2.0) == "20.30 x/÷ 2.4"


def test_the_sign_is_written_out_where_it_cannot_be_shown(monkeypatch):
    advice = diffclaims.advise(X, Y, resamples=2)
    assert "x/÷ 1." in show.shown(advice, 120)
    assert "%" not in show.shown(advice, 120).split("\nRecorded")[0]
    monkeypatch.setattr("diffclaims.terminal.ascii_only", lambda: True)
    monkeypatch.setattr(show, "ascii_only", lambda: True)
    assert "x or / 1." in show.shown(advice, 120)
    assert "?" not in show.shown(advice, 120).split("Weights")[0]
