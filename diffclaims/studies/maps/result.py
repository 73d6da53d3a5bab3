"""The dataset of a map: assembled from its records, written once, read back and checked."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from diffclaims.errors import BaselineError
from diffclaims.storage import netcdf as storage
from diffclaims.storage.provenance import provenance
from diffclaims.studies.maps.plan import Plan

SCHEMA = "map"
SCHEMA_VERSION = 1
_REQUIRED = ("margin", "uncertainty", "verdict", "decided_by", "boundary", "boundary_uncertainty")
Records = Mapping[str, Mapping[str, Any]]


def grid_key(index: tuple[int, ...]) -> str:
    """Key of a point of the grid."""
    return "grid " + ",".join(map(str, index))


def point_key(index: int) -> str:
    """Key of a quasi-random point."""
    return f"point {index}"


def line_key(index: tuple[int, ...]) -> str:
    """Key of a line along which the boundary was searched."""
    return "line " + ",".join(map(str, index))


def assemble(plan: Plan, records: Records, *, command: str = "") -> xr.Dataset:
    """Return the dataset of a finished map.

    Parameters
    ----------
    plan : Plan
        What was asked for.
    records : mapping of str to dict
        What `evaluate_points` and `find_boundaries` returned, by key.
    command : str
        What computes it again.

    Returns
    -------
    xarray.Dataset
        ``margin``, ``uncertainty``, ``verdict`` and ``decided_by`` over the axes (or along ``point``, the
        axes being coordinates), and ``boundary`` with ``boundary_uncertainty`` and
        ``boundary_rising`` over the other axes and ``crossing``; NaN where there is no crossing.
    """
    dims, coords, line_dims = _layout(plan)
    keys = [point_key(i) for i in range(plan.points)] if plan.points else list(map(grid_key, _indices(plan)))
    found = [records[key] for key in keys]
    shape = (plan.points,) if plan.points else tuple(r.n for r in plan.ranges)
    axes = plan.axes

    def column(name: str, dtype: Any) -> np.ndarray:
        return np.array([r[name] for r in found], dtype=dtype).reshape(shape)

    dataset = xr.Dataset(
        {
            "margin": (dims, column("margin", float), {"units": "1", "long_name": axes.effect}),
            "uncertainty": (
                dims,
                column("uncertainty", float),
                {"units": "1", "long_name": "how far from zero the margin counts as decided"},
            ),
            "verdict": (dims, column("verdict", np.str_)),
            "decided_by": (dims, column("effect", np.str_), {"long_name": "effect of least margin"}),
            **_boundary(plan, records, line_dims),
        },
        coords=coords,
    )
    for r in plan.ranges:
        for name in (r.name, f"line_{r.name}"):
            if name in dataset.coords:
                dataset[name].attrs = {"long_name": axes[r.name].about, "scale": r.scale}
    fixed: dict[str, float | str] = {
        a.name: plan.at.get(a.name, a.default) for a in axes.axes if a.name not in plan.names
    }
    fixed |= {name: str(plan.at.get(name, allowed[0])) for name, allowed in axes.options.items()}
    reasons = sorted({str(r["reason"]) for r in found if r.get("reason")})
    evaluations = sum(r.get("evaluations", 0) for r in records.values())
    dataset.attrs = provenance(
        subject=plan.subject,
        schema=SCHEMA,
        schema_version=SCHEMA_VERSION,
        claim=plan.claim,
        says=plan.loaded_claim.says,
        plan=plan.to_json(),
        fixed=json.dumps(fixed),
        along=plan.along,
        points_measured=sum(k.startswith(("grid", "point")) for k in records) + evaluations,
        not_run=json.dumps(reasons),
        command=command,
    )
    return dataset


def _indices(plan: Plan) -> Iterator[tuple[int, ...]]:
    return np.ndindex(tuple(r.n for r in plan.ranges))


def _layout(plan: Plan) -> tuple[tuple[str, ...], dict[str, Any], tuple[str, ...]]:
    """Dimensions of the margin, all coordinates, and the dimensions of the lines that cross a boundary."""
    if plan.points:
        dims: tuple[str, ...] = ("point",)
        coords: dict[str, Any] = {
            name: ("point", plan.scattered()[:, i]) for i, name in enumerate(plan.names)
        }
        # The lines have coordinates of their own, since the points do not lie on them.
        line_dims = tuple(f"line_{r.name}" for r in plan.others)
    else:
        dims = plan.names
        coords = {r.name: r.values() for r in plan.ranges}
        line_dims = tuple(r.name for r in plan.others)
    lines = {dim: r.values() for dim, r in zip(line_dims, plan.others, strict=True)}
    return dims, coords | lines, line_dims


def _boundary(plan: Plan, records: Records, line_dims: tuple[str, ...]) -> dict[str, Any]:
    """The crossings of each line, NaN beyond the last one."""
    lines = tuple(r.n for r in plan.others)
    crossings = {i: records.get(line_key(i), {}).get("crossings", []) for i in np.ndindex(lines)}
    most = max([1, *map(len, crossings.values())])
    about = f"value of {plan.along} at which the margin changes sign"
    names = {
        "boundary": ("value", about),
        "boundary_uncertainty": ("uncertainty", f"uncertainty of the {about}"),
        "boundary_rising": ("rising", "1 where the margin rises through zero, 0 where it falls"),
    }
    out: dict[str, Any] = {}
    for variable, (name, text) in names.items():
        values = np.full((*lines, most), math.nan)
        for i, members in crossings.items():
            values[i][: len(members)] = [crossing[name] for crossing in members]
        out[variable] = ((*line_dims, "crossing"), values, {"long_name": text})
    return out


def read_map(path: Path) -> xr.Dataset:
    """Read a map.

    Raises
    ------
    BaselineError
        When the file is missing, damaged, or no map of this schema.
    """
    dataset = storage.read_dataset(Path(path))
    found = (dataset.attrs.get("schema"), dataset.attrs.get("schema_version"))
    if found != (SCHEMA, SCHEMA_VERSION) or any(name not in dataset for name in _REQUIRED):
        raise BaselineError(
            f"{path} has schema {found[0]!r} version {found[1]}; a map has {SCHEMA!r} version {SCHEMA_VERSION}, "
            "as 'diffclaims map' writes it"
        )
    return dataset
