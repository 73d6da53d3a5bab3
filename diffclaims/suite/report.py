"""Verdicts as a dataset, as files, and `check`: the claims on one subject, from Python."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from diffclaims.api.claim import Claim
from diffclaims.errors import InvalidInput
from diffclaims.pages.render import can_render, check_target
from diffclaims.pages.render import write as write_page
from diffclaims.storage import netcdf as storage
from diffclaims.storage import schema
from diffclaims.storage.files import write_atomic
from diffclaims.storage.provenance import provenance
from diffclaims.suite.loading import Column
from diffclaims.suite.page import page
from diffclaims.suite.runner import Row


def to_dataset(rows: Sequence[Row]) -> xr.Dataset:
    """Return verdicts as a dataset of kind "verdicts".

    Parameters
    ----------
    rows : sequence of Row
        One for each claim, case and subject.

    Returns
    -------
    Dataset
        Along `case`, labelled ``claim[case] on subject``: `effect` with its limits `effect_low` and `effect_high`,
        `threshold`, `uncertainty` (the decision threshold), `stderr`, `n_seeds`, `verdict`, `status`, `sentence`, and
        the coordinates `claim`, `case_name`, `subject`, `role`. The effect of what was not run is NaN.
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
            "effect_low": ("case", numbers("low")),
            "effect_high": ("case", numbers("high")),
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


def about(claims: Sequence[Claim], columns: Sequence[Column], command: str = "") -> dict[str, Any]:
    """Return what a run was about, for its report.

    Parameters
    ----------
    claims : sequence of Claim
    columns : sequence of Column
        The subjects.
    command : str
        What was run.

    Returns
    -------
    dict
        ``command``; ``claims``, by id what they say and the notes of their cases; ``subjects``, by name their
        titles, and why they did not run.
    """
    told: dict[str, Any] = {}
    for c in claims:
        cases = {case.name: case.note for column in columns for case in column.cases(c)}
        words = {"says": c.says, "source": c.source, "definitions": c.definitions, "regime": c.regime}
        told[c.id] = {**words, "cases": cases}
    subjects = {k.name: {"title": k.title, "reason": k.reason} for k in columns}
    return {"command": command, "claims": told, "subjects": subjects}


def to_json(rows: Sequence[Row], told: Mapping[str, Any] | None = None) -> str:
    """Return verdicts as JSON; infinite numbers as the strings "inf" and "-inf".

    Parameters
    ----------
    rows : sequence of Row
    told : mapping, optional
        As `about` returns it.
    """

    def plain(value: Any) -> Any:
        return str(value) if isinstance(value, float) and not math.isfinite(value) else value

    verdicts = [{k: plain(v) for k, v in asdict(r).items()} for r in rows]
    attrs = provenance(subject=", ".join(sorted({r.subject for r in rows})) or "none")
    head = {"schema": "verdicts", "schema_version": schema.SCHEMA_VERSION, **attrs}
    document = {**head, **(told or {}), "verdicts": verdicts}
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def paths_of(path: str | Path) -> tuple[Path, Path, Path]:
    """Return the JSON and the NetCDF file of a report, and its page.

    Raises
    ------
    InvalidInput
        When the folder does not exist, or the path is a folder.
    """
    given = Path(path)
    stem = given.with_suffix("") if given.suffix in {".json", ".nc", ".html"} else given
    if given.is_dir() or not stem.name:
        raise InvalidInput.of("claims-report", str(path), "be a file name without suffix", "add a name to it")
    if not stem.parent.is_dir():
        raise InvalidInput.of(
            "claims-report", str(path), f"lie in a folder that exists ({stem.parent} does not)", "create it"
        )
    as_json, as_netcdf, as_page = (stem.with_name(f"{stem.name}.{end}") for end in ("json", "nc", "html"))
    if can_render():
        check_target(as_page)
    return as_json, as_netcdf, as_page


def write(rows: Sequence[Row], path: str | Path, told: Mapping[str, Any] | None = None) -> str:
    """Write verdicts as JSON, as NetCDF and, with the extra `html`, as a page, each file whole or not at all.

    Parameters
    ----------
    rows : sequence of Row
    path : str or path
        With or without a suffix.
    told : mapping, optional
        As `about` returns it.

    Returns
    -------
    str
        Which files were written, and which was not, as a sentence.
    """
    as_json, as_netcdf, as_page = paths_of(path)
    text = to_json(rows, told)
    write_atomic(as_json, lambda part: part.write_text(text, encoding="utf-8"))
    storage.write(as_netcdf, to_dataset(rows))
    if not can_render():
        return (
            f"verdicts written to {as_json} and {as_netcdf}; {as_page.name} needs jinja2: "
            "pip install 'diffclaims[html]'"
        )
    write_page(as_page, page(json.loads(text), as_json.name))
    return f"verdicts written to {as_json}, {as_netcdf} and {as_page}"
