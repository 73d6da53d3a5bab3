"""Read a small NetCDF file at once, straight from its HDF5 file.

Opening a file of few groups by xarray takes a tenth of a second or two, more than some cases take to be judged, and
a run opens one for each. Whatever is read here is held against the checksum; what does not match is read again by
xarray.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

#: Attributes by which NetCDF says what xarray says by dimensions and types.
_HIDDEN = frozenset(
    {"DIMENSION_LIST", "REFERENCE_LIST", "CLASS", "NAME", "DIMENSION_LABELS", "_FillValue", "coordinates"}
)
_NO_VARIABLE = "This is a netCDF dimension but not a netCDF variable"


def tree_of(path: Path) -> xr.DataTree:
    """Return the groups of a file, in memory."""
    groups: dict[str, xr.Dataset] = {}
    with h5py.File(path, "r") as file:
        _collect(file, groups)
    return xr.DataTree.from_dict(groups)


def _collect(group: Any, groups: dict[str, xr.Dataset]) -> None:
    variables: dict[str, tuple[tuple[str, ...], Any, dict[str, Any]]] = {}
    coordinates: set[str] = set()
    below = []
    for name, item in group.items():
        if isinstance(item, h5py.Group):
            below.append(item)
            continue
        attrs = dict(item.attrs)
        if _text(attrs.get("NAME", "")).startswith(_NO_VARIABLE):
            continue
        coordinates.update(_text(attrs.get("coordinates", "")).split())
        dims = _dims(item, name, attrs)
        variables[name] = (dims, _values(item, attrs), _shown(attrs))
        if dims == (name,):
            coordinates.add(name)
    found = dict(group.attrs)
    coordinates.update(_text(found.get("coordinates", "")).split())
    dataset = xr.Dataset(variables, attrs=_shown(found))
    groups[group.name] = dataset.set_coords([n for n in coordinates if n in variables])
    for item in below:
        _collect(item, groups)


def _dims(item: Any, name: str, attrs: dict[str, Any]) -> tuple[str, ...]:
    """Names of the dimensions of a variable, which lie in its file as references to their scales."""
    if "DIMENSION_LIST" in attrs:
        return tuple(item.file[refs[0]].name.rpartition("/")[2] for refs in attrs["DIMENSION_LIST"])
    return (name,) if item.ndim else ()


def _values(item: Any, attrs: dict[str, Any]) -> Any:
    values = np.asarray(item[()])
    if values.dtype.kind == "O":
        words = [_text(w) for w in values.ravel()]
        return np.array(words, dtype=np.str_).reshape(values.shape)
    return values.astype(bool) if _text(attrs.pop("dtype", "")) == "bool" else values


def _shown(attrs: dict[str, Any]) -> dict[str, Any]:
    return {
        k: _plain(v)
        for k, v in attrs.items()
        if k not in _HIDDEN and not k.startswith(("_Netcdf4", "_nc")) and k != "_NCProperties"
    }


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return value[0] if isinstance(value, np.ndarray) and value.shape == (1,) else value


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
