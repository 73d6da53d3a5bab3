"""Check the claims on a subject from Python, by the same path as pytest."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import xarray as xr

from diffclaims.api.claim import Claim, find_claim, load_claims
from diffclaims.api.outcome import Outcome
from diffclaims.api.subject import Subject
from diffclaims.errors import BaselineError, ClaimFailed, InvalidInput, SubjectInvalid
from diffclaims.problem.arguments import checked
from diffclaims.storage import paths as locate
from diffclaims.suite.expected import expected_failures, unknown_failures
from diffclaims.suite.loading import Column, columns
from diffclaims.suite.report import to_dataset
from diffclaims.suite.runner import Row, Runner


@checked
def check(
    subject: Subject | str,
    *,
    claims: str | Claim | Iterable[str | Claim] | None = None,
    expected_failures: Mapping[str, str] | None = None,
    on_fail: Literal["raise", "warn"] | None = None,
    baselines: Literal["check", "off"] = "check",
) -> xr.Dataset:
    """Check the claims on a subject, by the same path as pytest.

    Parameters
    ----------
    subject : Subject or str
        An object that keeps the contract, or the name of a registered one.
    claims : str, Claim or iterable of them, optional
        The claims, by id or as objects; all by default.
    expected_failures : mapping of str to str, optional
        Reasons by ``claim[case]``; by default the list that is kept for a subject of this name.
    on_fail : {"raise", "warn"}, optional
        What to do, after all cases were run, when some did not come out as expected. By default the
        dataset tells.
    baselines : {"check", "off"}
        Whether to compare with the recorded results, where there are any for a subject of this name.

    Returns
    -------
    Dataset
        As `to_dataset`; `status` says what was as expected.

    Raises
    ------
    SubjectInvalid
        When the subject breaks its contract.
    InvalidInput
        For an unknown subject, claim or expected failure.
    ClaimFailed
        With ``on_fail="raise"``.
    """
    for name, value, known in (
        ("on_fail", on_fail, ("raise", "warn", None)),
        ("baselines", baselines, ("check", "off")),
    ):
        if value not in known:
            raise InvalidInput.of(name, value, f"be one of {known}", "choose one of them")
    folder = locate.claims_dir()
    all_claims = load_claims(folder)
    asked = [claims] if isinstance(claims, str | Claim) else all_claims if claims is None else claims
    chosen = [find_claim(c, folder) if isinstance(c, str) else c for c in asked]
    column = _column(subject, locate.baselines_dir(folder))
    column.contract()
    reasons = _reasons(expected_failures, folder, column, [*all_claims, *chosen])
    runner = Runner(baselines_dir=locate.baselines_dir(folder), mode=baselines)
    rows: list[Row] = []
    problems: list[str] = []
    for claim in chosen:
        for case in column.cases(claim):
            row, error = runner.run(claim, case, column)
            row.expected_failure = reasons.get(f"{claim.id}[{case.name}]", "")
            rows.append(row)
            if isinstance(error, SubjectInvalid):
                raise error
            if isinstance(error, ClaimFailed) and row.expected_failure:
                row.status = "expected failure"
            elif isinstance(error, ClaimFailed | BaselineError):
                problems.append(str(error))
            elif row.expected_failure and row.outcome != Outcome.NOT_RUN:
                row.status = "unexpected"
                problems.append(f"{claim.id}[{case.name}] is listed as an expected failure, but passes")
    if problems and on_fail == "raise":
        raise ClaimFailed("\n".join(problems))
    if problems and on_fail == "warn":
        warnings.warn("\n".join(problems), stacklevel=2)
    return to_dataset(rows)


def _column(subject: Subject | str, folder: Path) -> Column:
    if not isinstance(subject, str):
        return Column.of(subject)
    found = columns(baselines_dir=folder, subjects=[subject])
    return next(c for c in found if c.selected)


def _reasons(
    given: Mapping[str, str] | None, folder: Path, column: Column, known: Sequence[Claim]
) -> Mapping[str, str]:
    if given is None:
        return expected_failures(folder, column.name)
    unknown = unknown_failures(given, known, column)
    if unknown:
        raise InvalidInput.of(
            "expected_failures", unknown, "name claims and cases, as 'claim[case]'", "correct the ids"
        )
    return given
