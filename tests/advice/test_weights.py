"""The search for class weights, on forecasts whose windows are known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import diffclaims
from diffclaims.advice.weights import WIDE, advised


def known(gen, mem):
    """A forecast whose times follow from the weights, one class at a time."""

    def ask(w):
        one = SimpleNamespace(gen=gen(w), mem=mem(w))
        one.window = float(np.log(one.mem.min() / one.gen.max()))
        return one

    return ask


#: Rarer classes are learned later and memorized earlier: balance is best.
BALANCE = known(lambda w: w**-0.5, lambda w: 2.2 * w**0.5)
HALF = np.array([0.5, 0.5])


def test_a_closed_window_is_opened_by_the_least_change():
    start = np.array([0.1, 0.9])
    ask = known(lambda w: 1 / w**0.5, lambda w: 3 * w**0.5)
    found = advised(start, ask, ask(start))
    assert found.state == "opens"
    assert found.before < 0 < found.after
    # 3 sqrt(w) = 1/sqrt(w) at w = 1/3.
    assert ask(found.opening).window > 0
    assert found.opening[0] == pytest.approx(1 / 3, abs=0.03)
    assert found.best[0] == pytest.approx(0.5, abs=0.06)


def test_a_window_can_vanish():
    ask = known(lambda w: 1 / w, lambda w: w)
    found = advised(np.array([0.1, 0.9]), ask, ask(np.array([0.1, 0.9])))
    assert found.state == "closed"
    assert found.after < 0
    assert np.isnan(found.opening).all()


def test_an_open_window_is_widened_or_left():
    start = np.array([0.25, 0.75])
    ask = known(lambda w: 1 / w**0.5, lambda w: 6 * w**0.5)
    assert advised(start, ask, ask(start)).state == "widens"
    left = advised(HALF, ask, ask(HALF))
    assert left.state == "open"
    np.testing.assert_array_equal(left.best, HALF)


@pytest.mark.parametrize(
    ("gen", "mem", "state"),
    [
        ([np.inf, 1], [5, 5], "unlearned"),
        ([1, 1], [np.inf] * 2, "endless"),
        ([1, 1], [2 * np.exp(WIDE)] * 2, "wide"),
    ],
)
def test_nothing_is_searched_where_nothing_is_to_gain(gen, mem, state):
    def ask(w):
        raise AssertionError

    window = -np.inf if np.inf in gen else float(np.log(min(mem) / max(gen)))
    first = SimpleNamespace(gen=np.array(gen), mem=np.array(mem), window=window)
    assert advised(HALF, ask, first).state == state


def test_three_classes_end_near_the_balance_of_the_three():
    start = np.array([0.05, 0.15, 0.8])
    found = advised(start, BALANCE, BALANCE(start))
    assert found.after > found.before + 1
    assert np.ptp(found.best) < 0.2


def test_advised_weights_open_the_window_of_the_theory():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(60, 20)) * 1.4, rng.normal(size=(20, 20)) * 0.5 + 1])
    y = [0] * 60 + [1] * 20
    found = diffclaims.advise(x, y, resamples=0)
    assert found.attrs["weights_state"] == "opens"
    assert found.attrs["window"] < 0 < found.attrs["window_widest"]
    again = diffclaims.advise(x, y, resamples=0, weights=found["weight_opening"].values)
    assert again.attrs["window"] == pytest.approx(0, abs=0.2)
    assert again.attrs["window"] > 0
