"""One run of claims against subjects: the path that pytest and `diffclaims.check` share.

For each case: the subject's contract (once), the measurement, the verdict, the baseline, and only
then whether the verdict is the expected one, so that an expected failure cannot drift unnoticed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffclaims.api.case import Case, CaseResult, Role
from diffclaims.api.claim import Claim
from diffclaims.api.outcome import Effect, Outcome
from diffclaims.errors import (
    BaselineError,
    BaselineMissing,
    ClaimFailed,
    DiffclaimsError,
    SubjectInvalid,
)
from diffclaims.storage.reference import REFERENCE
from diffclaims.suite import baselines
from diffclaims.suite.loading import Column

#: Effects shown in the message of a failure.
_SHOWN = 5


@dataclass
class Row:
    """One case on one subject, in plain values: what the grid, the report and xdist carry.

    Attributes
    ----------
    outcome : str
        A value of `Outcome`.
    effect, value, threshold, bar, low, high, stderr, n_seeds
        The effect that decides, with its limits; `value` is None when nothing was measured.
    reason : str
        Why it was not run, is invalid, differs from its baseline or did not come out as expected.
    status : str
        "as expected", "inconclusive", "unexpected", "baseline", "invalid" or "not run".
    baseline : str
        "same", "differs", "missing", "off", or a remark.
    """

    claim: str
    case: str
    subject: str
    role: str
    expect: list[str]
    outcome: str = str(Outcome.NOT_RUN)
    effect: str = ""
    value: float | None = None
    threshold: float = 0.0
    bar: float = 0.0
    low: float = -math.inf
    high: float = math.inf
    stderr: float = 0.0
    n_seeds: int = 0
    sentence: str = ""
    reason: str = ""
    seconds: float = 0.0
    status: str = "not run"
    baseline: str = "off"
    expected_failure: str = ""

    @property
    def margin(self) -> float:
        """Distance of the effect above its threshold."""
        return float("nan") if self.value is None else self.value - self.threshold

    def take(self, result: CaseResult) -> None:
        """Take over what was measured."""
        self.outcome = str(result.outcome)
        self.seconds = result.seconds
        self.reason = result.reason
        self.sentence = result.sentence()
        if result.verdict is not None:
            worst: Effect = result.verdict.worst
            self.effect, self.value, self.threshold = worst.name, worst.value, worst.threshold
            self.bar, self.stderr, self.n_seeds = worst.bar, worst.stderr, worst.n_seeds
            self.low, self.high = worst.shown_limits

    @classmethod
    def of(cls, claim: Claim, case: Case, column: Column, **more: Any) -> Row:
        """Return the row of a case that was not run."""
        return cls(
            claim=claim.id,
            case=case.name,
            subject=column.name,
            role=str(case.role),
            expect=sorted(map(str, case.expect)),
            **more,
        )


@dataclass
class Runner:
    """Runs cases and remembers where the baselines are.

    Parameters
    ----------
    baselines_dir : path
        Folder of the baselines.
    mode : {"check", "update", "off"}
        What to do with the baselines.
    strict : bool
        Whether an inconclusive verdict is a failure.
    obtained : path
        Where results are left that differ from their baseline.
    shipped : path, optional
        The package's baselines: read for its own subjects where the folder has none.
    """

    baselines_dir: Path
    mode: str = "check"
    strict: bool = False
    obtained: Path = field(default_factory=lambda: Path.cwd() / ".diffclaims" / "obtained")
    shipped: Path | None = None

    def run(
        self, claim: Claim, case: Case, column: Column, *, command: str = "pytest claims"
    ) -> tuple[Row, DiffclaimsError | None]:
        """Run one case.

        Returns
        -------
        row : Row
            What came out, always.
        error : DiffclaimsError or None
            Why the case does not pass: `SubjectInvalid`, `BaselineError` or `ClaimFailed`.
        """
        row = Row.of(claim, case, column)
        if column.subject is None and column.error is None:
            row.reason = column.reason
            return row, None
        try:
            column.contract()
            assert column.subject is not None
            # What the sizes are compared with is not held against itself when it is recorded anew.
            sizes = self.mode != "update" or column.name != REFERENCE
            result = claim.run(column.subject, case, sizes=sizes)
        except (SubjectInvalid, BaselineError) as error:
            row.status, row.reason = "invalid", str(error)
            return row, error
        row.take(result)
        try:
            row.baseline = self._baseline(result, column, command + column.options)
        except BaselineError as error:
            row.status = "baseline"
            row.baseline = "missing" if isinstance(error, BaselineMissing) else "differs"
            row.reason = str(error)
            return row, error
        if result.verdict is None:
            return row, None
        failed = self._judge(row, claim, result)
        row.reason = row.reason if failed is None else str(failed)
        return row, failed

    def explore(
        self, claim: Claim, column: Column, *, examples: int, folder: Path
    ) -> tuple[Row, DiffclaimsError | None]:
        """Search the regime of a claim on a subject.

        Returns
        -------
        row : Row
            The weakest case, with the role "explored": it counts for the verdict if it is a counterexample.
        error : DiffclaimsError or None
            `ClaimFailed` for a counterexample, with the case as code; else as `run`.
        """
        from diffclaims.suite.explore import explore

        row = Row(claim=claim.id, case="explored", subject=column.name, role="explored", expect=["holds"])
        try:
            column.contract()
            assert column.subject is not None
            found = explore(claim, column.subject, examples=examples, folder=folder)
        except (SubjectInvalid, BaselineError) as error:
            row.status, row.reason = "invalid", str(error)
            return row, error
        first = found.weakest
        if first is None:
            row.reason = f"none of {len(found.trials)} cases could be measured"
            return row, None
        row.outcome, row.value, row.sentence = str(first.outcome), first.margin, first.sentence
        row.reason = found.report()
        row.status = "unexpected" if first.fails else "as expected"
        return row, ClaimFailed(found.report()) if first.fails else None

    def _baseline(self, result: CaseResult, column: Column, command: str) -> str:
        if self.mode == "update":
            if result.verdict is None:
                return ""
            done = baselines.update(result, folder=self.baselines_dir, command=command)
            return f"{'wrote' if done.written else 'kept'} {baselines.shown(done.path)}: {done.text}"
        if self.mode == "off":
            return "off"
        remark = baselines.check(
            result,
            folder=self.baselines_dir,
            shipped=self.shipped if column.own else None,
            obtained=self.obtained,
            command=command,
            required=column.own,
        )
        return remark or "same"

    def _judge(self, row: Row, claim: Claim, result: CaseResult) -> ClaimFailed | None:
        assert result.verdict is not None
        if result.as_expected:
            row.status = "as expected"
            return None
        if result.outcome is Outcome.INCONCLUSIVE:
            row.status = "inconclusive"
            return ClaimFailed(failure_text(claim, result)) if self.strict else None
        row.status = "unexpected"
        return ClaimFailed(failure_text(claim, result))


def failure_text(claim: Claim, result: CaseResult) -> str:
    """Say why a case did not come out as it should, for a reader who sees nothing else."""
    assert result.verdict is not None
    case = result.case
    wanted = " or ".join(sorted(case.expect))
    what = {
        Role.REGIME: "the claim",
        Role.CONTROL: "the negative control",
        Role.OUTSIDE: "the case outside the regime",
    }[case.role]
    lines = [
        f"{claim.id}[{case.name}] on {result.subject}: {what} came out as "
        f"{result.outcome!s}, expected was {wanted}",
        f"  claim: {claim.says}",
    ]
    if case.note:
        lines.append(f"  case:  {case.note}")
    if result.verdict.size is Outcome.FAILS:
        lines.append("  the effect has the wrong size for the model that was asked")
    every = [*result.verdict.effects, *(e for e in result.verdict.sizes if e.outcome is Outcome.FAILS)]
    shown = sorted(every, key=lambda e: (e.outcome in case.expect, e.margin))[:_SHOWN]
    lines += [f"  {e.sentence()}" for e in shown]
    hidden = len(every) - len(shown)
    if hidden:
        lines.append(f"  ... and {hidden} more effects")
    return "\n".join(lines)
