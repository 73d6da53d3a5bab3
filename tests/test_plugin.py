"""The plugin in nested runs of pytest, on the example's claims."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from diffclaims.storage.paths import baselines_dir
from diffclaims.subjects.registry import registered

TOY = "--subject=toy:SUBJECT"
#: Those that the package brings, its recordings among them, and the toy.
SUBJECTS = len(registered(baselines_dir(), ["toy:SUBJECT"]))


def usage_error(result: pytest.RunResult, *lines: str) -> None:
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{line}*" for line in lines])
    assert "Traceback" not in result.stderr.str()


def test_ids_carry_claim_case_and_subject(suite):
    result = suite.run(TOY, "-v")
    result.assert_outcomes(passed=5, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "*test_order.py::test_order?order-ratio-2-toy? PASSED*",
            "*test_order.py::test_order?order-swapped-toy? PASSED*",
            "*test_spectrum.py::test_spectrum?spectrum-pair-toy? SKIPPED (it does not measure spectrum)*",
        ]
    )


def test_the_grid_shows_verdict_margin_case_and_controls(suite):
    result = suite.run(TOY)
    result.stdout.fnmatch_lines(["*claim*toy*", "*order*holds*", "*+0.693 in ratio-2*", "*controls 2/2*"])
    result.stdout.fnmatch_lines(["*toy: it does not measure spectrum*"])


def test_without_a_selection_every_subject_is_shown(suite):
    result = suite.run()
    result.stdout.fnmatch_lines(["order", "  theory *", "  finite *", "  unet *", "  unet (recorded: cpu) *"])


@pytest.mark.parametrize("selection", [["-k", "spectrum"], ["statements/test_spectrum.py"]])
def test_what_was_not_selected_is_not_shown(suite, selection):
    words = [TOY, *selection]
    result = (
        suite.run(*words)
        if selection[0] == "-k"
        else suite.pytester.runpytest_inprocess(*suite.plugin, *words)
    )
    grid = result.stdout.str().split("= claims =")[1]
    assert "spectrum" in grid
    assert "order" not in grid
    assert "finite" not in grid


def test_a_run_of_some_cases_says_so(suite):
    result = suite.run(TOY, "-k", "ratio-4")
    result.stdout.fnmatch_lines(["*holds*", "*+1.39 in ratio-4*", "*1 of 2 cases*"])
    assert "controls 0" not in result.stdout.str()


def test_no_grid_where_no_claim_was_collected(suite):
    suite.pytester.makepyfile(test_other="def test_it(): pass")
    result = suite.pytester.runpytest_inprocess(*suite.plugin, "test_other.py")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*= claims =*")


def test_a_claim_that_fails_explains_itself_in_short(suite):
    result = suite.run("--subject=toy:BACKWARDS")
    # ratio-2, ratio-4 fail; the control "swapped" holds, which is as bad.
    result.assert_outcomes(failed=3, passed=2, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "*order?ratio-2? on backwards: the claim came out as fails, expected was holds",
            "*claim: The class of higher variance is learned first.",
            "*ln tau(1)/tau(0) = -0.69*: fails (margin -0.69*; holds above +0.0001, fails below -0.0001)",
            "*order?swapped? on backwards: the negative control came out as holds, expected was fails*",
        ]
    )
    result.stdout.fnmatch_lines(["*fails*", "*-1.39 in ratio-4*", "*controls 1/2*"])
    assert "plugin.py" not in result.stdout.str()
    assert "def test_order" not in result.stdout.str()


def test_inconclusive_passes_with_a_mark_of_its_own_unless_strict(suite):
    result = suite.run("--subject=toy:VAGUE", "-v", "-k", "ratio-2 or swapped")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*order-ratio-2-vague? INCONCLUSIVE*", "*2 inconclusive*"])
    result.stdout.fnmatch_lines(["*inconclusive*", "*in ratio-2*", "*controls 0/1, 1 not run*"])
    result = suite.run("--subject=toy:VAGUE", "--strict-claims", "-k", "ratio-2")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*came out as inconclusive*", "*more seeds would decide it*"])


def test_a_stochastic_subject_may_hold(suite):
    result = suite.run("--subject=toy:NOISY", "-k", "ratio")
    result.stdout.fnmatch_lines(["*holds*"])
    assert result.ret == 0


def test_a_subject_that_refuses_is_not_run(suite):
    result = suite.run("--subject=toy:REFUSES")
    result.assert_outcomes(skipped=6)
    result.stdout.fnmatch_lines(["*not run*", "*refuses: it was asked on a Sunday*"])


def test_an_invalid_subject_is_never_a_failed_claim(suite):
    result = suite.run("--subject=toy:NAN")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "*subject 'nan', learning_curves: test_loss has 1 values that are not finite numbers*",
            "*invalid ?1?*",
        ]
    )
    assert "came out as" not in result.stdout.str()


def test_several_subjects_stand_side_by_side(suite):
    result = suite.run(TOY, "--subject=toy:NOISY")
    result.stdout.fnmatch_lines(["*claim*toy*noisy*", "*order*holds*holds*"])


def test_the_default_runs_what_can_run_here(suite):
    result = suite.run("--baselines=off")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*unet: nothing was recorded; measure it with --live unet (long)*"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--subject=theary"], "Did you mean|did you mean 'theory'? Available: theory, finite, unet"),
        (["--subject=toy:NOTHING"], "toy has no 'NOTHING'"),
        (["--subject=nowhere.at.all:X"], "no module 'nowhere*' was found"),
        (["--live=nobody"], "Available: theory, finite, unet"),
        (["--baselines=maybe"], "--baselines=maybe: choose one of check, update, off"),
        (["--claims-report=missing/report"], "claims-report"),
        (["--claims-report=statements"], "be a file name without suffix"),
        (["--subject=toy:SLOW"], "it takes long; measure it with --live toy:SLOW"),
        (["--subject=toy:Toy"], "is a class; name an instance"),
    ],
)
def test_options_are_checked_early(suite, options, message):
    usage_error(suite.run(*options), message.split("|")[-1])


def test_a_slow_subject_runs_live(suite):
    result = suite.run("--live=toy:SLOW", "--subject=toy:SLOW", "-k", "ratio")
    result.assert_outcomes(passed=2, deselected=4)


def test_list_claims(suite):
    result = suite.run("--list-claims", TOY)
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["order: The class of higher variance is learned first.", "    equal (control): a tie", "subjects:"]
    )


def test_a_claim_file_without_claim_says_so(suite):
    suite.pytester.makepyfile(test_none="def test_it(claim_case): claim_case.require()")
    result = suite.pytester.runpytest_inprocess(*suite.plugin, "test_none.py")
    result.stdout.fnmatch_lines(["*test_none.py uses claim_case, but has no CLAIM = Claim(...)*"])
    assert "Traceback" not in result.stdout.str()


# Expected failures


REASON = "it goes backwards"
EXPECTED = [f"order[{name}]  # {REASON}" for name in ("ratio-2", "ratio-4", "swapped")]


def test_expected_failures_are_strict(suite):
    suite.expect_failures("backwards", "# a comment", "", *EXPECTED)
    result = suite.run("--subject=toy:BACKWARDS", "-rx")
    result.assert_outcomes(xfailed=3, passed=2, skipped=1)
    result.stdout.fnmatch_lines(["*expected failure*", f"*XFAIL*{REASON}*"])
    suite.expect_failures("toy", EXPECTED[0])
    result = suite.run(TOY)
    result.assert_outcomes(failed=1, passed=4, skipped=1)
    result.stdout.fnmatch_lines(["*XPASS(strict)*"])


def test_an_expected_failure_swallows_no_missing_baseline(suite):
    suite.expect_failures("backwards", *EXPECTED)
    (suite.baselines / "backwards").mkdir(parents=True)
    result = suite.run("--subject=toy:BACKWARDS")
    result.assert_outcomes(failed=5, skipped=1)
    result.stdout.fnmatch_lines(["*ratio-2.nc is missing*", "*baseline missing*"])


def test_an_expected_failure_needs_a_reason(suite):
    suite.expect_failures("toy", "order[ratio-2]")
    result = suite.run(TOY)
    result.stdout.fnmatch_lines(["*line 1 of *toy.txt*must have the form 'claim?case?  # reason'*"])
    assert result.ret == pytest.ExitCode.INTERRUPTED


def test_an_unknown_expected_failure_is_an_error_in_a_full_run(suite):
    suite.expect_failures("toy", f"order[ratio-3]  # {REASON}")
    usage_error(suite.run(TOY), "toy.txt: order?ratio-3? names no claim and case")
    assert suite.run(TOY, "-k", "ratio").ret == 0


# Report


def test_the_report_holds_every_claim_case_and_subject(suite):
    result = suite.run(TOY, "--claims-report=out")
    result.stdout.fnmatch_lines(["*verdicts written to *out.json*out.nc*"])
    document = json.loads((suite.path / "out.json").read_text())
    assert document["schema"] == "verdicts"
    found = {(v["claim"], v["case"], v["subject"]): v for v in document["verdicts"]}
    assert found["order", "ratio-2", "toy"]["outcome"] == "holds"
    assert found["order", "ratio-2", "theory"]["reason"] == "not selected by --subject"
    assert len(found) == 6 * SUBJECTS
    data = xr.load_dataset(suite.path / "out.nc", engine="h5netcdf")
    row = data.sel(case="order[ratio-4] on toy")
    assert row["verdict"] == "holds"
    assert float(row["effect"]) == pytest.approx(np.log(4), abs=1e-2)
    assert np.isnan(data["effect"].sel(case="spectrum[pair] on toy"))
    assert not list(suite.path.glob(".*.part"))


# Workers


def test_a_worker_brings_its_results_and_what_it_collected(suite):
    """That several workers make one grid is tested beside xdist, in `test_guest.py`."""
    pytest.importorskip("xdist")
    suite.expect_failures("toy", f"order[ratio-3]  # {REASON}")
    result = suite.run(TOY, "-n", "1", subprocess=True)
    result.stdout.fnmatch_lines(["*order*holds*", "*+0.693 in ratio-2*", "*controls 2/2*"])
    result.stdout.fnmatch_lines(["*toy.txt: order?ratio-3? names no claim and case"])
    assert result.ret == pytest.ExitCode.USAGE_ERROR


# Cost to others


def test_the_plugin_imports_nothing_heavy():
    code = (
        "import sys, pytest; before = set(sys.modules); import diffclaims.plugin; "
        "print(*sorted({m.split('.')[0] for m in set(sys.modules) - before}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"diffclaims", "shlex", "__future__"}


def test_a_run_without_claims_imports_nothing_heavy(suite):
    suite.pytester.makepyfile(
        test_other="""
        import sys
        def test_it():
            assert not {"numpy", "xarray", "scipy", "rich.table"} & set(sys.modules)
        """
    )
    result = suite.pytester.runpytest_subprocess(*suite.plugin, "-p", "no:benchmark", "test_other.py")
    result.assert_outcomes(passed=1)
