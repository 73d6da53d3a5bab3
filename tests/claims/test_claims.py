"""The claim files themselves: complete, explorable, and with controls that can fail."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diffclaims.api.case import Case, Role
from diffclaims.api.claim import load_claims
from diffclaims.storage.paths import claims_dir
from diffclaims.subjects.theory import SUBJECT

CLAIMS = load_claims()
IDS = [c.id for c in CLAIMS]


def test_a_claim_is_named_as_its_file():
    assert [
        f.stem.removeprefix("test_").replace("_", "-") for f in sorted(claims_dir().glob("test_*.py"))
    ] == IDS


def test_claims_import_from_the_package_alone():
    for file in claims_dir().glob("test_*.py"):
        assert "from diffclaims." not in file.read_text(encoding="utf-8"), file.name


@pytest.mark.parametrize("claim", CLAIMS, ids=IDS)
def test_each_states_what_it_needs(claim):
    roles = [case.role for case in claim.cases]
    assert roles.count(Role.REGIME) >= 2
    assert Role.CONTROL in roles
    assert claim.says.endswith(".")
    assert claim.source
    assert "ours" in claim.definitions.lower()
    assert claim.regime
    for case in claim.cases:
        assert case.note or case.role is Role.REGIME, f"{case.name} must say why it is there"


@pytest.mark.parametrize("claim", CLAIMS, ids=IDS)
def test_the_regime_can_be_explored(claim):
    @settings(max_examples=15, suppress_health_check=list(HealthCheck), database=None)
    @given(st.data())
    def draw(data):
        case = data.draw(claim.space.strategy())
        assert isinstance(case, Case)
        assert case.role is Role.REGIME

    draw()


@pytest.mark.parametrize("claim", CLAIMS, ids=IDS)
def test_judging_is_pure(claim):
    """The verdict follows from what was measured alone: judging twice gives the same."""
    case = next(c for c in claim.cases if c.role is Role.CONTROL)
    first = claim.run(SUBJECT, case)
    again = claim.judge(case, first.data)
    assert [e.value for e in again] == [e.value for e in first.verdict.effects]
    assert first.as_expected
