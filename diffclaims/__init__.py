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
    from diffclaims import (  # type: ignore[attr-defined, unused-ignore]
        denoisers,
        finite,
        memorization,
        monitor,
        plots,
        provenance,
        schema,
        subjects,
        theory,
        times,
        unet,
    )
    from diffclaims.advice.compute import advise
    from diffclaims.api import effects, pairs, space
    from diffclaims.api.case import Case, CaseResult, Role
    from diffclaims.api.claim import Claim, Null, load_claims
    from diffclaims.api.outcome import Effect, Outcome
    from diffclaims.api.space import Axis, Space
    from diffclaims.api.subject import Subject, Tags
    from diffclaims.api.verdict import Verdict
    from diffclaims.monitor.monitor import Monitor
    from diffclaims.problem.experiment import Experiment
    from diffclaims.problem.mixture import GaussianMixture
    from diffclaims.problem.model import RandomFeatures
    from diffclaims.subjects.contract import check_subject
    from diffclaims.suite.check import check
    from diffclaims.times.learning import learning_times  # type: ignore[import-not-found, unused-ignore]

#: Where each name comes from; a name without an object is the module itself.
_LAZY = {
    "Axis": "api.space:Axis",
    "Case": "api.case:Case",
    "CaseResult": "api.case:CaseResult",
    "Claim": "api.claim:Claim",
    "Effect": "api.outcome:Effect",
    "Experiment": "problem.experiment:Experiment",
    "GaussianMixture": "problem.mixture:GaussianMixture",
    "Monitor": "monitor.monitor:Monitor",
    "Null": "api.claim:Null",
    "Outcome": "api.outcome:Outcome",
    "RandomFeatures": "problem.model:RandomFeatures",
    "Role": "api.case:Role",
    "Space": "api.space:Space",
    "Subject": "api.subject:Subject",
    "Tags": "api.subject:Tags",
    "Verdict": "api.verdict:Verdict",
    "advise": "advice.compute:advise",
    "check": "suite.check:check",
    "check_subject": "subjects.contract:check_subject",
    "denoisers": "denoisers:",
    "effects": "api.effects:",
    "finite": "finite:",
    "learning_times": "times.learning:learning_times",
    "load_claims": "api.claim:load_claims",
    "memorization": "memorization:",
    "monitor": "monitor:",
    "pairs": "api.pairs:",
    "plots": "plots:",
    "provenance": "provenance:",
    "schema": "schema:",
    "space": "api.space:",
    "subjects": "subjects:",
    "theory": "theory:",
    "times": "times:",
    "unet": "unet:",
}

__all__ = [
    "Axis",
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
    "Monitor",
    "NotMeasured",
    "Null",
    "Outcome",
    "RandomFeatures",
    "Role",
    "SolveFailed",
    "Space",
    "Subject",
    "SubjectInvalid",
    "Tags",
    "Verdict",
    "__version__",
    "advise",
    "check",
    "check_subject",
    "denoisers",
    "effects",
    "finite",
    "learning_times",
    "load_claims",
    "memorization",
    "monitor",
    "pairs",
    "plots",
    "provenance",
    "schema",
    "space",
    "subjects",
    "theory",
    "times",
    "unet",
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
