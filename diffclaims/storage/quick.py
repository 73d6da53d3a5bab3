"""Read a small NetCDF file at once, straight from its HDF5 file: one that has no index.

Opening a file of few groups by xarray takes a tenth of a second or two, more than most cases take to be judged, and a
run opens one for each; h5py's own objects take a fifth of that. Here the library's calls are made directly, and what
only the library itself needs is not read. Whatever is read is held against the checksum; what does not match is read
again by xarray.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from h5py import h5a, h5d, h5f, h5g, h5o, h5r, h5s, h5t
from numpy.typing import NDArray

from diffclaims.storage.groups import Group

#: Attributes that say what dimensions and types say, or keep the book for the library.
_UNREAD = frozenset({"REFERENCE_LIST", "CLASS", "DIMENSION_LABELS", "DIMENSION_LIST", "_FillValue"})
_HIDDEN = frozenset({"NAME", "coordinates"})
_PREFIXES = ("_Netcdf4", "_nc", "_NC")
#: Numbers of a variable's dimensions, and of the dimension that a scale is, read where sizes do not tell: references
#: to the scales say the same, by a search of the file for each.
_OF_DIMS, _DIM = b"_Netcdf4Coordinates", b"_Netcdf4Dimid"
#: Words of any length, as they are in memory.
_WORD = h5t.py_create(h5t.string_dtype())
_NO_VARIABLE = "This is a netCDF dimension but not a netCDF variable"


def groups_of(content: bytes) -> dict[str, Group]:
    """Return the groups of a file, of which this is the content, by their paths in it, "/" first."""
    groups: dict[str, Group] = {}
    file = h5f.open_file_image(content)
    try:
        _collect(file, h5g.open(file, b"/"), "/", groups, ())
    finally:
        file.close()
    return groups


@dataclass(frozen=True)
class _Scale:
    """A dimension: its name, the size it has, and where the file keeps it."""

    name: str
    size: int
    item: Any

    @cached_property
    def number(self) -> int | None:
        """Its number in the file, if it has one."""
        return int(_attribute(h5a.open(self.item, _DIM))) if h5a.exists(self.item, _DIM) else None


def _collect(file: Any, group: Any, path: str, groups: dict[str, Group], above: tuple[_Scale, ...]) -> None:
    found, variables, below, items = _attributes(group, _keys(group)), {}, [], []
    coordinates = set(found.get("coordinates", "").split())
    scales = list(above)
    for key in group:
        name, item = key.decode(), h5o.open(group, key)
        if not isinstance(item, h5d.DatasetID):
            below.append((name, item))
            continue
        keys, shape = _keys(item), item.shape
        items.append((name, item, keys, shape))
        if b"CLASS" in keys and shape:
            scales.append(_Scale(name, shape[0], item))
    by_size: dict[int, set[str]] = {}
    for scale in scales:
        by_size.setdefault(scale.size, set()).add(scale.name)
    for name, item, keys, shape in items:
        attrs = _attributes(item, keys)
        if attrs.get("NAME", "").startswith(_NO_VARIABLE):
            continue
        values = _values(item, shape, attrs)
        coordinates.update(attrs.get("coordinates", "").split())
        is_scale = b"CLASS" in keys and len(shape) == 1
        dims = (name,) if is_scale else _dims(file, item, keys, shape, scales, by_size)[: values.ndim]
        dims = dims or (name,) * values.ndim
        if dims == (name,):
            coordinates.add(name)
        variables[name] = (dims, values, _shown(attrs))
    groups[path] = Group(variables, _shown(found), frozenset(coordinates & variables.keys()))
    for name, item in below:
        _collect(file, item, f"{path.rstrip('/')}/{name}", groups, tuple(scales))


def _dims(
    file: Any,
    item: Any,
    keys: list[bytes],
    shape: tuple[int, ...],
    scales: list[_Scale],
    by_size: Mapping[int, set[str]],
) -> tuple[str, ...]:
    """Names of the dimensions of a variable; none where the file says nothing of them."""
    # A size that one dimension alone has names it: to look its number up takes longer than all else of a variable.
    fitting = [by_size.get(size, ()) for size in shape]
    if all(len(names) == 1 for names in fitting):
        return tuple(next(iter(names)) for names in fitting)
    if _OF_DIMS in keys:
        named = {scale.number: scale.name for scale in scales if scale.size in shape}
        return tuple(named[int(i)] for i in np.atleast_1d(_attribute(h5a.open(item, _OF_DIMS))))
    if b"DIMENSION_LIST" in keys:
        references = _attribute(h5a.open(item, b"DIMENSION_LIST"))
        return tuple(h5r.get_name(refs[0], file).decode().rpartition("/")[2] for refs in references)
    return ()


def _values(item: Any, shape: tuple[int, ...], attrs: dict[str, Any]) -> NDArray[Any]:
    values: NDArray[Any] = np.empty(shape, item.dtype)
    if values.size:
        item.read(h5s.ALL, h5s.ALL, values)
    if values.dtype == "S1" and values.size and "_Encoding" in attrs:
        # Words as characters: the last dimension is theirs.
        values = values.view(f"S{values.shape[-1]}")[..., 0].astype(object)
        attrs.pop("_Encoding")
    if values.dtype.kind == "O":
        return np.array([w.decode() for w in values.ravel()], dtype=np.str_).reshape(values.shape)
    return values.astype(bool) if attrs.pop("dtype", "") == "bool" else values


def _keys(item: Any) -> list[bytes]:
    keys: list[bytes] = []
    h5a.iterate(item, keys.append)
    return keys


def _attributes(item: Any, keys: list[bytes]) -> dict[str, Any]:
    return {name: _attribute(h5a.open(item, key)) for key in keys if (name := _read_as(key))}


@lru_cache(maxsize=1024)
def _read_as(key: bytes) -> str:
    """Name of an attribute that is read, else nothing; there are few different ones."""
    name = key.decode()
    return "" if name in _UNREAD or name.startswith(_PREFIXES) else name


def _attribute(attribute: Any) -> Any:
    kind = attribute.get_type()
    if isinstance(kind, h5t.TypeStringID) and kind.is_variable_str():
        # Most attributes are a word: one type in memory serves all of them.
        value: NDArray[Any] = np.empty(attribute.shape, object)
        attribute.read(value, _WORD)
        if value.ndim == 0:
            word: Any = value[()]
            return word if isinstance(word, str) else word.decode()
    else:
        value = np.empty(attribute.shape, kind.dtype)
        attribute.read(value)
    if value.dtype.kind not in "OS":
        return value.reshape(-1)[0] if value.size == 1 else value
    parts = [v.decode() if isinstance(v, bytes) else v for v in value.reshape(-1)]
    return parts[0] if len(parts) == 1 and isinstance(parts[0], str) else parts


def _shown(attrs: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in attrs.items() if k not in _HIDDEN}
