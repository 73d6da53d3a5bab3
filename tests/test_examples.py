"""The examples of the page run by its commands, are short, and print what the monitor says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "examples.md").read_text(encoding="utf-8")
EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.py"))
SWEEP = re.search(
    r"<!-- file: sweep.py -->\s+```python\n(.*?)^```",
    (ROOT / "docs" / "monitor.md").read_text(encoding="utf-8"),
    re.DOTALL | re.MULTILINE,
)[1]
STATES = ("not learned", "learned", "memorizing", "memorized")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_an_example_is_short_and_on_the_page(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) < 60
    assert f"python docs/examples/{path.name}" in PAGE
    assert f"](examples/{path.name})" in PAGE
    assert f"](img/example-{path.stem}.png)" in PAGE


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_numbers_of_an_example_do_not_depend_on_load(path):
    """A budget below 1 lets the time that a machine takes decide which steps are measured."""
    budgets = re.findall(r"budget=([\d.]+)", path.read_text(encoding="utf-8"))
    assert [float(b) for b in budgets] == [1.0]


def test_commands_of_the_page_name_examples():
    shown = re.findall(r"^ {4}python (docs/examples/\S+)", PAGE, re.MULTILINE)
    assert set(shown) == {f"docs/examples/{p.name}" for p in EXAMPLES}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_an_example_runs(path, tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    if "import diffusers" in path.read_text(encoding="utf-8"):
        pytest.importorskip("diffusers")
    done = subprocess.run(
        [sys.executable, str(path), str(tmp_path / "run")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = re.findall(rf"^(\d+) +({'|'.join(STATES)}) ", done.stdout, re.MULTILINE)
    assert len(rows) >= 3, done.stdout
    assert done.stdout.splitlines()[-1].startswith(("no window", "not open yet", "open since", "closed at"))
    assert (tmp_path / "run" / "picture.png").exists() == (find_spec("matplotlib") is not None)


def test_the_sweep_of_the_monitors_page_runs_and_is_judged(tmp_path):
    """One seed in place of eight: everything is measured, and decides nothing."""
    pytest.importorskip("torch")
    (tmp_path / "sweep.py").write_text(SWEEP, encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "160"}
    told = {"cwd": tmp_path, "env": env, "capture_output": True, "text": True, "check": False}
    done = subprocess.run([sys.executable, "sweep.py", "1"], **told)
    assert done.returncode == 0, done.stdout + done.stderr
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(ROOT / "claims")]
    done = subprocess.run([*words, "--subject", "runs:sweep"], **told)
    assert done.returncode == 0, done.stdout + done.stderr
    for claim in ("minority-speciation", "two-phases", "variance-order"):
        assert re.search(rf"{claim} +inconclusive", done.stdout), done.stdout
