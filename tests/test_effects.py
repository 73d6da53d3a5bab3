"""Effects: differences of times that are never reached, and values by seed."""

from __future__ import annotations

import warnings

import numpy as np

from diffclaims.claim import load_claims
from diffclaims.effects import difference
from diffclaims.mutants import Mutant
from diffclaims.subjects.theory import SUBJECT
from diffclaims.verdict import Effect, Outcome, Verdict


def test_values_that_are_infinite_alike_are_a_tie():
    later = np.array([np.inf, -np.inf, np.inf, -np.inf, 2.0, np.inf])
    first = np.array([np.inf, -np.inf, -np.inf, np.inf, 0.5, 0.5])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = difference(later, first)
    np.testing.assert_array_equal(found, [0.0, 0.0, np.inf, -np.inf, 1.5, np.inf])


def test_an_effect_keeps_its_values_in_the_order_of_the_seeds():
    effect = Effect.from_samples("e", [3.0, 1.0, 2.0])
    assert effect.samples == (3.0, 1.0, 2.0)
    # They are not part of what an effect is: an equal summary is an equal effect.
    assert effect == Effect.from_samples("e", [1.0, 2.0, 3.0])
    assert "samples" not in repr(effect)


def test_no_exponent_is_as_far_outside_as_can_be_and_no_warning():
    claim = next(c for c in load_claims() if c.id == "two-phases")
    case = next(c for c in claim.cases if c.name == "moderate-n")
    data = claim.measure(Mutant(SUBJECT, "no-memorization"), case)
    verdict = Verdict(claim.judge(case, data))
    assert verdict.outcome is Outcome.FAILS
    assert verdict.worst.value == -np.inf
