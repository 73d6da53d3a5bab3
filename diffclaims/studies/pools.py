"""Pools of seeds as they are kept: the effects of all cases of a claim, by seed, in one file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from diffclaims.api.claim import Claim, load_claims
from diffclaims.storage import netcdf as storage
from diffclaims.storage import paths as locate
from diffclaims.storage import schema
from diffclaims.storage.provenance import provenance

Floats = NDArray[np.float64]

#: Folder of the records, below the baselines.
FOLDER = "calibration"


def join(claim: Claim, cases: Mapping[str, xr.Dataset], command: str) -> xr.Dataset:
    """One record of the cases of a claim; seeds that a case does not have are NaN."""
    most = max(d.sizes["seed"] for d in cases.values())

    def padded(name: str) -> Floats:
        rows = [
            np.pad(d[name].values, ((0, 0), (0, most - d.sizes["seed"])), constant_values=np.nan)
            for d in cases.values()
        ]
        return np.concatenate(rows).T

    gauged = {"gauge"} if all("gauge" in d for d in cases.values()) else set()
    numbers = {
        name: np.concatenate([d[name].values for d in cases.values()]) for name in ("threshold", "accuracy")
    }
    dataset = xr.Dataset(
        {
            **{name: (("seed", "effect"), padded(name)) for name in ("samples", *gauged)},
            "threshold": ("effect", numbers["threshold"]),
            "accuracy": ("effect", numbers["accuracy"]),
            "of_case": (
                "effect",
                np.repeat(np.arange(len(cases)), [d.sizes["effect"] for d in cases.values()]),
            ),
            "seconds": ("case", [float(d["seconds"]) for d in cases.values()]),
        },
        coords={
            "seed": np.arange(most),
            "effect": np.concatenate([d["effect"].values for d in cases.values()]),
            "case": list(cases),
        },
    )
    attrs = provenance(
        subject="finite",
        seeds=range(most),
        claim=claim.id,
        command=command,
        roles=json.dumps({name: d.attrs["role"] for name, d in cases.items()}),
        about=json.dumps({name: json.loads(d.attrs["about"]) for name, d in cases.items()}, sort_keys=True),
    )
    return schema.stamp(dataset, "calibration", attrs)


def split(record: xr.Dataset) -> dict[str, xr.Dataset]:
    """Return the cases of a record, each with its own seeds, by name."""
    roles, about = json.loads(record.attrs["roles"]), json.loads(record.attrs["about"])
    found = {}
    for i, name in enumerate(map(str, record["case"].values)):
        one = record.isel(effect=np.flatnonzero(record["of_case"].values == i), case=i)
        kept = ~np.isnan(one["samples"].transpose("seed", "effect").values).any(axis=1)
        one = one.isel(seed=np.flatnonzero(kept)).drop_vars(["of_case", "case"])
        for by_seed in one.data_vars.keys() & {"samples", "gauge"}:
            one[by_seed] = one[by_seed].transpose("effect", "seed")
        found[name] = one.assign_attrs(role=roles[name], about=json.dumps(about[name], sort_keys=True))
    return found


def records(folder: Path | None = None) -> dict[str, xr.Dataset]:
    """Return what was recorded, by claim; empty where nothing was."""
    where = (locate.baselines_dir() / FOLDER) if folder is None else folder
    found = {}
    for claim in load_claims():
        path = where / f"{claim.id}.nc"
        if path.is_file():
            found[claim.id] = schema.validate(storage.read_dataset(path), "calibration", who=str(path))
    return found
