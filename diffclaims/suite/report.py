"""Verdicts as a dataset, as files, and `check`: the claims on one subject, from Python."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from diffclaims.api.claim import Claim, load_claims
from diffclaims.api.subject import Subject
from diffclaims.api.verdict import Outcome
from diffclaims.errors import BaselineError, ClaimFailed, InvalidInput, SubjectInvalid
from diffclaims.storage import netcdf as storage
from diffclaims.storage import paths as locate
from diffclaims.storage import schema
from diffclaims.storage.provenance import provenance
from diffclaims.suite.runner import Column, Row, Runner, columns, expected_failures, unknown_failures


def to_dataset(rows: Sequence[Row]) -> xr.Dataset:
    """Return verdicts as a dataset of kind "verdicts".

    Parameters
    ----------
    rows : sequence of Row
        One for each claim, case and subject.

    Returns
    -------
    Dataset
        Along `case`, labelled ``claim[case] on subject``: `effect`, `threshold`, `uncertainty` (the
        bar), `stderr`, `n_seeds`, `verdict`, `status`, `sentence`, and the coordinates `claim`,
        `case_name`, `subject`, `role`. The effect of what was not run is NaN.
    """

    def numbers(name: str) -> np.ndarray:
        return np.array([math.nan if r.value is None else getattr(r, name) for r in rows], dtype=np.float64)

    def text(name: str) -> np.ndarray:
        return np.array([str(getattr(r, name)) for r in rows], dtype=np.str_)

    dataset = xr.Dataset(
        {
            "effect": ("case", numbers("value")),
            "threshold": ("case", numbers("threshold")),
            "uncertainty": ("case", numbers("bar")),
            "stderr": ("case", numbers("stderr")),
            "n_seeds": ("case", np.array([r.n_seeds for r in rows], dtype=np.int64)),
            "seconds": ("case", np.array([r.seconds for r in rows], dtype=np.float64), {"units": "s"}),
            "verdict": ("case", text("outcome")),
            "status": ("case", text("status")),
            "effect_name": ("case", text("effect")),
            "sentence": ("case", text("sentence")),
            "reason": ("case", text("reason")),
            "baseline": ("case", text("baseline")),
            "expected_failure": ("case", text("expected_failure")),
        },
        coords={
            "case": np.array([f"{r.claim}[{r.case}] on {r.subject}" for r in rows], dtype=np.str_),
            "claim": ("case", text("claim")),
            "case_name": ("case", text("case")),
            "subject": ("case", text("subject")),
            "role": ("case", text("role")),
        },
    )
    subjects = sorted({r.subject for r in rows})
    return schema.stamp(dataset, "verdicts", provenance(subject=", ".join(subjects) or "none"))


def to_json(rows: Sequence[Row]) -> str:
    """Return verdicts as JSON; infinite numbers as the strings "inf" and "-inf"."""

    def plain(value: Any) -> Any:
        return str(value) if isinstance(value, float) and not math.isfinite(value) else value

    verdicts = [{k: plain(v) for k, v in asdict(r).items()} for r in rows]
    attrs = provenance(subject=", ".join(sorted({r.subject for r in rows})) or "none")
    document = {"schema": "verdicts", "schema_version": schema.SCHEMA_VERSION, **attrs, "verdicts": verdicts}
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def paths_of(path: str | Path) -> tuple[Path, Path]:
    """Return the JSON and the NetCDF file of a report.

    Raises
    ------
    InvalidInput
        When the folder does not exist, or the path is a folder.
    """
    given = Path(path)
    stem = given.with_suffix("") if given.suffix in {".json", ".nc"} else given
    if given.is_dir() or not stem.name:
        raise InvalidInput.of("claims-report", str(path), "be a file name without suffix", "add a name to it")
    if not stem.parent.is_dir():
        raise InvalidInput.of(
            "claims-report", str(path), f"lie in a folder that exists ({stem.parent} does not)", "create it"
        )
    return stem.with_name(f"{stem.name}.json"), stem.with_name(f"{stem.name}.nc")


def write(rows: Sequence[Row], path: str | Path) -> tuple[Path, Path]:
    """Write verdicts as JSON and NetCDF, each file whole or not at all."""
    as_json, as_netcdf = paths_of(path)
    part = as_json.with_name(f".{as_json.name}.{os.getpid()}.part")
    try:
        part.write_text(to_json(rows), encoding="utf-8")
        os.replace(part, as_json)
    finally:
        part.unlink(missing_ok=True)
    storage.write(as_netcdf, to_dataset(rows))
    return as_json, as_netcdf


def check(
    subject: Subject | str,
    *,
    claims: Iterable[str | Claim] | None = None,
    expected_failures: Mapping[str, str] | None = None,
    on_fail: Literal["raise", "warn"] | None = None,
    baselines: Literal["check", "off"] = "check",
) -> xr.Dataset:
    """Check the claims on a subject, by the same path as pytest.

    Parameters
    ----------
    subject : Subject or str
        An object that keeps the contract, or the name of a registered one.
    claims : iterable of str or Claim, optional
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
    chosen = _chosen(claims, all_claims)
    column = _column(subject, locate.baselines_dir(folder))
    column.contract()
    reasons = _reasons(expected_failures, folder, column, [*all_claims, *chosen])
    runner = Runner(claims_dir=folder, mode=baselines)
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


def _chosen(claims: Iterable[str | Claim] | None, known: Sequence[Claim]) -> list[Claim]:
    if claims is None:
        return list(known)
    by_id = {c.id: c for c in known}
    chosen: list[Claim] = []
    for claim in [claims] if isinstance(claims, str | Claim) else claims:
        if isinstance(claim, str) and claim not in by_id:
            raise InvalidInput.of("claim", claim, f"be one of {sorted(by_id)}", "choose one of them")
        chosen.append(by_id[claim] if isinstance(claim, str) else claim)
    return chosen


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
