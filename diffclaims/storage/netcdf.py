"""One way to write and read a stored result: atomically, with a checksum of its contents.

The checksum covers values, coordinates and attributes, not the bytes of the file, so that another
version of the HDF5 library does not invalidate it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from diffclaims.errors import BaselineError, BaselineMissing
from diffclaims.storage.files import write_atomic
from diffclaims.storage.quick import Group, groups_of, tree_of

CHECKSUM = "checksum"
#: One attribute that holds, as JSON, all but the first few of a group with many: from the ninth on
#: HDF5 spends kilobytes on each group. `read` puts them back.
PACKED = "more_attributes"
#: Attributes that stay visible to any reader of NetCDF files.
VISIBLE = (CHECKSUM, "schema", "schema_version", "subject", "commit", "created_at")
#: Attribute of words that files of before keep as numbers: the words, as JSON. `read` puts them back.
WORDS = "words"
#: Words are kept as compressed characters from this many on; HDF5 spends tens of bytes on each otherwise.
_CHARACTERS_FROM = 64
#: Arrays of fewer bytes than this are not worth the overhead of compressed chunks, which is kilobytes each.
_COMPRESS_FROM = 12_000


def _plain(value: Any) -> Any:
    """Value of an attribute as JSON can hold it, the same before writing and after reading."""
    if isinstance(value, np.ndarray):
        return [_plain(v) for v in value.tolist()]
    if isinstance(value, np.generic):
        return value.item()
    return value


def checksum(groups: Mapping[str, Group]) -> str:
    """Return the SHA-256 of the contents of all groups, except for the stored checksum itself."""
    total = hashlib.sha256()

    def add(*words: object) -> None:
        total.update(json.dumps(words, sort_keys=True, default=str).encode() + b"\n")

    for path, group in sorted(groups.items()):
        add(path, {k: _plain(v) for k, v in group.attrs.items() if path != "/" or k != CHECKSUM})
        for name, (dims, values, attrs) in sorted(group.variables.items()):
            add(name, list(dims), list(values.shape), {k: _plain(v) for k, v in attrs.items()})
            if values.dtype.kind in "fc":
                total.update(np.ascontiguousarray(values, dtype=np.complex128).tobytes())
            elif values.dtype.kind in "iub":
                total.update(np.ascontiguousarray(values, dtype=np.int64).tobytes())
            else:
                add([str(v) for v in values.ravel()])
    return total.hexdigest()


def write(path: Path, content: xr.DataTree | xr.Dataset) -> None:
    """Write a tree, or a dataset as its root, so that `path` holds all of it or what it held before.

    Raises
    ------
    BaselineError
        When the file cannot be written there.
    """
    groups = _groups(content)
    root = groups.setdefault("/", xr.Dataset())
    root.attrs = {k: v for k, v in root.attrs.items() if k != CHECKSUM}
    tree = xr.DataTree.from_dict(groups)
    tree.attrs[CHECKSUM] = checksum(_plain_groups(tree))
    for node in tree.subtree:
        node.attrs = _packed(node.attrs)
    encoding = {
        node.path: {name: _encoding(v) for name, v in node.to_dataset(inherit=False).variables.items()}
        for node in tree.subtree
    }
    try:
        write_atomic(path, lambda part: tree.to_netcdf(part, engine="h5netcdf", encoding=encoding))
    except OSError as error:
        raise BaselineError(
            f"cannot write {path}: {error.strerror or error}; the old file, if any, is as it was"
        ) from error


def _packed(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    if len(attrs) <= len(VISIBLE):
        return {str(k): v for k, v in attrs.items()}
    rest = {str(k): _plain(v) for k, v in attrs.items() if k not in VISIBLE}
    kept = {str(k): v for k, v in attrs.items() if k in VISIBLE}
    return {**kept, PACKED: json.dumps(rest)}


def _unpacked(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    plain = {str(k): v for k, v in attrs.items() if k != PACKED}
    return {**plain, **json.loads(attrs.get(PACKED, "{}"))}


def _restored(groups: Mapping[str, Group]) -> dict[str, Group]:
    """Put back what was packed."""
    return {path: _restored_group(group) for path, group in groups.items()}


def _restored_group(group: Group) -> Group:
    variables = dict(group.variables)
    for name, (dims, values, attrs) in group.variables.items():
        if WORDS in attrs:
            words = np.array(json.loads(attrs[WORDS]), dtype=np.str_)
            variables[name] = (dims, words[values], {k: v for k, v in attrs.items() if k != WORDS})
    return Group(variables, _unpacked(group.attrs), group.coordinates)


def _plain_groups(tree: xr.DataTree) -> dict[str, Group]:
    return {node.path: Group.of(node.to_dataset(inherit=False)) for node in tree.subtree}


def read(path: Path) -> xr.DataTree:
    """Read what `write` wrote, into memory.

    Raises
    ------
    BaselineError
        When the file is missing, unreadable (truncated) or was changed after it was written.
    """
    return tree_of(read_groups(path))


def read_groups(path: Path) -> dict[str, Group]:
    """Read a file as `read` does, as plain groups by their paths in it, of which few may be needed as datasets."""
    if not path.is_file():
        raise BaselineMissing(f"{path} is missing")
    with contextlib.suppress(Exception):
        groups = _restored(groups_of(path))
        if groups["/"].attrs[CHECKSUM] == checksum(groups):
            return groups
    # By the library, which knows every file, and tells what is wrong with this one.
    try:
        with xr.open_datatree(path, engine="h5netcdf", decode_times=False) as opened:
            groups = _restored(_plain_groups(opened.load()))
    except Exception as error:
        # The HDF5 library raises many kinds of error for a damaged file; all mean the same here.
        raise BaselineError(
            f"{path} cannot be read ({type(error).__name__}): it is truncated or no NetCDF file; "
            "restore it from version control or record it again"
        ) from error
    stored = groups["/"].attrs.get(CHECKSUM)
    if stored is None:
        raise BaselineError(
            f"{path} has no checksum: it was not written by diffclaims.storage.netcdf.write; record it again"
        )
    if stored != checksum(groups):
        raise BaselineError(
            f"{path} was changed after it was recorded (its checksum does not match its contents); "
            "restore it from version control or record it again"
        )
    return groups


def read_dataset(path: Path) -> xr.Dataset:
    """Read a file that holds a single dataset; as `read`."""
    dataset = read_groups(path)["/"].dataset()
    dataset.attrs.pop(CHECKSUM, None)
    return dataset


def _groups(content: xr.DataTree | xr.Dataset) -> dict[str, xr.Dataset]:
    """Datasets by group, without what an earlier file said about how to encode them."""
    datasets: Mapping[str, xr.Dataset]
    if isinstance(content, xr.Dataset):
        datasets = {"/": content}
    else:
        datasets = {n.path: n.to_dataset(inherit=False) for n in content.subtree}
    return {group: dataset.copy().drop_encoding() for group, dataset in datasets.items()}


def _encoding(variable: xr.Variable) -> dict[str, Any]:
    if variable.dtype.kind in "UO" and variable.size >= _CHARACTERS_FROM:
        return {"dtype": "S1", "zlib": True, "complevel": 4}
    if variable.dtype.kind not in "fiub":
        return {}
    encoding: dict[str, Any] = {"_FillValue": None} if variable.dtype.kind == "f" else {}
    if variable.ndim and variable.nbytes >= _COMPRESS_FROM:
        encoding |= {"zlib": True, "complevel": 4, "shuffle": True}
    return encoding
