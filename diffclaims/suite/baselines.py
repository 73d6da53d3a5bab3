"""Recorded results of every case: read, compare, update.

``<baselines>/<subject>/<claim>/<case>.nc`` holds a tree: ``/measurement/<name>`` what was measured,
``/verdict`` the effects, ``/config`` the experiments and the command that records it again, and
provenance in the attributes of the root.

The tolerance of a comparison comes from what both runs say about themselves, never from a number
chosen here: the stored accuracy, and as many standard errors as the verdict rule asks for.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from diffclaims.api.case import CaseResult
from diffclaims.api.verdict import quantile
from diffclaims.errors import BaselineError
from diffclaims.storage import netcdf as storage
from diffclaims.storage.provenance import provenance
from diffclaims.storage.recordings import RECORDING, compact

SCHEMA = "baseline"
SCHEMA_VERSION = 1
#: What the same computation gives on another machine, relative to the largest value of a variable.
ROUNDING = 1e-9
#: Dimensions along which measurements are smooth, and how many points of them are kept.
_SMOOTH = ("training_time", "diffusion_time")
MOST_POINTS = 50
#: Attributes of a measurement that the root of the tree or the group `config` has.
_ELSEWHERE = (
    *("subject", "diffclaims_version", "numpy_version", "scipy_version", "python_version", "commit", "dirty"),
    *("created_at", "seeds", "device", "dtype", "experiment", "experiment_key", "schema_version"),
)
_GROUPS = ("measurement", "verdict", "config")
_LOST = "is recorded, but was not measured"
_ADDED = "was measured, but is not recorded"

Floats = NDArray[np.float64]


def sanitized(name: str) -> str:
    """Return a name as a file name, different for different names on any file system."""
    safe = re.sub(r"[^A-Za-z0-9._=+-]+", "_", name)
    # Names that had to be changed could now be equal, as could names that differ only in case.
    if safe == name and safe == safe.lower() and safe[0] not in ".-" and len(safe) <= 80:
        return safe
    return f"{safe[:60].lstrip('.-')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def path_of(folder: Path, subject: str, claim_id: str, case: str) -> Path:
    """Return the file of one case."""
    return folder / sanitized(subject) / sanitized(claim_id) / f"{sanitized(case)}.nc"


def has_baselines(folder: Path, subject: str) -> bool:
    """Whether anything is kept for a subject; if so, a missing case is an error."""
    return (folder / sanitized(subject)).is_dir()


def to_tree(result: CaseResult, *, command: str = "") -> xr.DataTree:
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
    groups = {f"/measurement/{name}": _slim(dataset) for name, dataset in result.data.items()}
    groups["/verdict"] = _verdict_dataset(result)
    groups["/config"] = xr.Dataset(attrs=config)
    groups.setdefault("/measurement", xr.Dataset())
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = provenance(subject=result.subject, schema=SCHEMA, schema_version=SCHEMA_VERSION)
    for attribute in ("seeds", "device", "dtype"):
        said = [d.attrs[attribute] for d in result.data.values() if attribute in d.attrs]
        if said:
            tree.attrs[attribute] = said[0]
    return tree


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


def _verdict_dataset(result: CaseResult) -> xr.Dataset:
    assert result.verdict is not None
    effects = result.verdict.effects
    names: list[str] = []
    for effect in effects:
        same = sum(n == effect.name or n.startswith(f"{effect.name} #") for n in names)
        names.append(f"{effect.name} #{same + 1}" if same else effect.name)
    return xr.Dataset(
        {
            "value": ("effect", [e.value for e in effects]),
            "threshold": ("effect", [e.threshold for e in effects]),
            "stderr": ("effect", [e.stderr for e in effects]),
            "accuracy": ("effect", [e.accuracy for e in effects]),
            "n_seeds": ("effect", [e.n_seeds for e in effects]),
            "outcome": ("effect", [str(e.outcome) for e in effects]),
        },
        coords={"effect": names},
        attrs={"outcome": str(result.outcome), "sentence": result.sentence()},
    )


def read(path: Path) -> xr.DataTree:
    """Read one baseline.

    Raises
    ------
    BaselineError
        When it is missing, truncated, changed by hand, or written by another version of the schema.
    """
    tree = storage.read(path)
    found = (tree.attrs.get("schema"), tree.attrs.get("schema_version"))
    if found[0] != SCHEMA or found[1] != SCHEMA_VERSION or any(g not in tree.children for g in _GROUPS):
        raise BaselineError(
            f"{path} has schema {found[0]!r} version {found[1]}; this version reads {SCHEMA!r} version "
            f"{SCHEMA_VERSION} with the groups {', '.join(_GROUPS)}; record it again"
        )
    return tree


@dataclass(frozen=True)
class Difference:
    """One variable that is not what was recorded."""

    what: str
    text: str
    #: Largest absolute difference; infinite where two things cannot be compared.
    size: float = math.inf

    def __str__(self) -> str:
        return f"{self.what}: {self.text}"


def compare(stored: xr.DataTree, obtained: xr.DataTree, *, exactly: bool = False) -> list[Difference]:
    """Return what differs, beyond the tolerance that both runs state.

    Parameters
    ----------
    stored, obtained : DataTree
        As `to_tree` gives them.
    exactly : bool
        Allow rounding only, to find out whether a file needs to be written again.
    """
    found: list[Difference] = []
    for key in ("experiments", "params"):
        old, new = (json.loads(t["config"].attrs.get(key, "{}")) for t in (stored, obtained))
        found += [
            Difference(f"config.{key}", f"{name} is another one than was recorded")
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
        ]
    if exactly:
        found += [
            Difference(f"config.{key}", "changed")
            for key in ("role", "expect", "note", "command")
            if stored["config"].attrs.get(key) != obtained["config"].attrs.get(key)
        ]
    found += _compare_verdicts(stored, obtained, exactly)
    old_names, new_names = (
        set(stored.children["measurement"].children),
        set(obtained.children["measurement"].children),
    )
    found += [Difference(f"measurement.{n}", _LOST) for n in old_names - new_names]
    found += [Difference(f"measurement.{n}", _ADDED) for n in new_names - old_names]
    for name in sorted(old_names & new_names):
        old_data, new_data = (
            t.children["measurement"].children[name].to_dataset(inherit=False) for t in (stored, obtained)
        )
        found += _compare_datasets(name, old_data, new_data, exactly)
    return found


def _compare_verdicts(stored: xr.DataTree, obtained: xr.DataTree, exactly: bool) -> list[Difference]:
    old, new = (t.children["verdict"].to_dataset(inherit=False) for t in (stored, obtained))
    found: list[Difference] = []
    if old.attrs["outcome"] != new.attrs["outcome"]:
        found.append(
            Difference(
                "verdict",
                f"was {old.attrs['outcome']}, is {new.attrs['outcome']}"
                f"\n      was: {old.attrs.get('sentence')}\n      is:  {new.attrs.get('sentence')}",
            )
        )
    names = [[str(n) for n in d["effect"].values] for d in (old, new)]
    if names[0] != names[1]:
        return [*found, Difference("verdict.effect", f"was {names[0]}, is {names[1]}")]
    errors = [
        np.array([quantile(int(n)) * s if s else 0.0 for n, s in zip(d["n_seeds"], d["stderr"], strict=True)])
        for d in (old, new)
    ]
    none = np.zeros(len(names[0]))
    accuracy = old["accuracy"].values + np.minimum(old["accuracy"].values, new["accuracy"].values)
    allowed = none if exactly else accuracy + np.hypot(*errors)
    found += _compare_arrays("verdict.value", old["value"], new["value"], allowed, "both runs")
    for name in ("threshold", "stderr", "accuracy", "n_seeds") if exactly else ("threshold",):
        found += _compare_arrays(f"verdict.{name}", old[name], new[name], none, "")
    return found


def _compare_datasets(group: str, old: xr.Dataset, new: xr.Dataset, exactly: bool) -> list[Difference]:
    found: list[Difference] = []
    for name in sorted(map(str, old.variables.keys() | new.variables.keys())):
        what = f"{group}.{name}"
        if name not in new.variables or name not in old.variables:
            found.append(Difference(what, _LOST if name in old.variables else _ADDED))
            continue
        if name == "seed" and not exactly:
            continue  # other seeds are another sample of the same thing
        if name.endswith("_stderr") and not exactly:
            continue  # an estimated error is what the tolerance is made of
        a, b = old[name], new[name]
        if exactly:
            accuracy, how = np.zeros(()), "rounding"
        else:
            a, error_a, n_a = _mean_and_error(old, name)
            b, error_b, n_b = _mean_and_error(new, name)
            accuracy, how = _accuracy(old, new, name)
            if error_a is not None and error_b is not None and error_a.shape == error_b.shape:
                accuracy = accuracy + np.hypot(quantile(n_a) * error_a, quantile(n_b) * error_b)
                how = f"{quantile(min(n_a, n_b)):.3g} s.e. of both runs" + (f", {how}" if how else "")
            elif error_a is not None or error_b is not None:
                how = f"{how}, one seed has no standard error" if how else "one seed has no standard error"
        found += _compare_arrays(what, a, b, accuracy, how or "rounding: no accuracy was stated")
    return found


def _mean_and_error(dataset: xr.Dataset, name: str) -> tuple[xr.DataArray, Floats | None, int]:
    """The variable, its standard error if it states one, and the number of seeds (0: error known)."""
    array = dataset[name]
    if "seed" in array.dims and array.dtype.kind in "fiu":
        n = array.sizes["seed"]
        mean = array.mean("seed", keep_attrs=True, skipna=False)
        if n < 2:
            return mean, None, n
        values = np.asarray(array.transpose("seed", ...).values, dtype=np.float64)
        with np.errstate(invalid="ignore"):
            error = values.std(axis=0, ddof=1) / math.sqrt(n)
        # The spread of infinite values is not a number; equal ones have none.
        equal = (values == values[0]).all(axis=0)
        return mean, np.where(equal, 0.0, np.where(np.isnan(error), 0.0, error)), n
    if f"{name}_stderr" in dataset:
        return array, np.asarray(dataset[f"{name}_stderr"].values, dtype=np.float64), 0
    return array, None, 0


def _accuracy(old: xr.Dataset, new: xr.Dataset, name: str) -> tuple[Floats, str]:
    """Numerical accuracy of both runs together, and where it comes from.

    A run may not widen its own tolerance: it counts for no more than what was recorded.
    """

    def stated(dataset: xr.Dataset, key: str) -> float:
        own = dataset[name].attrs.get(key)
        if own is None and name in dataset.data_vars:
            own = dataset.attrs.get(key)
        return float(own) if own is not None else 0.0

    total = np.zeros(())
    for key in ("accuracy", "accuracy_relative"):
        a, b = stated(old, key), stated(new, key)
        allowed = a + min(a, b)
        if allowed:
            values = np.abs(np.asarray(old[name].values, dtype=np.float64))
            scale = values if key == "accuracy_relative" else np.ones(())
            finite = np.where(np.isfinite(scale), scale, 0.0)
            if "seed" in old[name].dims and finite.ndim:
                finite = finite.mean(axis=old[name].dims.index("seed"))
            total = total + allowed * finite
    return np.asarray(total), "stated accuracy of both runs" if total.any() else ""


def _compare_arrays(
    what: str, a: xr.DataArray, b: xr.DataArray, allowed: Floats, how: str
) -> list[Difference]:
    if a.dims != b.dims or a.shape != b.shape:
        return [Difference(what, f"has sizes {dict(b.sizes)}; recorded were {dict(a.sizes)}")]
    x, y = np.asarray(a.values), np.asarray(b.values)
    if x.dtype.kind not in "fiub" or y.dtype.kind not in "fiub":
        differ = np.asarray([str(v) for v in x.ravel()]) != np.asarray([str(v) for v in y.ravel()])
        if not differ.any():
            return []
        i = int(np.argmax(differ))
        return [Difference(what, f"was {x.ravel()[i]!s}, is {y.ravel()[i]!s} ({int(differ.sum())} differ)")]
    x, y = x.astype(np.float64), y.astype(np.float64)
    with np.errstate(invalid="ignore"):
        off = np.abs(x - y)
    off = np.where((x == y) | (np.isnan(x) & np.isnan(y)), 0.0, np.where(np.isnan(off), np.inf, off))
    finite = np.abs(x[np.isfinite(x)])
    tolerance = np.broadcast_to(allowed + ROUNDING * finite.max(initial=0.0), off.shape)
    beyond = off > tolerance
    if not beyond.any():
        return []
    at = np.unravel_index(int(np.argmax(np.where(beyond, off, -1.0))), off.shape)
    where = ", ".join(f"{d}={_coordinate(a, str(d), k)}" for d, k in zip(a.dims, at, strict=True))
    text = (
        f"{int(beyond.sum())} of {off.size} values differ, max |diff| = {off[at]:.3g} > {tolerance[at]:.2g}"
        f"{f' at {where}' if where else ''}, was {x[at]:.6g}, is {y[at]:.6g}{f' ({how})' if how else ''}"
    )
    return [Difference(what, text, float(off[at]))]


def _coordinate(array: xr.DataArray, dim: str, index: Any) -> str:
    if dim not in array.coords:
        return str(int(index))
    value = array.coords[dim].values[index]
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)


def check(result: CaseResult, *, folder: Path, obtained: Path, command: str, required: bool = False) -> str:
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
    path = path_of(folder, result.subject, result.claim_id, result.case.name)
    again = f"{command} --baselines=update"
    if result.verdict is None:
        if path.is_file():
            raise BaselineError(
                f"{_label(result)} has a baseline, {shown(path)}, but was not run: {result.reason}"
            )
        return ""
    if not required and not has_baselines(folder, result.subject):
        return f"no baselines are kept for {result.subject}: nothing was compared"
    tree = to_tree(result, command=again)
    kind: type[BaselineError] = BaselineError
    try:
        stored = read(path)
        differences = compare(stored, tree)
        if not differences:
            return ""
        problem = f"differs from {shown(path)} ({_made(stored)})\n  {_listed(differences)}"
    except BaselineError as error:
        kind, problem = type(error), str(error).replace(str(path), shown(path))
    left = obtained / path.relative_to(folder)
    storage.write(left, tree)
    raise kind(f"{problem}\nobtained: {shown(left)}\nif intended:\n  {again}")


def _made(tree: xr.DataTree) -> str:
    """Provenance in a few words."""
    attrs = tree.attrs
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
    path = path_of(folder, result.subject, result.claim_id, result.case.name)
    if result.verdict is None:
        return Update(path, False, f"not run, left as it was: {result.reason}")
    tree = to_tree(result, command=f"{command} --baselines=update")
    text = "new"
    if path.exists():
        try:
            differences = compare(read(path), tree, exactly=True)
        except BaselineError as error:
            text = f"replaced, for it was not usable: {str(error).replace(str(path), path.name)}"
        else:
            if not differences:
                return Update(path, False, "unchanged")
            finite = [d for d in differences if math.isfinite(d.size)]
            text = f"largest change: {max(finite, key=lambda d: d.size) if finite else differences[0]}"
            others = len(differences) - 1
            text += f" (and {others} other variables)" if others else ""
    storage.write(path, tree)
    return Update(path, True, text)


def _label(result: CaseResult) -> str:
    return f"{result.claim_id}[{result.case.name}] on {result.subject}"


def shown(path: Path) -> str:
    """The path as seen from here, if that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)
