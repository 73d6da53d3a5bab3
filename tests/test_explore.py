"""The search of a claim's regime, on toy subjects."""

from __future__ import annotations

import sys
from pathlib import Path

import hypothesis.database  # noqa: F401 not to be imported first inside a nested run
import numpy as np
import pytest

from diffclaims import BaselineError, Claim, InvalidInput, Outcome, Role, load_claims
from diffclaims.api import source as code
from diffclaims.suite.explore import explore, path_of, read

EXAMPLE = Path(__file__).parent / "example"


@pytest.fixture(autouse=True)
def _not_in_ci(monkeypatch):
    monkeypatch.delenv("CI", raising=False)


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLE))
    import toy

    yield toy
    # Nested runs import copies of these under the same names.
    for name in [n for n in sys.modules if n.partition(".")[0] in ("toy", "statements")]:
        del sys.modules[name]


@pytest.fixture
def claim(toy):
    return next(c for c in load_claims(EXAMPLE / "statements") if c.id == "order")


def names():
    return {
        name: getattr(__import__("diffclaims"), name) for name in code.IMPORTS.split("import ")[1].split(", ")
    }


def test_the_weakest_margin_is_searched_for(claim, toy, tmp_path):
    found = explore(claim, toy.SUBJECT, examples=40, folder=tmp_path)
    assert found.counterexample is None
    # The regime begins at a ratio of 1.5.
    assert found.weakest.margin == pytest.approx(np.log(1.5), abs=0.05)
    assert found.weakest.margin == min(t.margin for t in found.trials)
    assert "weakest margin +0.4" in found.report()


def test_a_counterexample_is_shrunk_kept_and_replayed_first(claim, toy, tmp_path):
    found = explore(claim, toy.BACKWARDS, examples=20, folder=tmp_path)
    assert found.counterexample.outcome is Outcome.FAILS
    # The simplest: round numbers at the edge.
    variances = found.counterexample.case.experiments["pair"].mixture.class_variance
    np.testing.assert_array_equal(variances, variances.round(1))
    dataset, first = read(path_of(tmp_path, "backwards", "order"))
    assert first == found.counterexample.case
    assert dataset.attrs["counterexample"] == 1
    assert dataset.sizes["trial"] == len(found.trials)
    toy.BACKWARDS.calls = 0
    again = explore(claim, toy.BACKWARDS, examples=20, folder=tmp_path)
    assert again.counterexample.case == first
    assert toy.BACKWARDS.calls == 1
    assert "the case kept from the last search fails" in again.report()


def test_what_was_kept_and_holds_now_is_told_and_searched_beyond(claim, toy, tmp_path):
    explore(claim, toy.BACKWARDS, examples=5, folder=tmp_path)
    toy.BACKWARDS.sign = 1.0
    again = explore(claim, toy.BACKWARDS, examples=5, folder=tmp_path)
    assert again.counterexample is None
    assert again.trials[0] is again.replayed
    assert "kept from the last search holds" in again.report()


def test_the_report_can_be_pasted(claim, toy):
    found = explore(claim, toy.BACKWARDS, examples=10)
    pasted = found.report().partition("\n\n")[2]
    scope = {}
    exec(pasted, scope)
    assert scope["case"] == found.counterexample.case
    assert claim.run(toy.BACKWARDS, scope["case"]).outcome is Outcome.FAILS


@pytest.mark.parametrize("claim_", load_claims(), ids=lambda c: c.id)
def test_every_case_survives_as_code_and_json(claim_):
    for case in claim_.cases:
        assert eval(code.of_case(case), {**names(), "Role": Role}).experiments == case.experiments
        assert code.from_json(code.to_json(case)).experiments == case.experiments
        assert code.from_json(code.to_json(case)).params == case.params


def test_ci_tries_the_same_cases_each_time(claim, toy, monkeypatch):
    monkeypatch.setenv("CI", "true")
    one, other = (explore(claim, toy.SUBJECT, examples=10) for _ in range(2))
    assert [t.case for t in one.trials] == [t.case for t in other.trials]


def test_nothing_measured_is_no_counterexample(claim, toy, tmp_path):
    found = explore(claim, toy.REFUSES, examples=5, folder=tmp_path)
    assert found.weakest is None
    assert "nothing was measured" in found.report()
    assert not list(tmp_path.glob("*/*.nc"))


def test_bad_input_is_refused(claim, toy, tmp_path):
    with pytest.raises(InvalidInput, match="examples"):
        explore(claim, toy.SUBJECT, examples=0)
    with pytest.raises(InvalidInput, match="state a regime"):
        explore(Claim(**{**vars(claim), "space": None}), toy.SUBJECT)
    path = path_of(tmp_path, "toy", "order")
    path.parent.mkdir()
    path.write_bytes(b"damaged")
    with pytest.raises(BaselineError, match="cannot be read"):
        explore(claim, toy.SUBJECT, examples=5, folder=tmp_path)


# In pytest


def test_exploration_is_off_by_default(suite):
    suite.run("--subject=toy:SUBJECT").assert_outcomes(passed=5, skipped=1)


def test_exploration_adds_a_test_for_each_claim_and_subject(suite):
    result = suite.run("--subject=toy:SUBJECT", "--explore", "--examples=20", "-v")
    result.assert_outcomes(passed=6, skipped=1)
    result.stdout.fnmatch_lines(["*test_order?order-explored-toy? PASSED*", "*explored: weakest +0.4*"])
    assert (suite.path / ".diffclaims" / "explored" / "toy" / "order.nc").is_file()


def test_a_counterexample_fails_and_prints_code(suite):
    result = suite.run("--subject=toy:BACKWARDS", "--explore", "-k", "explored")
    result.assert_outcomes(failed=1, deselected=6)
    result.stdout.fnmatch_lines(
        ["*a counterexample in its regime*", "*case = Case(*", "*explored: counterexample -*"]
    )
    # The grid must not say "holds" or "not run" of a claim that was just refuted.
    result.stdout.fnmatch_lines(["  order *fails*"])


@pytest.mark.parametrize("number", ["0", "-3", "many"])
def test_the_number_of_examples_is_checked_early(suite, number):
    result = suite.run(f"--examples={number}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*give a whole number of 1 or more*"])
