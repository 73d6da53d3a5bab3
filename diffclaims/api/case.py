"""A case of a claim: where it is checked, what is expected there, and what came out."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import xarray as xr

from diffclaims.api.outcome import Outcome
from diffclaims.api.verdict import Verdict
from diffclaims.errors import InvalidInput
from diffclaims.problem.arguments import check_fields
from diffclaims.problem.experiment import Experiment
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.problem.validate import one_of

#: Names of cases and claims: characters that `pytest -k` can select by.
WORD = r"[A-Za-z0-9_.+-]+"
WORD_RULE = ("consist of letters, digits and . + - _", "put - between words: ratio-1.5")


class Role(StrEnum):
    """What a case says about its claim."""

    #: In the regime of the claim: counts for the verdict.
    REGIME = "regime"
    #: Negative control: the check must not say "holds" here, or it would say so anywhere.
    CONTROL = "control"
    #: Outside the regime: recorded as what it is, not counted.
    OUTSIDE = "outside"


_EXPECTED: dict[Role, frozenset[Outcome]] = {
    Role.REGIME: frozenset({Outcome.HOLDS}),
    Role.CONTROL: frozenset({Outcome.FAILS, Outcome.INCONCLUSIVE}),
    Role.OUTSIDE: frozenset({Outcome.HOLDS, Outcome.FAILS, Outcome.INCONCLUSIVE}),
}


def _outcome(value: Outcome | str) -> Outcome:
    try:
        return Outcome(value)
    except ValueError:
        raise InvalidInput.of(
            "expect", value, f"be out of {', '.join(Outcome)}", "choose among them"
        ) from None


@dataclass(frozen=True, kw_only=True)
class Case:
    """One place where a claim is checked.

    Parameters
    ----------
    name : str
        Short and stable; part of the test id and of the baseline's path.
    experiments : mapping of str to Experiment
        What the subject is asked, by a name that the claim's functions use. At least one.
    role : Role
        Whether the case counts.
    expect : Outcome, or a collection of them
        Outcomes that are as they should be, also by name: ``"fails"``. By default, for each role: holds;
        fails or inconclusive (a control may be stricter: only fails, or only inconclusive for a tie); any.
    note : str
        Why this case, and what decides in it.
    params : mapping of str to float or str
        Values that the claim's functions need besides the experiments.
    exact_only : bool
        Whether what the case expects is an identity that only an exact subject obeys. A stochastic one
        is measured too, as a case outside the regime: by how much it misses is its error.
    """

    name: str
    experiments: Mapping[str, Experiment]
    role: Role = Role.REGIME
    expect: Collection[Outcome | str] | str = ()
    note: str = ""
    params: Mapping[str, float | str] = field(default_factory=dict)
    exact_only: bool = False

    def __post_init__(self) -> None:
        check_fields(self, but=("role", "expect"))
        one_of(*Role).check("role", self.role)
        if not re.fullmatch(WORD, self.name):
            raise InvalidInput.of("name of a case", self.name, *WORD_RULE)
        if not self.experiments:
            raise InvalidInput.of("experiments", self.experiments, "hold at least one", "say what is asked")
        object.__setattr__(self, "role", Role(self.role))
        given = (self.expect,) if isinstance(self.expect, str) else self.expect
        if not isinstance(given, Collection):
            raise InvalidInput.of(
                "expect", given, f"be out of {', '.join(Outcome)}", "give one or a list of them"
            )
        expect = frozenset(map(_outcome, given)) or _EXPECTED[self.role]
        if Outcome.NOT_RUN in expect or (self.role is Role.CONTROL and Outcome.HOLDS in expect):
            raise InvalidInput.of(
                "expect",
                sorted(expect),
                "name measured outcomes, and not 'holds' for a control",
                "make the case a regime or an outside case",
            )
        object.__setattr__(self, "expect", expect)

    @classmethod
    def of(
        cls,
        name: str,
        mixture: GaussianMixture | Mapping[str, GaussianMixture],
        model: RandomFeatures,
        *,
        role: Role | str = Role.REGIME,
        expect: Collection[Outcome | str] | str = (),
        note: str = "",
        params: Mapping[str, float | str] | None = None,
        exact_only: bool = False,
    ) -> Case:
        """Return a case of one model: of one mixture, asked under the name "pair", or of several by name.

        Parameters
        ----------
        name : str
        mixture : GaussianMixture, or mapping of str to GaussianMixture
        model : RandomFeatures
        role, expect, note, params, exact_only
            As of the class.
        """
        named = {"pair": mixture} if isinstance(mixture, GaussianMixture) else mixture
        return cls(
            name=name,
            experiments={key: Experiment(mixture=m, model=model) for key, m in named.items()},
            role=Role(role),
            expect=expect,
            note=note,
            params=params or {},
            exact_only=exact_only,
        )

    def equal_variances(self) -> Case:
        """Return the case with every class given the mean of the variances; weights and centroids stay."""

        def alike(experiment: Experiment) -> Experiment:
            m = experiment.mixture
            variances = np.broadcast_to(m.variances.mean(axis=0), m.variances.shape)
            return experiment.replace(mixture=m.replace(variances=variances))

        experiments = {key: alike(e) for key, e in self.experiments.items()}
        return self.replace(name=f"{self.name}-equal-variances", experiments=experiments)

    def replace(self, **changes: object) -> Case:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class CaseResult:
    """What came out of one case for one subject.

    Attributes
    ----------
    verdict : Verdict or None
        None when nothing was measured; `reason` then says why.
    data : mapping of str to Dataset
        What was measured, by the names that the claim gave.
    seconds : float
        Time spent measuring and judging.
    """

    claim_id: str
    case: Case
    subject: str
    verdict: Verdict | None
    data: Mapping[str, xr.Dataset]
    seconds: float
    reason: str = ""

    @property
    def outcome(self) -> Outcome:
        """The verdict's outcome, or not run."""
        return self.verdict.outcome if self.verdict is not None else Outcome.NOT_RUN

    @property
    def as_expected(self) -> bool:
        """Whether the case came out as it should; what was not run says nothing against it.

        An effect of the wrong size is never as it should be, not even where the claim is to fail.
        """
        if self.verdict is None:
            return True
        return self.verdict.size is not Outcome.FAILS and self.outcome in self.case.expect

    def sentence(self) -> str:
        """One line: the verdict, or why there is none."""
        return self.verdict.sentence() if self.verdict is not None else f"not run: {self.reason}"
