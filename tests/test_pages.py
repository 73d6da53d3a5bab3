"""The pages: links lead somewhere, code runs, and what they name is there."""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import io
import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import diffclaims
from diffclaims import cli
from diffclaims.unet import cli as unet_cli
from tests.stress.__main__ import main as stress

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
#: A flag: two hyphens that no letter and no hyphen comes before.
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
OF_TORCHRUN = {"--nproc-per-node"}
FENCE = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def file_of(page: str, name: str) -> str:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.search(
        rf"<!-- file: {re.escape(name)} -->\s+```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE
    )[1]


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:", target):
            continue
        name, _, anchor = target.partition("#")
        to = (page.parent / name).resolve() if name else page
        assert to.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(to), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_code_is_python(page):
    for code in FENCE.findall(page.read_text(encoding="utf-8")):
        ast.parse(code)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_that_pages_name_exist(page):
    text = page.read_text(encoding="utf-8")
    for word in re.findall(r"(?:^ {4}|`|\$ )diffclaims ([a-z][a-z-]*)", text, re.MULTILINE):
        assert word in cli.COMMANDS, f"{page.name}: diffclaims {word}"


@pytest.fixture(scope="module")
def known_flags(help_of_pytest):
    """Flags of pytest with this plugin, of `diffclaims` and `diffclaims.unet`, of the cost study and the trials."""
    words = [sys.executable, "-m", "tests.benchmarks.cost", "--help"]
    texts = [
        help_of_pytest,
        subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout,
    ]
    asked = [(cli.main, name) for name in cli.COMMANDS]
    asked += [(unet_cli.main, name) for name in ("train", "status", "record", "check", "pilot")]
    for main, name in asked:
        with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):
            main([name, "--help"])
        texts.append(text.getvalue())
    with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):
        stress(["--help"])
    texts.append(text.getvalue())
    return set(FLAG.findall("\n".join(texts)))


def test_flags_that_pages_name_exist(known_flags):
    for page in PAGES:
        for line in page.read_text(encoding="utf-8").splitlines():
            if re.search(r"\b(?:pip|ruff|sphinx)\b", line):
                continue  # those of other programs
            missing = set(FLAG.findall(line)) - known_flags - OF_TORCHRUN
            if not importlib.util.find_spec("pytest_benchmark"):
                missing = {flag for flag in missing if not flag.startswith("--benchmark")}
            assert not missing, f"{page.name}: {sorted(missing)} in {line.strip()!r}"


@pytest.mark.parametrize(
    "module",
    [
        *("diffclaims", "diffclaims.theory", "diffclaims.finite", "diffclaims.denoisers"),
        *("diffclaims.monitor", "diffclaims.subjects", "diffclaims.plots"),
    ],
)
def test_the_reference_names_what_is_public(module):
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    public = importlib.import_module(module)
    for name in public.__all__:
        found = getattr(public, name)
        if not (inspect.isclass(found) or inspect.isfunction(found)):
            continue  # numbers, and modules whose functions are listed one by one
        in_errors = (
            getattr(diffclaims.errors, name, None) is found and "automodule:: diffclaims.errors" in text
        )
        assert in_errors or re.search(rf"^\.\. auto\w+:: diffclaims\.[\w.]*\b{name}$", text, re.MULTILINE), (
            name
        )


def test_every_page_is_on_the_site():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.stem == "index" or re.search(rf"^{page.stem}$", index, re.MULTILINE), page.name


def test_the_first_example_of_the_readme_runs(capsys):
    code = FENCE.findall((ROOT / "README.md").read_text(encoding="utf-8"))[0]
    exec(compile(code, "README.md", "exec"), {})
    assert "tau_mem" in capsys.readouterr().out


IN_TEN_LINES = [
    code
    for page in ("denoisers.md", "monitor.md")
    for code in FENCE.findall((ROOT / "docs" / page).read_text(encoding="utf-8"))
    if not code.startswith('"""')  # a whole file, with a test of its own
]


@pytest.mark.parametrize("code", IN_TEN_LINES, ids=lambda code: code.splitlines()[0].strip("# "))
def test_the_examples_with_torch_run_in_ten_lines(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pytest.importorskip("torch")
    if "import diffusers" in code:
        pytest.importorskip("diffusers")
    assert len([line for line in code.splitlines() if line and not line.startswith("#")]) <= 10
    exec(compile(code, "page", "exec"), {})


def test_the_subject_of_the_page_keeps_the_contract_and_is_judged(tmp_path, monkeypatch):
    (tmp_path / "toy_page.py").write_text(file_of("add-a-subject.md", "toy.py"))
    monkeypatch.syspath_prepend(tmp_path)
    import toy_page

    diffclaims.check_subject(toy_page.SUBJECT)
    report = diffclaims.check(toy_page.SUBJECT, claims=["variance-order"])
    assert (report["verdict"].values == "holds").sum() >= 2
    assert "not run" not in report["verdict"].values


def test_the_claim_of_the_page_holds_on_theory_and_rejects_what_it_names(tmp_path, monkeypatch):
    (tmp_path / "test_more_samples.py").write_text(file_of("add-a-claim.md", "test_more_samples.py"))
    (tmp_path / "pytest.ini").write_text("[pytest]\ndiffclaims_claims_dir = .\n")
    installed = any(p.value == "diffclaims.plugin" for p in metadata.entry_points(group="pytest11"))
    plugin = [] if installed else ["-p", "diffclaims.plugin"]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            *plugin,
            "--subject",
            "theory",
            "--baselines=off",
            "test_more_samples.py",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "controls 2/2" in done.stdout
    from diffclaims.api.claim import load_claims
    from diffclaims.studies.mutants import Hunt
    from diffclaims.subjects.theory import SUBJECT

    (claim,) = load_claims(tmp_path)
    hunt = Hunt(SUBJECT)
    assert {hunt.find(claim, name).state for name in claim.rejects} == {"caught"}


def test_the_version_is_one():
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["version"]["path"]
    assert f"version: {diffclaims.__version__}" in (ROOT / "CITATION.cff").read_text()
    assert f"## {diffclaims.__version__}" in (ROOT / "CHANGELOG.md").read_text()
