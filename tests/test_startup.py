"""A run of claims imports what it needs: some packages take longer to import than a claim takes to be judged."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: What tests, searches and networks need, and claims do not.
UNNEEDED = (
    "hypothesis",
    "torch",
    "torchvision",
    "sklearn",
    "matplotlib",
    "distributed",
)
#: One name of each module on the page of the API, asked of a fresh `import diffclaims` without any extra.
ASKED = """
import os, sys
import diffclaims
print("numpy" in sys.modules)
import scipy.stats, xarray  # once, for all that follows; scipy asks what torch is if the name is there
sys.modules |= dict.fromkeys(("torch", "matplotlib", "sklearn", "dask", "jinja2"))
for name in sys.argv[1:]:
    sys.stdout.flush()
    if not os.fork():
        found = diffclaims
        for part in name.split(".")[1:]:
            found = getattr(found, part)
        os._exit(0)
    _, status = os.wait()
    if status:
        print(name)
"""


def test_names_of_the_reference_are_there_after_the_import():
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    names = re.findall(r"^\.\. auto\w+:: (diffclaims\.[\w.]+)$", page, re.MULTILINE)
    one_of_each = {name.rpartition(".")[0]: name for name in names}
    assert len(one_of_each) > 10
    command = [sys.executable, "-c", ASKED, *one_of_each.values()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "False\n", done.stdout + done.stderr


def test_claims_import_nothing_that_they_do_not_need():
    code = (
        "import sys, pytest; pytest.main(['-q', 'claims/test_two_phases.py', '-k', 'ratio-2-theory']); "
        f"print('imported', [m for m in {UNNEEDED} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "1 passed" in done.stdout
    assert done.stdout.splitlines()[-1] == "imported []"
