"""Recorded results of every case: read, compare, update.

``<baselines>/<subject>/<claim>/<case>.nc`` holds a tree: ``/measurement/<name>`` what was measured,
``/verdict`` the effects, ``/config`` the experiments and the command that records it again, and
provenance in the attributes of the root.

The tolerance of a comparison comes from what both runs say about themselves, never from a number
chosen here: the stored accuracy, and as many standard errors as three sigma are with few seeds.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from diffclaims.api.case import CaseResult
from diffclaims.errors import BaselineError
from diffclaims.storage import netcdf as storage
from diffclaims.storage.groups import Group
from diffclaims.storage.paths import inside, sanitized
from diffclaims.storage.provenance import provenance
from diffclaims.storage.recordings import RECORDING, compact
from diffclaims.storage.storable import named
from diffclaims.suite.difference import MEASURED, Difference, compare

SCHEMA = "baseline"
SCHEMA_VERSION = 1
#: Dimensions along which measurements are smooth, and how many points of them are kept.
_SMOOTH = ("training_time", "diffusion_time")
MOST_POINTS = 50
#: Attributes of a measurement that the root of the tree or the group `config` has.
_ELSEWHERE = (
    *("subject", "diffclaims_version", "numpy_version", "scipy_version", "python_version", "commit", "dirty"),
    *("created_at", "seeds", "device", "dtype", "experiment", "experiment_key", "schema_version"),
)


_GROUPS = ("measurement", "verdict", "config")


def path_of(folder: Path, subject: str, claim_id: str, case: str) -> Path:
    """Return the file of one case."""
    return folder / sanitized(subject) / sanitized(claim_id) / f"{sanitized(case)}.nc"


def has_baselines(folder: Path, subject: str) -> bool:
    """Whether anything is kept for a subject; if so, a missing case is an error."""
    return (folder / sanitized(subject)).is_dir()


def to_groups(result: CaseResult, *, command: str = "") -> dict[str, Group]:
    """Return a result as it is stored.

    Parameters
    ----------
    result : CaseResult
        A measured one.
    command : str
        What records it again.
    """
    if result.verdict is None:
        raise BaselineError(f"{_label(result)} was not run ({result.reason}); there is nothing to record")
    case = result.case
    config = {
        "claim": result.claim_id,
        "case": case.name,
        "role": str(case.role),
        "expect": json.dumps(sorted(case.expect)),
        "note": case.note,
        "params": json.dumps(dict(case.params), sort_keys=True),
        "experiments": json.dumps({k: json.loads(e.to_json()) for k, e in case.experiments.items()}),
        "command": command,
    }
    attrs = provenance(subject=result.subject, schema=SCHEMA, schema_version=SCHEMA_VERSION)
    for attribute in ("seeds", "device", "dtype"):
        said = [d.attrs[attribute] for d in result.data.values() if attribute in d.attrs]
        if said:
            attrs[attribute] = said[0]
    for name in result.data:
        named(f"{_label(result)}: the measurement", name)
    measured = {f"{MEASURED}{name}": Group.of(_slim(dataset)) for name, dataset in result.data.items()}
    return {
        "/": Group({}, attrs),
        MEASURED.rstrip("/"): Group({}, {}),
        **measured,
        "/verdict": _verdict_group(result),
        "/config": Group({}, config),
    }


def _slim(dataset: xr.Dataset) -> xr.Dataset:
    """What a comparison needs of a measurement: a baseline is kept for ever, in every checkout.

    Smooth curves at some of their times, and the provenance as one attribute: HDF5 spends
    kilobytes on each group with more than eight of them.
    """
    if RECORDING in dataset.attrs:
        # Kept, with a checksum, beside the baselines; the verdict is what can change.
        return xr.Dataset(attrs={RECORDING: dataset.attrs[RECORDING]})
    if dataset.attrs.get("schema") == "speciation":
        dataset = compact(dataset)
    for dim in _SMOOTH:
        step = -(-dataset.sizes.get(dim, 0) // MOST_POINTS)
        if step > 1:
            dataset = dataset.isel({dim: slice(None, None, step)})
    kept = {k: dataset.attrs[k] for k in ("accuracy", "accuracy_relative", "schema") if k in dataset.attrs}
    rest = {k: v for k, v in dataset.attrs.items() if k not in (*kept, *_ELSEWHERE)}
    slim = dataset.copy()
    slim.attrs = {**kept, "attributes": json.dumps(rest, sort_keys=True, default=str)}
    return slim


def _verdict_group(result: CaseResult) -> Group:
    assert result.verdict is not None
    effects = result.verdict.effects
    names: list[str] = []
    for effect in effects:
        same = sum(n == effect.name or n.startswith(f"{effect.name} #") for n in names)
        names.append(f"{effect.name} #{same + 1}" if same else effect.name)
    columns = {
        "value": [e.value for e in effects],
        "threshold": [e.threshold for e in effects],
        "stderr": [e.stderr for e in effects],
        "accuracy": [e.accuracy for e in effects],
        "n_seeds": [e.n_seeds for e in effects],
        "outcome": [str(e.outcome) for e in effects],
        "effect": names,
    }
    return Group(
        {name: (("effect",), np.array(values), {}) for name, values in columns.items()},
        {"outcome": str(result.outcome), "sentence": result.sentence()},
        frozenset({"effect"}),
    )


def read(path: Path) -> Mapping[str, Group]:
    """Read one baseline.

    Raises
    ------
    BaselineError
        When it is missing, truncated, changed by hand, or written by another version of the schema.
    """
    groups = storage.read_once(path)
    found = tuple(groups["/"].attrs.get(key) for key in ("schema", "schema_version"))
    if found != (SCHEMA, SCHEMA_VERSION) or any(f"/{g}" not in groups for g in _GROUPS):
        raise BaselineError(
            f"{path} has schema {found[0]!r} version {found[1]}; this version reads {SCHEMA!r} version "
            f"{SCHEMA_VERSION} with the groups {', '.join(_GROUPS)}; record it again"
        )
    return groups


def check(
    result: CaseResult,
    *,
    folder: Path,
    obtained: Path,
    command: str,
    required: bool = False,
    shipped: Path | None = None,
) -> str:
    """Compare one result with its baseline.

    Parameters
    ----------
    result : CaseResult
        What came out now.
    folder : path
        The baselines.
    obtained : path
        Where to leave the new result when it differs, for a closer look; never among the baselines.
    command : str
        What records this case again, for the message; without ``--baselines=update``.
    required : bool
        Whether a subject without any baselines is an error, too.
    shipped : path, optional
        Other baselines, read for a case that `folder` does not have.

    Returns
    -------
    str
        A remark for the report: empty after a comparison, else why there was none.

    Raises
    ------
    BaselineMissing
        When there is no baseline.
    BaselineError
        When it is unusable or differs.
    """
    path = own = inside(path_of(folder, result.subject, result.claim_id, result.case.name), folder)
    if shipped is not None and not own.exists() and (other := shipped / own.relative_to(folder)).is_file():
        path = other
    again = f"{command} --baselines=update"
    if result.verdict is None:
        if path.is_file():
            raise BaselineError(
                f"{_label(result)} has a baseline, {shown(path)}, but was not run: {result.reason}"
            )
        return ""
    if not required and not has_baselines(folder, result.subject):
        return f"no baselines are kept for {result.subject} in {shown(folder)}: nothing was compared"
    groups = to_groups(result, command=again)
    kind: type[BaselineError] = BaselineError
    try:
        stored = read(path)
        differences = compare(stored, groups)
        if not differences:
            return ""
        problem = f"differs from {shown(path)} ({_made(stored)})\n  {_listed(differences)}"
    except BaselineError as error:
        kind, problem = type(error), str(error).replace(str(path), shown(path))
    left = obtained / own.relative_to(folder)
    try:
        storage.write(left, groups)
        where = shown(left)
    except (BaselineError, OSError) as error:  # what differs matters more than where to look closer
        where = f"not kept: {error}"
    raise kind(f"{problem}\nobtained: {where}\nif intended:\n  {again}")


def _made(stored: Mapping[str, Group]) -> str:
    """Provenance in a few words."""
    attrs = stored["/"].attrs
    commit = f", commit {str(attrs['commit'])[:10]}" if attrs.get("commit") else ""
    return (
        f"schema {attrs['schema_version']}, made {attrs.get('created_at')} by diffclaims "
        f"{attrs.get('diffclaims_version')}{commit}, device {attrs.get('device')}"
    )


def _listed(differences: list[Difference], most: int = 8) -> str:
    lines = [str(d) for d in differences[:most]]
    if len(differences) > most:
        lines.append(f"... and {len(differences) - most} more")
    return "\n  ".join(lines)


@dataclass(frozen=True)
class Update:
    """What an update did to one file."""

    path: Path
    written: bool
    text: str


def update(result: CaseResult, *, folder: Path, command: str) -> Update:
    """Record one result, if it is another one than was recorded, beyond rounding and provenance.

    The old file stays whole until the new one is complete. Nothing is ever deleted: what was not run
    keeps its old file.

    Raises
    ------
    BaselineError
        When the file cannot be written.
    """
    path = inside(path_of(folder, result.subject, result.claim_id, result.case.name), folder)
    if result.verdict is None:
        return Update(path, False, f"not run, left as it was: {result.reason}")
    groups = to_groups(result, command=f"{command} --baselines=update")
    text = "new"
    if path.exists():
        try:
            differences = compare(read(path), groups, exactly=True)
        except BaselineError as error:
            text = f"replaced, for it was not usable: {str(error).replace(str(path), path.name)}"
        else:
            if not differences:
                return Update(path, False, "unchanged")
            finite = [d for d in differences if math.isfinite(d.size)]
            text = f"largest change: {max(finite, key=lambda d: d.size) if finite else differences[0]}"
            others = len(differences) - 1
            text += f" (and {others} other variables)" if others else ""
    storage.write(path, groups)
    return Update(path, True, text)


def _label(result: CaseResult) -> str:
    return f"{result.claim_id}[{result.case.name}] on {result.subject}"


def shown(path: Path) -> str:
    """The path as seen from here, if that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)
