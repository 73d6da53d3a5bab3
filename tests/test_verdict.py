"""The verdict rule."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from diffclaims.api.verdict import Effect, Outcome, Verdict, combine, quantile
from diffclaims.errors import InvalidInput

HOLDS, FAILS, INCONCLUSIVE = Outcome.HOLDS, Outcome.FAILS, Outcome.INCONCLUSIVE


def effect(value, **more):
    return Effect(name="x", value=value, **more)


@pytest.mark.parametrize("n", [2, 3, 5, 10, 100])
def test_the_quantile_has_the_tail_of_three_sigma(n):
    assert stats.t.sf(quantile(n), n - 1) == pytest.approx(stats.norm.sf(3), rel=1e-6)


def test_the_limits_of_the_quantile():
    assert quantile(0) == 3
    assert quantile(1) == math.inf
    assert quantile(10**7) == pytest.approx(3, abs=1e-5)


@pytest.mark.parametrize(
    ("one", "outcome"),
    [
        (effect(0.375, stderr=0.125), HOLDS),
        (effect(0.299, stderr=0.1), INCONCLUSIVE),
        (effect(-0.375, stderr=0.125), FAILS),
        (effect(1.3, stderr=0.1, threshold=1), HOLDS),
        (effect(0.3, accuracy=0.3), HOLDS),
        (effect(0.3, accuracy=0.31, stderr=0.01), INCONCLUSIVE),
        (effect(0.0), INCONCLUSIVE),
        (effect(1e-300), HOLDS),
        (effect(0.0, accuracy=0.1), INCONCLUSIVE),
        (effect(math.inf), HOLDS),
        (effect(-math.inf, accuracy=0.1), FAILS),
        (effect(math.inf, n_seeds=1), INCONCLUSIVE),
        (effect(5.0, n_seeds=1), INCONCLUSIVE),
        (effect(5.0, stderr=math.inf, n_seeds=4), INCONCLUSIVE),
        (effect(0.5, stderr=0.1, n_seeds=5), INCONCLUSIVE),
        (effect(0.67, stderr=0.1, n_seeds=5), HOLDS),
    ],
)
def test_the_rule(one, outcome):
    assert one.outcome is outcome


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"value": math.nan}, "value of the effect 'x' = nan"),
        ({"value": 1, "stderr": -1}, "stderr = -1"),
        ({"value": 1, "accuracy": math.nan}, "accuracy of the effect"),
        ({"value": 1, "threshold": math.inf}, "threshold = inf"),
        ({"value": 1, "n_seeds": -1}, "n_seeds = -1"),
    ],
)
def test_bad_numbers_are_refused(arguments, message):
    with pytest.raises(InvalidInput, match=message):
        effect(**arguments)


@given(st.floats(-5, 5), st.floats(0, 2), st.floats(0, 2), st.integers(2, 50))
def test_the_rule_is_odd(value, stderr, accuracy, n_seeds):
    flip = {HOLDS: FAILS, FAILS: HOLDS, INCONCLUSIVE: INCONCLUSIVE}
    errors = {"stderr": stderr, "accuracy": accuracy, "n_seeds": n_seeds}
    assert effect(-value, **errors).outcome is flip[effect(value, **errors).outcome]


def test_finite_samples():
    one = Effect.from_samples("x", [1.0, 2.0, 3.0, 6.0])
    assert one.value == 3
    assert one.stderr == pytest.approx(stats.sem([1, 2, 3, 6]))
    assert one.n_seeds == 4


def test_one_sample_decides_nothing():
    assert Effect.from_samples("x", [100.0]).outcome is INCONCLUSIVE
    assert Effect.from_samples("x", [math.inf]).outcome is INCONCLUSIVE


def test_infinite_samples_decide_when_so_many_cannot_agree_by_chance():
    for sign, outcome in ((1, HOLDS), (-1, FAILS)):
        assert Effect.from_samples("x", [sign * math.inf] * 10).outcome is outcome
        few = Effect.from_samples("x", [sign * math.inf] * 9)
        assert few.outcome is INCONCLUSIVE
        assert "run at least 1 more seeds" in few.sentence()


def test_few_mixed_samples_decide_nothing():
    one = Effect.from_samples("x", [1.0, 1.1, 1.2, math.inf])
    assert one.outcome is INCONCLUSIVE
    assert "run at least 6 more seeds" in one.sentence()


@pytest.mark.parametrize(
    ("values", "outcome"),
    [
        ([0.5] * 6 + [math.inf] * 6, HOLDS),
        ([-0.5] + [math.inf] * 11, INCONCLUSIVE),
        ([-0.5] + [math.inf] * 14, HOLDS),
        ([0.5, 0.6] + [-math.inf] * 20, FAILS),
        ([-math.inf] * 8 + [math.inf] * 8, INCONCLUSIVE),
    ],
)
def test_many_mixed_samples_are_judged_by_the_sign_test(values, outcome):
    # The lower limit of the median is at or above the threshold exactly when so few values lie below
    # it that a fair coin would do so with less than the tail probability of 3 sigma.
    below, n = sum(v < 0 for v in values), len(values)
    significant = stats.binom.cdf(min(below, n - below), n, 0.5) <= stats.norm.sf(3)
    assert significant == (outcome is not INCONCLUSIVE)
    assert Effect.from_samples("x", values).outcome is outcome


def test_nan_and_nothing_are_refused():
    for values in ([], [1.0, math.nan]):
        with pytest.raises(InvalidInput, match="hold at least one value and no NaN"):
            Effect.from_samples("x", values)


def test_false_alarms_under_the_null_are_as_rare_as_promised():
    samples = np.random.default_rng(0).standard_normal((20_000, 3))
    share = np.mean([Effect.from_samples("x", s).outcome is HOLDS for s in samples])
    assert share == pytest.approx(stats.norm.sf(3), abs=4 * math.sqrt(stats.norm.sf(3) / 20_000))


def test_more_seeds_would_just_decide():
    one = effect(0.1, stderr=0.05, n_seeds=4)
    n = one.n_seeds + one.more_seeds
    spread = 0.05 * math.sqrt(4)
    assert quantile(n) * spread / math.sqrt(n) <= 0.1 < quantile(n - 1) * spread / math.sqrt(n - 1)


@pytest.mark.parametrize(
    "one",
    [
        effect(1.0, stderr=0.1, n_seeds=9),  # decided
        effect(0.1, accuracy=0.2),  # exact
        effect(0.0, stderr=0.1, n_seeds=9),  # no margin
        effect(1e-9, stderr=0.1, n_seeds=9),  # hopeless
        effect(0.1, stderr=0.1, accuracy=0.2, n_seeds=9),  # within the numerical accuracy
        effect(0.1, n_seeds=1),
    ],
)
def test_when_more_seeds_are_no_answer(one):
    assert one.more_seeds is None


def test_sentences():
    one = Effect(name="ln tau_gen(low)/tau_gen(high)", value=0.21, stderr=0.03)
    assert one.sentence() == (
        "ln tau_gen(low)/tau_gen(high) = +0.21 +- 0.03, threshold 0: holds "
        "(margin +7.0 s.e.; holds above +3, fails below -3)"
    )
    assert "about 10 more seeds would decide it" in effect(0.1, stderr=0.05, n_seeds=4).sentence()
    assert "a tie within the accuracy: refine the numerics" in effect(0.0, accuracy=0.1).sentence()
    assert "one seed has no standard error" in effect(0.3, n_seeds=1).sentence()


def test_a_conjunction():
    good, bad, open_ = effect(1.0, accuracy=0.1), effect(-1.0, accuracy=0.1), effect(0.0, accuracy=0.1)
    assert Verdict([good, good]).outcome is HOLDS
    assert Verdict([good, open_]).outcome is INCONCLUSIVE
    assert Verdict([good, open_, bad]).outcome is FAILS
    assert Verdict([good, open_, bad]).worst is bad
    assert combine([]) is Outcome.NOT_RUN
    assert combine([Outcome.NOT_RUN, HOLDS]) is HOLDS


def test_the_worst_effect_decides_even_with_the_larger_margin():
    sharp, vague = effect(0.2, accuracy=0.01), effect(0.5, accuracy=1.0)
    assert Verdict([sharp, vague]).worst is vague
    assert "[the weakest of 2 effects]" in Verdict([sharp, vague]).sentence()


def test_a_verdict_needs_an_effect():
    with pytest.raises(InvalidInput, match="one or more Effect"):
        Verdict([])
