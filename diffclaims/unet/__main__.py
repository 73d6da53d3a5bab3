"""``python -m diffclaims.unet``: train the runs of a preset, record them, check the measurement."""

from __future__ import annotations

import sys

from diffclaims.unet.cli import main

if __name__ == "__main__":
    sys.exit(main())
