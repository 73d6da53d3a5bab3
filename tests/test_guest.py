"""The plugin beside what others bring: their options, plugins, ways to import and folders.

What is not installed is skipped; `.ci/run` installs it.
"""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET

import pytest

from tests.test_plugin import SUBJECTS

OFF = "--diffclaims-baselines=off"
TOY = "--diffclaims-subject=toy:SUBJECT"
BACKWARDS = "--diffclaims-subject=toy:BACKWARDS"
SHORT = (
    "subject",
    "live",
    "baselines",
    "claims-report",
    "strict-claims",
    "list-claims",
    "explore",
    "examples",
)


def grid_of(result: pytest.RunResult) -> str:
    """The verdicts alone, without what a terminal shows around them."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", result.stdout.str())
    found = re.search(r"\n *claim .*?\n(?=margin: )", text, re.DOTALL)
    assert found, text
    return "\n".join(line.strip() for line in found[0].splitlines())


@pytest.fixture
def alone(suite):
    """The grid of a run in which nobody else takes part."""
    return grid_of(suite.run(TOY, OFF))


# Options


@pytest.mark.parametrize("taken", [SHORT[:1], SHORT[1:3], SHORT], ids=["one", "two", "all"])
def test_options_of_a_conftest_stay_its_own(suite, taken):
    lines = "\n".join(f'    parser.addoption("--{name}", action="store_true")' for name in taken)
    suite.pytester.makeconftest(f"def pytest_addoption(parser):\n{lines}\n")
    suite.pytester.makepyfile(
        test_theirs=f'def test_it(request): assert request.config.getoption("--{taken[0]}")'
    )
    result = suite.run(TOY, OFF, f"--{taken[0]}", "test_theirs.py")
    result.assert_outcomes(passed=6, skipped=1)
    result.stdout.fnmatch_lines(["*order*holds*"])


@pytest.mark.parametrize("early", [True, False], ids=["before", "after"])
def test_options_of_a_plugin_stay_its_own(suite, early):
    suite.pytester.makepyfile(
        theirs='def pytest_addoption(parser): parser.getgroup("x").addoption("--live", action="store_true")'
    )
    words = ["-p", "theirs", *suite.plugin] if early else [*suite.plugin, "-p", "theirs"]
    result = suite.pytester.runpytest_inprocess(*words, "statements", TOY, OFF, "--live")
    result.assert_outcomes(passed=5, skipped=1)


def test_short_names_serve_where_they_are_free(suite):
    result = suite.run("--subject=toy:SUBJECT", "--baselines", "off")
    result.assert_outcomes(passed=5, skipped=1)
    told = suite.pytester.runpytest_inprocess(*suite.plugin, "--help").stdout.str()
    assert all(f"--{name}" in told and f"--diffclaims-{name}" in told for name in SHORT)


@pytest.mark.parametrize(
    "theirs",
    [
        "@pytest.fixture\ndef claim_case(): return 3\n",
        '@pytest.mark.parametrize("claim_case", [3])\n',
        '@pytest.mark.parametrize("claim_case, other", [(3, 4)])\n',
    ],
    ids=["fixture", "parameter", "parameters"],
)
def test_a_fixture_of_the_same_name_stays_theirs(suite, theirs):
    other = ", other" if "other" in theirs else ""
    suite.pytester.makepyfile(
        test_theirs=f"import pytest\n\n{theirs}\ndef test_it(claim_case{other}): assert claim_case == 3"
    )
    suite.pytester.runpytest_inprocess(*suite.plugin, "test_theirs.py").assert_outcomes(passed=1)


# Plugins


@pytest.mark.parametrize(
    "words",
    [
        ["-n", "2", "--dist", "load"],
        *[
            pytest.param(["-n", "2", "--dist", d], marks=pytest.mark.slow)
            for d in ("loadscope", "loadfile", "loadgroup", "worksteal")
        ],
        pytest.param(["--tx", "2*popen", "--dist", "each"], marks=pytest.mark.slow),
    ],
    ids=lambda words: words[-1],
)
def test_xdist(suite, alone, words):
    pytest.importorskip("xdist")
    result = suite.run(TOY, OFF, *words, "--claims-report=out", subprocess=True)
    assert result.ret == 0
    assert grid_of(result) == alone
    assert len(json.loads((suite.path / "out.json").read_text())["verdicts"]) == 6 * SUBJECTS


def test_of_several_workers_the_worst_counts(suite):
    """Each of two asks all of them, and one is answered backwards: the grid is that of the one alone."""
    pytest.importorskip("xdist")
    toy, as_it_was = suite.path / "toy.py", (suite.path / "toy.py").read_text()
    backwards = 'SUBJECT = Toy("toy", sign=-1)'
    toy.write_text(f"{as_it_was}\n{backwards}\n")
    alone = grid_of(suite.run(TOY, OFF))
    toy.write_text(
        f'{as_it_was}\nimport os\nif os.environ.get("PYTEST_XDIST_WORKER") == "gw0": {backwards}\n'
    )
    result = suite.run(TOY, OFF, "--tx", "2*popen", "--dist", "each", subprocess=True)
    assert result.ret == 1
    assert "fails" in grid_of(result)
    assert grid_of(result) == alone


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("pytest_randomly", []),
        ("pytest_timeout", ["--timeout=60"]),
        ("pytest_cov", ["--cov=toy", "--cov-report=term"]),
        ("pytest_html", ["--html=page.html", "--self-contained-html"]),
        ("pytest_sugar", []),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_plugins_of_others_change_no_verdict(suite, alone, module, words):
    pytest.importorskip(module)
    result = suite.run(TOY, OFF, *words, subprocess=True)
    assert result.ret == 0
    assert grid_of(result) == alone


def test_a_rerun_counts_once(suite):
    pytest.importorskip("pytest_rerunfailures")
    once = suite.run(BACKWARDS, OFF, subprocess=True)
    result = suite.run(BACKWARDS, OFF, "--reruns=2", "--junitxml=junit.xml", subprocess=True)
    assert result.ret == 1
    assert grid_of(result) == grid_of(once)
    cases = ET.parse(suite.path / "junit.xml").findall(".//testcase")
    assert {len(case.findall("properties/property")) for case in cases} == {1}


# Ways to call


@pytest.mark.parametrize(
    "words",
    [
        ["-p", "no:cacheprovider", "-W", "error", "-x"],
        ["--import-mode=importlib"],
        ["--lf", "-q", "--capture=no"],
    ],
    ids=" ".join,
)
def test_ways_to_call(suite, alone, words):
    # What warns when it is imported must be imported anew.
    run = suite.pytester.runpytest_subprocess if "error" in words else suite.pytester.runpytest_inprocess
    result = run(*suite.plugin, "statements", TOY, OFF, *words)
    assert result.ret == 0
    assert grid_of(result) == alone


def test_last_failed_asks_only_what_failed(suite):
    run = suite.pytester.runpytest_inprocess
    words = [*suite.plugin, "statements", BACKWARDS, OFF]
    run(*words).assert_outcomes(failed=3, passed=2, skipped=1)
    run(*words, "--lf").assert_outcomes(failed=3)


def test_collecting_only_measures_nothing(suite):
    result = suite.run(TOY, OFF, "--collect-only", "-q")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*order-ratio-2-toy*"])
    result.stdout.no_fnmatch_line("*= claims =*")


def test_a_root_elsewhere(suite, alone, tmp_path):
    result = suite.run(TOY, OFF, f"--rootdir={tmp_path}")
    assert result.ret == 0
    assert grid_of(result) == alone


def test_a_folder_that_cannot_be_written_hides_no_difference(suite):
    suite.run("--subject=toy:SUBJECT", "--baselines=update").assert_outcomes(passed=5, skipped=1)
    toy = suite.path / "toy.py"
    toy.write_text(toy.read_text().replace("FLOOR = 0.25", "FLOOR = 0.3"))
    (suite.path / ".diffclaims").write_text("a file where a folder should be, as no folder can be made here")
    result = suite.run(TOY)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*values differ*", "*obtained: not kept: cannot write*"])
    assert "Traceback" not in result.stdout.str()
