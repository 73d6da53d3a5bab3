"""Verdicts as a dataset, as files, and `check`: the claims on one subject, from Python."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from diffclaims.errors import InvalidInput
from diffclaims.storage import netcdf as storage
from diffclaims.storage import schema
from diffclaims.storage.files import write_atomic
from diffclaims.storage.provenance import provenance
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
        Along `case`, labelled ``claim[case] on subject``: `effect`, `threshold`, `uncertainty` (the
        decision threshold), `stderr`, `n_seeds`, `verdict`, `status`, `sentence`, and the coordinates `claim`,
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
    write_atomic(as_json, lambda part: part.write_text(to_json(rows), encoding="utf-8"))
    storage.write(as_netcdf, to_dataset(rows))
    return as_json, as_netcdf
