"""The verdict rule."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from diffclaims.api.evidence import evidence, most_against
from diffclaims.api.outcome import Effect, Outcome, quantile
from diffclaims.api.verdict import Verdict, combine
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
    one = Effect.from_samples("x", [1.0, 2.0, 4.0, 6.0])
    assert one.value == 3
    assert one.stderr == pytest.approx(math.sqrt(math.pi / 2) * stats.sem([1, 2, 4, 6]))
    assert one.n_seeds == 4


def test_one_sample_decides_nothing():
    assert Effect.from_samples("x", [100.0]).outcome is INCONCLUSIVE
    assert Effect.from_samples("x", [math.inf]).outcome is INCONCLUSIVE


@pytest.mark.parametrize("size", [0.1, math.inf])
def test_eight_that_agree_decide_and_seven_do_not(size):
    for sign, outcome in ((1, HOLDS), (-1, FAILS)):
        assert Effect.from_samples("x", [sign * size] * 8).outcome is outcome
        few = Effect.from_samples("x", [sign * size] * 7)
        assert few.outcome is INCONCLUSIVE
        assert "7 seeds can agree by chance; 8 that agree decide; about 1 more seeds" in few.sentence()


@pytest.mark.parametrize(
    ("values", "outcome"),
    [
        ([0.5] * 6 + [math.inf] * 6, HOLDS),
        ([-0.5] + [math.inf] * 10, INCONCLUSIVE),
        ([-0.5] + [math.inf] * 15, HOLDS),
        ([0.5, 0.6] + [-math.inf] * 20, FAILS),
        ([-math.inf] * 8 + [math.inf] * 8, INCONCLUSIVE),
        ([0.0] + [0.5] * 9, INCONCLUSIVE),
        ([0.0] * 2 + [0.5] * 20, HOLDS),
    ],
)
def test_seeds_are_judged_by_how_many_lie_against(values, outcome):
    one = Effect.from_samples("x", values)
    assert one.outcome is outcome
    against = min(sum(v <= 0 for v in values), sum(v >= 0 for v in values))
    assert (evidence(len(values), against) >= 100) == (outcome is not INCONCLUSIVE)
    low, high = one.limits
    assert (low > 0 or high < 0) == (outcome is not INCONCLUSIVE)


def test_the_decision_threshold_is_the_distance_to_the_limit():
    one = Effect.from_samples("x", np.arange(1.0, 25.0), threshold=3.0, accuracy=0.5)
    assert one.limits == (5.0, 20.0)
    assert one.bar == 12.5 - 5.0 + 0.5
    assert one.outcome is HOLDS
    assert Effect.from_samples("x", np.arange(1.0, 25.0), threshold=4.5, accuracy=0.5).outcome is INCONCLUSIVE


@pytest.mark.parametrize("n", [1, 5, 12])
def test_evidence_is_fair(n):
    """Under a fair coin its mean is 1, so that it exceeds 100 with a probability of at most 1 %."""
    values = [evidence(n, k) for k in range(n + 1)]
    assert np.dot(stats.binom.pmf(np.arange(n + 1), n, 0.5), values) == pytest.approx(1)
    assert evidence(0, 0) == pytest.approx(1)


def test_evidence_grows_as_a_bet_does():
    """From one look to the next it is multiplied by what a bet of that moment pays: on average by 1."""
    for n, k in ((3, 0), (9, 2), (40, 11)):
        mean = (evidence(n + 1, k) + evidence(n + 1, k + 1)) / 2
        assert mean == pytest.approx(evidence(n, k), rel=1e-12)


def test_most_against_is_the_last_that_decides():
    for n in range(1, 200):
        most = most_against(n)
        assert most < 0 or evidence(n, most) >= 100
        assert evidence(n, most + 1) < 100
    assert [most_against(n) for n in (7, 8, 16, 24, 60)] == [-1, 0, 1, 4, 16]


def test_nan_and_nothing_are_refused():
    for values in ([], [1.0, math.nan]):
        with pytest.raises(InvalidInput, match="hold at least one value and no NaN"):
            Effect.from_samples("x", values)


def test_false_alarms_are_rare_when_every_seed_is_looked_at():
    """Skewed values, whose median is the threshold."""
    values = np.random.default_rng(0).exponential(size=(2000, 24)) - np.log(2)
    looks = range(3, 25)
    held = [any(Effect.from_samples("x", v[:n]).outcome is HOLDS for n in looks) for v in values[:600]]
    assert np.mean(held) <= 0.01 + 4 * math.sqrt(0.01 / 600)


def test_one_of_many_effects_must_fail_more_surely():
    good, bad = Effect.from_samples("good", [1.0] * 8), Effect.from_samples("bad", [-1.0] * 8)
    assert Verdict([bad]).outcome is FAILS
    both = Verdict([good, bad])
    assert both.outcome is INCONCLUSIVE
    assert both.worst is bad
    assert "chance alone would let one fail too often" in both.sentence()
    assert Verdict([bad, bad]).outcome is FAILS
    surely = Effect.from_samples("bad", [-1.0] * 10)
    assert Verdict([Effect.from_samples("good", [1.0] * 10), surely]).outcome is FAILS
    assert Verdict([good, effect(-1.0, accuracy=0.1)]).outcome is FAILS


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
    assert "one seed decides nothing; run at least 7 more seeds" in effect(0.3, n_seeds=1).sentence()
    by_seed = Effect.from_samples("x", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
    assert by_seed.sentence() == (
        "x = +0.45 (median of 8 seeds, limits +0.1 and +0.8), threshold 0: holds "
        "(0 of 8 seeds lie on the other side; up to 0 may)"
    )


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
