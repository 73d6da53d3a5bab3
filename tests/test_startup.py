"""A run of claims imports what it needs: some packages take longer to import than a claim takes to be judged."""

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


def test_claims_import_nothing_that_they_do_not_need():
    code = (
        "import sys, pytest; pytest.main(['-q', 'claims/test_two_phases.py', '-k', 'ratio-2-theory']); "
        f"print('imported', [m for m in {UNNEEDED} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "1 passed" in done.stdout
    assert done.stdout.splitlines()[-1] == "imported []"
