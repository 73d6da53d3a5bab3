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


def run_here(code, path, steps, monkeypatch, *words):
    """Run a file as its command does, in this process; with so many steps and few samples, or as it is."""
    if steps is not None:
        code = re.sub(r"\bmost=\d+", "most=16", code)
        code, found = re.subn(r"^(.*\bSTEPS = .*?)\d+$", rf"\g<1>{steps}", code, flags=re.MULTILINE)
        assert found == 1, f"{path} must say once how many STEPS it takes"
    monkeypatch.setattr(sys, "argv", [str(path), *words])
    exec(compile(code, str(path), "exec"), {"__name__": "__main__", "__file__": str(path)})


@pytest.mark.parametrize("steps", [10, pytest.param(None, marks=pytest.mark.slow)], ids=["few", "all"])
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_an_example_runs(path, steps, tmp_path, monkeypatch, capsys):
    """With few of its steps; `--slow` and `.ci/run` take all of them."""
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    code = path.read_text(encoding="utf-8")
    if "import diffusers" in code:
        pytest.importorskip("diffusers")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    run_here(code, path, steps, monkeypatch, str(tmp_path / "run"))
    out = capsys.readouterr().out
    rows = re.findall(rf"^(\d+) +({'|'.join(STATES)}) ", out, re.MULTILINE)
    assert len(rows) >= 3, out
    assert out.splitlines()[-1].startswith(("no window", "not open yet", "open since", "closed at"))
    assert (tmp_path / "run" / "picture.png").exists() == (find_spec("matplotlib") is not None)


@pytest.mark.parametrize("steps", [60, pytest.param(None, marks=pytest.mark.slow)], ids=["few", "all"])
def test_the_sweep_of_the_monitors_page_runs_and_is_judged(steps, tmp_path, monkeypatch):
    """One seed in place of eight, and few steps: everything is measured, and decides nothing."""
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    run_here(SWEEP, tmp_path / "sweep.py", steps, monkeypatch, "1")
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(ROOT / "claims")]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "160"}
    done = subprocess.run([*words, "--subject", "runs:sweep"], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for claim in ("minority-speciation", "two-phases", "variance-order"):
        assert re.search(rf"{claim} +inconclusive", done.stdout), done.stdout
