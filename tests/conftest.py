"""Shared by the tests: an example of claims and subjects, to run the plugin on."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import h5netcdf  # noqa: F401 compiled modules must not be imported first inside a nested run
import numpy as np  # noqa: F401
import pytest
import rich.console
import rich.table  # noqa: F401
import scipy.special  # noqa: F401
import xarray as xr  # noqa: F401
from hypothesis import settings

# A nested run forgets the modules that it imported first; the classes of this package must stay the same.
import diffclaims.suite.grid
import diffclaims.suite.report  # noqa: F401

# The default repeats the same examples, so that a red run is red for everyone.
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True, max_examples=12)
settings.register_profile("search", deadline=None, print_blob=True, max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# This backport, which dask imports, takes over from the standard library for good; a nested run that
# imported it first would leave nobody to find a package's metadata.
with contextlib.suppress(ImportError):
    import importlib_metadata  # type: ignore[import-not-found]  # noqa: F401

# xarray asks dask of every array, and would import it anew in every nested run.
with contextlib.suppress(ImportError):
    import dask  # noqa: F401

pytest_plugins = ["pytester"]
collect_ignore = ["example"]

EXAMPLE = Path(__file__).parent / "example"
ROOT = Path(__file__).parents[1]


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Give each file to one of several processes, so that what its tests share is made once."""
    if config.getoption("numprocesses", default=None) and config.getoption("dist") == "no":
        config.option.dist = "loadfile"


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Let the garbage collector pass over torch, where it was imported: it is large, and here to stay.

    Old versions of hypothesis look for who refers to a random generator, which does not find what is passed over.
    """
    if "torch" in sys.modules:
        gc.collect()
        gc.freeze()


class Suite:
    """A project with the example's claims, in which pytest can be run."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.path = pytester.path
        installed = any(p.value == "diffclaims.plugin" for p in metadata.entry_points(group="pytest11"))
        self.plugin = [] if installed else ["-p", "diffclaims.plugin"]
        # Not needed, and slow to import anew in every nested run.
        self.plugin += ["-p", "no:hypothesispytest", "-p", "no:benchmark"]
        shutil.copytree(EXAMPLE, pytester.path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.pyc"))
        pytester.makeini("[pytest]\ndiffclaims_claims_dir = statements\nfilterwarnings = error\n")
        pytester.syspathinsert()

    @property
    def baselines(self) -> Path:
        return self.path / "baselines"

    def run(self, *args: str, subprocess: bool = False) -> pytest.RunResult:
        """Run pytest on the example's claims."""
        words = [*self.plugin, "-p", "no:cacheprovider", "statements", *args]
        if subprocess:
            return self.pytester.runpytest_subprocess(*words)
        return self.pytester.runpytest_inprocess(*words)

    def expect_failures(self, subject: str, *lines: str) -> None:
        folder = self.path / "statements" / "expected_failures"
        folder.mkdir(exist_ok=True)
        (folder / f"{subject}.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="session")
def help_of_pytest() -> str:
    """What ``pytest --help`` prints in a checkout."""
    words = [sys.executable, "-m", "pytest", "--help"]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Suite:
    monkeypatch.delenv("CI", raising=False)
    # A nested run in another process finds the package where this one does.
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(p for p in paths if p))
    monkeypatch.setenv("COLUMNS", "120")
    return Suite(pytester)
