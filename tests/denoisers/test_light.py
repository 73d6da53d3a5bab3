"""Nothing of PyTorch is imported before an adapter is called, and then its absence is said."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
sys.modules["torch"] = None
import diffclaims
from diffclaims.errors import DiffclaimsError
from diffclaims.studies import denoiser
for name in diffclaims.denoisers.__all__:
    getattr(diffclaims.denoisers, name)
try:
    diffclaims.denoisers.from_x0(lambda x, sigma: x)
except DiffclaimsError as error:
    print(error)
"""


def test_the_room_imports_without_torch():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout == (
        "torch is not installed, and is needed for denoisers; pip install 'diffclaims[unet]'\n"
    )
