"""Linear algebra on one thread: while a function runs, and no longer."""

from __future__ import annotations

import dataclasses
import os
import pkgutil
import subprocess
import sys

import pytest

from diffclaims import threads
from diffclaims.api.claim import chosen_claims
from diffclaims.subjects.contract import PROBE
from diffclaims.subjects.theory import Theory
from diffclaims.threads import on_one_thread

threadpoolctl = pytest.importorskip("threadpoolctl")

BEGIN = """
from diffclaims import threads
{call}
import numpy, threadpoolctl
print(max(pool["num_threads"] for pool in threadpoolctl.threadpool_info()))
"""


def most() -> int:
    """Threads of the largest pool for linear algebra."""
    return max(pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas")


def fails() -> None:
    raise KeyError(most())


def begun(call: str, **said: str) -> str:
    known = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    words = [sys.executable, "-c", BEGIN.format(call=call)]
    return subprocess.run(words, env=known | said, capture_output=True, text=True, check=True).stdout.strip()


def test_a_process_of_our_own_begins_with_one_thread_unless_it_is_told():
    assert begun("threads.in_this_process()") == "1"
    assert begun("threads.in_this_process()", OPENBLAS_NUM_THREADS="2") == "2"
    if (os.cpu_count() or 1) > 1:
        assert begun("") != "1"  # the control


def test_runs_of_this_checkout_begin_so():
    assert "OPENBLAS_NUM_THREADS" in os.environ


def test_without_threadpoolctl_a_function_runs_as_it_is(monkeypatch):
    monkeypatch.setattr(threads, "_pools", lambda: None)
    assert on_one_thread(lambda x: x + 1)(2) == 3


def test_one_thread_inside_and_as_many_as_before_afterwards():
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        assert most() == 2  # the control: what is not wrapped has both
        assert on_one_thread(most)() == 1
        assert most() == 2
        with pytest.raises(KeyError, match="1"):
            on_one_thread(fails)()
        assert most() == 2


@pytest.mark.parametrize(
    ("method", "solver"),
    [
        ("learning_curves", "diffclaims.theory.together.losses"),
        # Imported by the subject's module under its own name.
        ("speciation", "diffclaims.subjects.theory.speciation"),
        ("spectrum", "diffclaims.subjects.theory.theory.spectrum"),
    ],
)
def test_the_theory_answers_on_one_thread(method, solver, monkeypatch):
    seen = []
    found = pkgutil.resolve_name(solver)

    def watched(*args, **kwargs):
        seen.append(most())
        return found(*args, **kwargs)

    monkeypatch.setattr(solver, watched)
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        getattr(Theory(), method)(PROBE, *([[0.1, 1.0]] if method == "speciation" else []))
    assert set(seen) == {1}


def test_a_claim_is_judged_on_one_thread():
    (claim,) = chosen_claims(["variance-order"])
    seen = []

    def judge(case, data):
        seen.append(most())
        return claim.judge(case, data)

    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        result = dataclasses.replace(claim, judge=judge).run(Theory(), claim.cases[0])
    assert seen == [1]
    assert result.as_expected
