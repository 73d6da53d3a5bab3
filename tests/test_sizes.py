"""Effects must have the size that the theory gives."""

from __future__ import annotations

import math

import numpy as np
import pytest

from diffclaims import load_claims
from diffclaims.api.outcome import Effect, Outcome
from diffclaims.api.sizes import size_effects
from diffclaims.api.subject import Tags
from diffclaims.api.verdict import Verdict
from diffclaims.errors import BaselineError
from diffclaims.storage.reference import recorded_effects
from diffclaims.studies.families import FAMILIES
from diffclaims.studies.mutations import Mutant
from diffclaims.subjects.memo import Memo
from diffclaims.subjects.theory import SUBJECT

CLAIMS = {c.id: c for c in load_claims()}
EXACT = Tags(exact=True, stochastic=False, measures=frozenset({"learning_curves"}))
SEEDED = Tags(exact=False, stochastic=True, measures=frozenset({"learning_curves"}))


def judged(value, size, tags=EXACT, **more):
    effects = [Effect(name="x", value=value, accuracy=1e-6)]
    return Verdict(effects, size_effects(effects, {"x": size}, tags, **more))


@pytest.mark.parametrize(
    ("value", "size", "outcome"),
    [
        (0.47, 0.47, "holds"),
        (0.49, 0.47, "holds"),
        (0.50, 0.47, "fails"),
        (0.24, 0.47, "fails"),
        (0.047, 0.47, "fails"),
        (0.003, 0.0, "holds"),
        (math.inf, math.inf, "holds"),
        (1.0, math.inf, "fails"),
        (math.inf, 1.0, "fails"),
        (-0.47, 0.47, "fails"),
    ],
)
def test_an_exact_effect_of_the_wrong_size_fails(value, size, outcome):
    assert judged(value, size).outcome is Outcome(outcome)


def test_what_is_not_known_is_not_held_against_an_effect():
    assert size_effects([Effect(name="x", value=1.0)], {}, EXACT) == []
    assert Verdict([Effect(name="x", value=1.0)]).size is Outcome.NOT_RUN


def test_a_wrong_size_is_said():
    verdict = judged(0.24, 0.47)
    assert "size of x (the theory's is +0.47 within 0.029)" in verdict.sentence()


def test_seeds_must_lie_between_two_limits_by_their_median():
    rng = np.random.default_rng(0)
    for centre, outcome in ((0.47, "holds"), (0.24, "fails"), (0.8, "fails")):
        effects = [Effect.from_samples("x", centre + 0.01 * rng.standard_normal(24))]
        sizes = size_effects(effects, {"x": 0.47}, SEEDED, 256)
        assert len(sizes) == 2
        assert Verdict(effects, sizes).outcome is Outcome(outcome)


def test_few_samples_of_a_class_widen_the_tolerance():
    effects = [Effect.from_samples("x", [0.3] * 12)]
    assert Verdict(effects, size_effects(effects, {"x": 0.1}, SEEDED, 10)).size is Outcome.HOLDS
    assert Verdict(effects, size_effects(effects, {"x": 0.1}, SEEDED, 200)).size is Outcome.FAILS


def test_sizes_are_those_of_the_recorded_case_and_of_no_other():
    claim = CLAIMS["variance-order"]
    case, other = claim.case("ratio-2"), claim.case("ratio-4")
    found = recorded_effects(claim.id, case.name, case.experiments)
    assert found["ln tau_gen(low)/tau_gen(high) at 0.5"] == pytest.approx(0.475, abs=0.05)
    assert recorded_effects(claim.id, case.name, other.experiments) == {}
    assert recorded_effects(claim.id, "no-such-case", case.experiments) == {}


def test_every_case_of_every_claim_has_sizes_to_be_held_to():
    missing = [
        f"{claim.id}[{case.name}]"
        for claim in CLAIMS.values()
        for case in claim.cases
        if not recorded_effects(claim.id, case.name, case.experiments)
    ]
    assert missing == []


def test_a_damaged_record_is_an_error_and_not_a_case_without_sizes(tmp_path, monkeypatch):
    claim = CLAIMS["variance-order"]
    case = claim.case("ratio-2")
    monkeypatch.setattr("diffclaims.storage.reference.locate.baselines_dir", lambda: tmp_path)
    assert recorded_effects(claim.id, case.name, case.experiments) == {}
    folder = tmp_path / "theory" / claim.id
    folder.mkdir(parents=True)
    (folder / f"{case.name}.nc").write_bytes(b"no file of ours")
    with pytest.raises(BaselineError, match="cannot be read"):
        recorded_effects(claim.id, case.name, case.experiments)


@pytest.mark.parametrize("size", [1.0, 0.1])
def test_a_control_with_the_wrong_size_is_not_as_it_should_be(size):
    """An order that is reversed where it must be, by a tenth of its size."""
    claim = CLAIMS["variance-order"]
    case = claim.case("labels-swapped")
    mutant = Mutant(Memo(SUBJECT), "alike", FAMILIES["times-alike"].make(size))
    result = claim.run(mutant, case, identities=False)
    assert not result.as_expected
    assert claim.run(SUBJECT, case).as_expected


def test_the_theory_is_recorded_anew_without_its_own_record():
    claim = CLAIMS["variance-order"]
    case = claim.case("ratio-2")
    mutant = Mutant(Memo(SUBJECT), "alike", FAMILIES["times-alike"].make(0.5))
    assert claim.run(mutant, case, identities=False).outcome is Outcome.FAILS
    assert claim.run(mutant, case, identities=False, sizes=False).outcome is Outcome.HOLDS
