"""The contract check, on subjects that break it in one way each."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from diffclaims.api.subject import Tags
from diffclaims.errors import InvalidInput, SubjectInvalid
from diffclaims.subjects.contract import check_subject
from diffclaims.subjects.memo import Memo


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "example"))
    import toy

    yield toy
    del sys.modules["toy"]


def test_good_subjects_pass(toy):
    for subject in (toy.SUBJECT, toy.NOISY, toy.REFUSES):
        check_subject(subject)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("nan", "test_loss has 1 values that are not finite numbers"),
        ("dims", r"test_loss has dims \('dim_0', 'training_time'\)"),
        ("units", "test_loss has units 'percent', not '1'"),
        ("scale", "train_loss starts 9.* away from 1"),
        ("negative", "test_loss goes down to -0.25, below 0"),
        ("accuracy", "attribute accuracy is None"),
        ("random", "asked twice, test_loss differs by"),
        ("raises", "learning_curves raised ZeroDivisionError: oops"),
        ("classes", "the dimension class has 1 entries, not 2"),
    ],
)
def test_a_broken_subject_is_named_with_the_reason(toy, how, message):
    with pytest.raises(SubjectInvalid, match=f"subject 'broken'.*{message}"):
        check_subject(toy.Wrong("broken", how))


def test_attributes(toy):
    subject = toy.Toy("fine")
    subject.name = "not a word"
    with pytest.raises(SubjectInvalid, match="it must be a word"):
        check_subject(subject)
    subject.name, subject.tags = "fine", {"exact": True}
    with pytest.raises(SubjectInvalid, match="tags is a dict"):
        check_subject(subject)
    subject.tags = Tags(exact=True, stochastic=False, measures={"spectrum"})
    with pytest.raises(SubjectInvalid, match="no such method"):
        check_subject(subject)
    subject.spectrum = lambda: None
    with pytest.raises(SubjectInvalid, match="spectrum must take 1 arguments"):
        check_subject(subject)


def test_a_subject_must_be_askable(toy):
    with pytest.raises(SubjectInvalid, match="lists no experiments"):
        check_subject(toy.Toy("deaf", gaussian=False))


@pytest.mark.parametrize(
    "tags",
    [
        {"exact": True, "stochastic": True, "measures": {"spectrum"}},
        {"exact": True, "stochastic": False, "measures": set()},
        {"exact": True, "stochastic": False, "measures": {"smell"}},
        {"exact": True, "stochastic": False, "measures": {"spectrum"}, "max_classes": 0},
    ],
)
def test_tags_are_validated(tags):
    with pytest.raises(InvalidInput):
        Tags(**tags)


def test_a_slow_subject_is_measured_once(toy):
    check_subject(toy.SLOW)
    assert toy.SLOW.calls == 1


def test_the_memo_asks_once_and_keeps_answers_apart(toy):
    from diffclaims.subjects.contract import PROBE

    memo = Memo(toy.SUBJECT)
    first = memo.learning_curves(PROBE)
    first["test_loss"][:] = 0
    assert float(memo.learning_curves(PROBE)["test_loss"][0, 0]) > 0.9
    assert toy.SUBJECT.calls == 1
    memo.learning_curves(PROBE.replace(psi_n=3.0))
    assert toy.SUBJECT.calls == 2
