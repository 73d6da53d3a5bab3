"""A project of somebody else's: its own folder `claims`, the package installed, and no setting."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from diffclaims.cli import main
from diffclaims.errors import BaselineError, InvalidInput
from diffclaims.extras import object_of
from diffclaims.storage import paths as locate
from diffclaims.storage.netcdf import read_dataset
from diffclaims.studies import score_errors
from diffclaims.suite.session import CLAIM_FILES
from tests.conftest import ROOT
from tests.test_guest import grid_of
from tests.test_plugin import usage_error

TOY = "--subject=toy:SUBJECT"
UPDATE = "--baselines=update"


@pytest.fixture
def project(suite):
    """The example as a project that says nothing of where its claims are; returns what runs pytest there."""
    (suite.path / "claims").mkdir()
    (suite.path / "statements" / "test_order.py").rename(suite.path / "claims" / "test_order.py")
    shutil.rmtree(suite.path / "statements")
    suite.pytester.makeini("[pytest]\nfilterwarnings = error\n")

    def run(*words, subprocess=False):
        call = suite.pytester.runpytest_subprocess if subprocess else suite.pytester.runpytest_inprocess
        return call(*suite.plugin, "-p", "no:cacheprovider", *words)

    run.path, run.plugin = suite.path, suite.plugin
    return run


@pytest.fixture
def installed(project, monkeypatch):
    """The package as pip puts it there, with one of its claims and what was recorded of it; its folder."""
    package = project.path / "venv" / "site-packages" / "diffclaims"
    shutil.copytree(ROOT / "diffclaims", package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "claims").mkdir()
    for name in ("__init__.py", "test_spectrum.py"):
        shutil.copy(ROOT / "claims" / name, package / "claims")
    shutil.copytree(ROOT / "baselines" / "theory" / "spectrum", package / "baselines" / "theory" / "spectrum")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(package.parent), str(project.path)]))
    return package


def files(folder):
    return {str(p.relative_to(folder)) for p in folder.rglob("*.nc")}


def test_baselines_lie_beside_the_projects_claims(project):
    before = files(ROOT / "baselines")
    result = project("claims", TOY)
    result.stdout.fnmatch_lines(["*no baselines are kept for toy in baselines: nothing was compared*"])
    project("claims", TOY, UPDATE).assert_outcomes(passed=5)
    assert "order/ratio-2.nc" in files(project.path / "baselines" / "toy")
    assert files(ROOT / "baselines") == before
    project("claims", TOY).assert_outcomes(passed=5)
    toy = project.path / "toy.py"
    toy.write_text(toy.read_text().replace("FLOOR = 0.25", "FLOOR = 0.3"))
    result = project("claims", TOY, subprocess=True)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["differs from baselines/toy/order/ratio-2.nc *"])


def test_the_claims_of_an_installed_package(project, installed):
    """They are compared with what the package recorded, and recorded in the project."""
    words = ["--pyargs", "diffclaims.claims", "--subject=theory"]
    project(*words, subprocess=True).assert_outcomes(passed=9)
    before = files(installed)
    lost = next((installed / "baselines").rglob("*.nc"))
    lost.rename(lost.with_suffix(".lost"))
    result = project(*words, subprocess=True)
    result.assert_outcomes(passed=8, failed=1)
    result.stdout.fnmatch_lines([f"baselines/theory/spectrum/{lost.name} is missing"])
    project(*words, UPDATE, subprocess=True).assert_outcomes(passed=9)
    assert len(files(project.path / "baselines" / "theory")) == 9
    assert files(installed) == before - {str(lost.relative_to(installed))}
    project(*words, subprocess=True).assert_outcomes(passed=9)


def test_nothing_is_recorded_into_an_installed_package(project, installed):
    claims = installed / "claims"
    words = ["--subject=theory", UPDATE, f"{claims}/test_spectrum.py"]
    result = project("-c", os.devnull, f"--rootdir={installed}", *words, subprocess=True)
    usage_error(result, f"{installed / 'baselines'}*lies in an installed package*set {CLAIM_FILES}")
    project.path.joinpath("pytest.ini").write_text(f"[pytest]\n{CLAIM_FILES} = {claims}\n")
    result = project(*words, subprocess=True)
    usage_error(result, f"{installed / 'baselines'}*lies in an installed package*set {CLAIM_FILES}")


def test_a_checkout_is_recorded_in_itself(tmp_path):
    locate.check_own(ROOT / "baselines", "")
    locate.check_own(tmp_path / "baselines", "")
    with pytest.raises(BaselineError, match="site-packages/other/baselines lies in an installed package"):
        locate.check_own(tmp_path / "site-packages" / "other" / "baselines", "name another")


@pytest.mark.parametrize(
    "words",
    [
        ["calibrate"],
        ["converge"],
        ["error-rates"],
        ["error-rates", "--pairs"],
        ["score-errors"],
        ["shares"],
        ["wrongness"],
    ],
    ids=" ".join,
)
def test_a_study_refuses_an_installed_package_before_it_measures(words, tmp_path, monkeypatch, capsys):
    installed = tmp_path / "site-packages" / "diffclaims" / "baselines"
    monkeypatch.setattr(locate, "baselines_dir", lambda: installed)
    monkeypatch.setattr(score_errors, "provenance", lambda **more: {"dirty": 0})
    assert main(words) == 2
    told = capsys.readouterr().err
    assert "lies in an installed package, which is only read; name another place by --" in told
    assert not list(tmp_path.iterdir())


def test_a_checkout_misses_its_baselines_whatever_the_package_has(project):
    """A copy of this project at pytest's rootdir, and the package elsewhere."""
    (project.path / "diffclaims").mkdir()
    (project.path / "diffclaims" / "_version.py").touch()
    (project.path / "claims" / "test_order.py").unlink()
    shutil.copy(ROOT / "claims" / "test_spectrum.py", project.path / "claims")
    project("claims", "--subject=theory").assert_outcomes(failed=9)
    shutil.rmtree(project.path / "diffclaims")
    project("claims", "--subject=theory").assert_outcomes(passed=9)


def test_expected_failures_are_the_projects_own(project):
    folder = project.path / "claims" / "expected_failures"
    folder.mkdir()
    names = ("ratio-2", "ratio-4", "swapped")
    (folder / "backwards.txt").write_text("".join(f"order[{n}]  # it goes backwards\n" for n in names))
    project("claims", "--subject=toy:BACKWARDS").assert_outcomes(xfailed=3, passed=2)
    (folder / "backwards.txt").write_text("spectrum[there-is-none]  # no\n")
    usage_error(project("claims", "--subject=toy:BACKWARDS"), "*backwards.txt: * names no claim and case")


def test_all_claims_of_the_project_are_listed(project):
    result = project("claims", "--list-claims", TOY)
    result.stdout.fnmatch_lines(["order: *"])
    result.stdout.no_fnmatch_line("two-phases: *")


def test_a_folder_of_that_name_may_be_about_something_else(project):
    (project.path / "claims" / "test_order.py").unlink()
    (project.path / "claims" / "test_insurance.py").write_text("raise ValueError('is never imported')\n")
    result = project("--list-claims", TOY)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["two-phases: *"])


@pytest.mark.parametrize("importable", [True, False], ids=["read-again", "by-rows"])
def test_the_grid_shows_what_only_workers_know(project, importable):
    """Of claims in a folder of another name the process that prints the grid collects none."""
    pytest.importorskip("xdist")
    (project.path / "claims").rename(project.path / "statements")
    if not importable:  # what pytest puts on the path of the workers it does not put on that of this process
        (project.path / "statements" / "beside.py").touch()
        file = project.path / "statements" / "test_order.py"
        file.write_text(file.read_text().replace("import numpy", "import beside\nimport numpy", 1))
    alone = grid_of(project("statements", TOY))
    result = project("statements", TOY, "-n", "2", "--claims-report=out", subprocess=True)
    result.assert_outcomes(passed=5)
    assert "holds" in alone
    shown = grid_of(result)
    assert shown == alone if importable else "order" in shown and "+0.693 in ratio-2" in shown
    assert result.stdout.str().count("was imported by the workers, and not here") == (not importable)
    told = json.loads((project.path / "out.json").read_text())
    assert bool(told["claims"]["order"]["says"]) is importable
    assert sum(v["claim"] == "order" and v["outcome"] == "holds" for v in told["verdicts"]) == 2


@pytest.mark.parametrize("words", [["claims"], ["claims", "-n", "1"]], ids=["here", "worker"])
def test_a_subject_in_the_current_folder_is_found(project, monkeypatch, words):
    """The command `pytest` leaves that folder out of Python's path, unlike `python -m pytest`."""
    if "-n" in words:
        pytest.importorskip("xdist")
    (project.path / "toy.py").rename(project.path / "here.py")
    command = "import sys; sys.path.remove(''); import pytest; sys.exit(pytest.main(sys.argv[1:]))"
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(project.path)
    argv = [sys.executable, "-c", command, *project.plugin, "-p", "no:cacheprovider", *words]
    done = subprocess.run([*argv, "--subject=here:SUBJECT"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout


def test_the_current_folder_hides_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    for name in ("there_is_one", "json"):
        (tmp_path / f"{name}.py").write_text("import neighbour\nX = 1\n")
    before = list(sys.path)
    with pytest.raises(InvalidInput, match="'nowhere' was found, on Python's path or in the current folder"):
        object_of("subject", "nowhere:X")
    assert sys.path == before
    with pytest.raises(InvalidInput, match="no module 'neighbour' was found"):
        object_of("subject", "there_is_one:X")
    (tmp_path / "neighbour.py").touch()
    assert object_of("subject", "there_is_one:X") == 1
    assert object_of("subject", "json:loads") is json.loads


def test_commands_take_the_claims_of_the_project(project, monkeypatch, capsys):
    monkeypatch.chdir(project.path)
    monkeypatch.syspath_prepend(project.path)
    before = files(ROOT / "baselines")
    own = ["--claims", "claims", "--claim", "order"]
    assert main(["mutants", *own, "--mutant", "constant", "--subject", "toy:SUBJECT"]) == 0
    assert main(["record", "toy:SUBJECT", *own]) == 0
    assert "order ratio-2: 1 measured" in capsys.readouterr().out
    recorded = files(project.path / "baselines" / "toy" / "recorded")
    assert recorded
    assert files(ROOT / "baselines") == before
    file = next((project.path / "baselines").rglob("*.nc"))
    command = read_dataset(file).attrs["command"]
    assert command == "diffclaims record toy:SUBJECT --claims claims --claim order"
    assert main(["explain", "order", "--claims", "claims"]) == 0
    assert "The class of higher variance is learned first." in capsys.readouterr().out
    assert main(["explain", "two-phases", "--claims", "claims"]) == 0
    assert main(["record", "toy:SUBJECT", "--claim", "order"]) == 2


def test_recordings_go_into_no_installed_package(project, installed, monkeypatch):
    words = ["record", "theory", "--claim", "spectrum"]
    argv = [sys.executable, "-m", "diffclaims.cli", *words]
    done = subprocess.run(argv, cwd=project.path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"{installed / 'baselines' / 'theory' / 'recorded'} lies in an installed package" in done.stderr
    assert "--claims, or a folder for the recordings by --folder" in done.stderr
    assert not (installed / "baselines" / "theory" / "recorded").exists()
