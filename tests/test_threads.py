"""Linear algebra on one thread: while a function runs, and no longer."""

from __future__ import annotations

import dataclasses

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from diffclaims import theory
from diffclaims.api.claim import chosen_claims
from diffclaims.subjects.contract import PROBE
from diffclaims.subjects.theory import Theory
from diffclaims.threads import on_one_thread


def most() -> int:
    """Threads of the largest pool for linear algebra."""
    return max(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")


def fails() -> None:
    raise KeyError(most())


def test_one_thread_inside_and_as_many_as_before_afterwards():
    with threadpool_limits(2, user_api="blas"):
        assert most() == 2  # the control: what is not wrapped has both
        assert on_one_thread(most)() == 1
        assert most() == 2
        with pytest.raises(KeyError, match="1"):
            on_one_thread(fails)()
        assert most() == 2


@pytest.mark.parametrize("method", ["learning_curves", "speciation", "spectrum"])
def test_the_theory_answers_on_one_thread(method, monkeypatch):
    seen = []
    # `speciation` is imported by the subject's module under its own name.
    where = "diffclaims.subjects.theory." + ("" if method == "speciation" else "theory.")
    found = getattr(theory, method)

    def watched(*args, **kwargs):
        seen.append(most())
        return found(*args, **kwargs)

    monkeypatch.setattr(where + method, watched)
    with threadpool_limits(2, user_api="blas"):
        getattr(Theory(), method)(PROBE, *([[0.1, 1.0]] if method == "speciation" else []))
    assert set(seen) == {1}


def test_a_claim_is_judged_on_one_thread():
    (claim,) = chosen_claims(["variance-order"])
    seen = []

    def judge(case, data):
        seen.append(most())
        return claim.judge(case, data)

    with threadpool_limits(2, user_api="blas"):
        result = dataclasses.replace(claim, judge=judge).run(Theory(), claim.cases[0])
    assert seen == [1]
    assert result.as_expected
