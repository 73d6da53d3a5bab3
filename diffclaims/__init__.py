"""Checks of what is claimed about how diffusion models learn data whose classes differ.

Names are imported when they are first used, so that `import diffclaims` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from diffclaims._version import __version__
from diffclaims.errors import (
    BaselineError,
    ClaimFailed,
    DiffclaimsError,
    InvalidInput,
    NotMeasured,
    SolveFailed,
    SubjectInvalid,
)

if TYPE_CHECKING:
    from diffclaims import theory  # type: ignore[attr-defined, unused-ignore]
    from diffclaims.case import Case, CaseResult, Role
    from diffclaims.claim import Claim, load_claims
    from diffclaims.experiment import Experiment
    from diffclaims.mixture import GaussianMixture
    from diffclaims.model import RandomFeatures
    from diffclaims.report import check
    from diffclaims.subjects.contract import check_subject
    from diffclaims.subjects.protocol import Subject, Tags
    from diffclaims.times import learning_times  # type: ignore[import-not-found, unused-ignore]
    from diffclaims.verdict import Effect, Outcome, Verdict

#: Where each name comes from; a name without an object is the module itself.
_LAZY = {
    "Case": "case:Case",
    "CaseResult": "case:CaseResult",
    "Claim": "claim:Claim",
    "Effect": "verdict:Effect",
    "Experiment": "experiment:Experiment",
    "GaussianMixture": "mixture:GaussianMixture",
    "Outcome": "verdict:Outcome",
    "RandomFeatures": "model:RandomFeatures",
    "Role": "case:Role",
    "Subject": "subjects.protocol:Subject",
    "Tags": "subjects.protocol:Tags",
    "Verdict": "verdict:Verdict",
    "check": "report:check",
    "check_subject": "subjects.contract:check_subject",
    "learning_times": "times:learning_times",
    "load_claims": "claim:load_claims",
    "theory": "theory:",
}

__all__ = [
    "BaselineError",
    "Case",
    "CaseResult",
    "Claim",
    "ClaimFailed",
    "DiffclaimsError",
    "Effect",
    "Experiment",
    "GaussianMixture",
    "InvalidInput",
    "NotMeasured",
    "Outcome",
    "RandomFeatures",
    "Role",
    "SolveFailed",
    "Subject",
    "SubjectInvalid",
    "Tags",
    "Verdict",
    "__version__",
    "check",
    "check_subject",
    "learning_times",
    "load_claims",
    "theory",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _LAZY[name].partition(":")
    found: Any = importlib.import_module(f"{__name__}.{module}")
    if attribute:
        found = getattr(found, attribute)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
