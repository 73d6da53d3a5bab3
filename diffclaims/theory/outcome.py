"""How a solver says whether it succeeded."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from diffclaims.errors import SolveFailed


class SolverOutcome(Enum):
    """Result of an iteration; the value is the sentence shown when it is not a success."""

    CONVERGED = "converged"
    MAX_STEPS = (
        "the residual did not reach the tolerance; raise `max_steps`, or move away from a spectral edge"
    )
    WRONG_BRANCH = "the solution left the half plane of physical resolvents; start further from the real axis"
    INACCURATE = "refinement moved the result by more than the accuracy asked for; raise the node counts"


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """SolverOutcome of a solve with the figures behind it."""

    outcome: SolverOutcome
    residual: float
    steps: int

    @property
    def ok(self) -> bool:
        """Whether the solve succeeded."""
        return self.outcome is SolverOutcome.CONVERGED

    def require(self, what: str) -> None:
        """Raise `SolveFailed` unless the solve succeeded."""
        if not self.ok:
            raise SolveFailed(
                f"{what}: {self.outcome.value} (residual {self.residual:.1e} after {self.steps} steps)"
            )
