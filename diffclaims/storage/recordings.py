"""What a subject answered, one file an experiment and kind, and what such files need not repeat."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from diffclaims.problem.arguments import checked
from diffclaims.problem.experiment import Experiment
from diffclaims.storage import netcdf as storage
from diffclaims.storage import schema
from diffclaims.storage.groups import Group, Variable
from diffclaims.storage.paths import inside

Floats = NDArray[np.float64]

#: Attribute of a dataset that was played back: the file that holds it.
RECORDING = "recording"
SUFFIX = {"curves": "", "speciation": "-speciation", "spectrum": "-spectrum"}


def path_of(folder: Path, experiment: Experiment, kind: str) -> Path:
    """Return the file of one measurement of one experiment in a folder of recordings."""
    return folder / f"{experiment.key}{SUFFIX[kind]}.nc"


@checked
def record(folder: Path, experiment: Experiment, dataset: xr.Dataset, *, name: str = "") -> Path:
    """Store one measured dataset where `Recorded` finds it.

    Parameters
    ----------
    folder : path
        The folder of recordings of a subject or of one campaign.
    experiment : Experiment
        What was asked; stored as JSON in the attributes.
    dataset : xarray.Dataset
        Stamped (`diffclaims.storage.schema.stamp`) as "curves", "speciation" or "spectrum".
    name : str
        How the experiment is called in `Recorded.experiments`; its key by default.

    Returns
    -------
    path
        The file, written atomically.
    """
    kind = str(dataset.attrs.get("schema", ""))
    schema.validate(dataset, kind, who="the recording")
    attrs: dict[str, str] = {"experiment": experiment.to_json(), "experiment_key": experiment.key}
    if name:
        attrs["experiment_name"] = name
    if kind == "speciation":
        dataset = compact(dataset)
    path = inside(path_of(folder, experiment, kind), folder)
    # Seeds scatter by far more than single precision rounds, and recordings live in every checkout.
    small = {
        str(n): v.astype(np.float32)
        for n, v in dataset.data_vars.items()
        if "seed" in v.dims and v.dtype.kind == "f"
    }
    storage.write(path, dataset.assign(small).assign_attrs(attrs))
    return path


def compact(dataset: xr.Dataset) -> xr.Dataset:
    """Leave out of a "speciation" dataset of two classes what its return probabilities say already.

    Of two classes, the U-turns that do not return end in the other: ``transition`` and its errors, and those of
    variables that share the end of the name, follow from ``return_probability``. For files that are kept. What
    `complete` would not put back as it is, to single precision, stays.
    """
    if dataset.sizes.get("class") != 2:
        return dataset
    said = [str(n) for n in dataset.data_vars if "transition" in str(n)]
    again = complete(dataset.drop_vars([*said, "to_class"], errors="ignore"))
    wrong = [n for n in said if n not in again or not _close(again[n], dataset[n])]
    # The dimension goes with the last variable that has it.
    rest = dataset.drop_vars([n for n in said if n not in wrong])
    return rest if wrong else rest.drop_vars("to_class", errors="ignore")


def _close(a: xr.DataArray, b: xr.DataArray) -> bool:
    return np.allclose(a.transpose(*b.dims), b, rtol=0, atol=1e-6, equal_nan=True)


def complete(dataset: xr.Dataset) -> xr.Dataset:
    """Put back what `compact` left out."""
    group = Group.of(dataset)
    whole = completed(group)
    return dataset if whole is group else whole.dataset()


def completed(group: Group) -> Group:
    """As `complete`, of a group: before it is a dataset this takes a tenth of the time."""
    if "class" not in group.variables or group.values("class").size != 2:
        return group
    found: dict[str, Variable] = {}
    for name, (dims, values, _) in group.variables.items():
        to = name.replace("return_probability", "transition")
        if "return_probability" in name and to not in group.variables:
            last = ("class", "diffusion_time")
            rest = [d for d in dims if d not in last]
            own = values.transpose([dims.index(d) for d in (*rest, *last)])
            other = own if to.endswith("_stderr") else 1.0 - own
            pairs = np.stack([np.stack([a, b], axis=-2) for a, b in _rows(own, other)], axis=-3)
            attrs = {"units": "1", "long_name": "of two classes, from the return probability"}
            found[to] = ((*rest, "class", "to_class", "diffusion_time"), pairs, attrs)
    if not found:
        return group
    found["to_class"] = (("to_class",), group.values("class"), {})
    return Group(group.variables | found, group.attrs, group.coordinates | {"to_class"})


def _rows(own: Floats, other: Floats) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
    """Of two classes: from the first to (first, second), from the second to (first, second)."""
    return (own[..., 0, :], other[..., 0, :]), (other[..., 1, :], own[..., 1, :])
