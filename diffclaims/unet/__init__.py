"""U-Nets on images of a data set: trained, measured per class, recorded.

Reading recorded runs (`results`) and the data, references and oracle need no torch; everything that
trains or evaluates a network imports it where it is used. Nothing is imported here for that reason.
"""

from __future__ import annotations

import importlib
from types import ModuleType


def __getattr__(name: str) -> ModuleType:
    if name not in ("data", "results"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")
