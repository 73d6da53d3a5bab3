"""The core needs no PyTorch; what measures says that it does."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
import scipy.stats
sys.modules["torch"] = None
import numpy as np
import diffclaims
from diffclaims.errors import DiffclaimsError
monitor = diffclaims.Monitor("run", train=(np.eye(4), [0, 0, 1, 1]))
try:
    monitor.due(0)
except DiffclaimsError as error:
    print(error)
"""


def test_the_name_imports_without_torch(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    expected = "torch is not installed, and is needed for monitoring; pip install 'diffclaims[unet]'\n"
    assert done.stdout == expected, done.stderr
