"""`diffclaims.check`: the claims from Python."""

from __future__ import annotations

import sys
import warnings

import pytest

import diffclaims
from diffclaims.errors import ClaimFailed, InvalidInput, SubjectInvalid
from diffclaims.storage import paths as locate


@pytest.fixture
def toy(suite, monkeypatch):
    monkeypatch.setattr(locate, "claims_dir", lambda root=None: suite.path / "statements")
    import toy

    yield toy
    for name in [n for n in sys.modules if n == "toy" or n.startswith("statements")]:
        del sys.modules[name]


def test_all_claims_as_a_dataset(toy):
    data = diffclaims.check(toy.SUBJECT)
    assert data.attrs["schema"] == "verdicts"
    assert dict(zip(data["case"].values, data["verdict"].values, strict=True)) == {
        "order[ratio-2] on toy": "holds",
        "order[ratio-4] on toy": "holds",
        "order[equal] on toy": "inconclusive",
        "order[swapped] on toy": "fails",
        "order[beyond] on toy": "holds" if data["effect"][4] > 0 else "fails",
        "spectrum[pair] on toy": "not run",
    }
    assert set(data["status"].values) == {"as expected", "not run"}


def test_some_claims(toy):
    assert diffclaims.check(toy.SUBJECT, claims=["spectrum"]).sizes["case"] == 1
    with pytest.raises(InvalidInput, match="order"):
        diffclaims.check(toy.SUBJECT, claims=["ordre"])


def test_a_registered_subject_by_name(toy):
    assert diffclaims.check("toy:SUBJECT", claims=["order"]).sizes["case"] == 5
    with pytest.raises(InvalidInput, match="Available"):
        diffclaims.check("nobody")


def test_failures_raise_warn_or_are_told(toy):
    data = diffclaims.check(toy.BACKWARDS, claims="order")
    assert list(data["status"].values).count("unexpected") == 3
    with pytest.raises(ClaimFailed, match="came out as fails"):
        diffclaims.check(toy.BACKWARDS, on_fail="raise")
    with pytest.warns(UserWarning, match="came out as fails"):
        diffclaims.check(toy.BACKWARDS, on_fail="warn")


def test_expected_failures(toy):
    reasons = dict.fromkeys(("order[ratio-2]", "order[ratio-4]", "order[swapped]"), "backwards")
    data = diffclaims.check(toy.BACKWARDS, expected_failures=reasons, on_fail="raise")
    assert list(data["status"].values).count("expected failure") == 3
    with pytest.raises(ClaimFailed, match="listed as an expected failure, but passes"):
        diffclaims.check(toy.SUBJECT, expected_failures={"order[ratio-2]": "wrong"}, on_fail="raise")
    with pytest.raises(InvalidInput, match="name claims and cases"):
        diffclaims.check(toy.SUBJECT, expected_failures={"order[ratio-3]": "wrong"})


def test_an_invalid_subject_raises(toy):
    with pytest.raises(SubjectInvalid, match="not finite"):
        diffclaims.check(toy.NAN)


def test_arguments_are_validated(toy):
    with pytest.raises(InvalidInput, match="on_fail"):
        diffclaims.check(toy.SUBJECT, on_fail="explode")


def test_every_exported_name_can_be_imported_or_is_not_built_yet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in set(diffclaims.__all__) - {"theory", "learning_times"}:
            assert getattr(diffclaims, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = diffclaims.nonsense
