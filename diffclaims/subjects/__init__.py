"""What the claims are asked of: the protocol, the registry, the contract check, recorded subjects."""

from __future__ import annotations

import importlib
from types import ModuleType

from diffclaims.api.subject import MEASURES, Subject, Tags
from diffclaims.storage.recordings import record
from diffclaims.subjects.contract import check_subject
from diffclaims.subjects.memo import Memo
from diffclaims.subjects.recorded import Recorded

__all__ = ["MEASURES", "Memo", "Recorded", "Subject", "Tags", "check_subject", "record"]


def __getattr__(name: str) -> ModuleType:
    # Claims are judged without it: reading watched trainings takes much that they do not need.
    if name != "runs":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")
