"""One way to write and read a stored result: atomically, with a checksum of its contents and a seal of its bytes.

The checksum covers values, coordinates and attributes, not the bytes of the file, so that another
version of the HDF5 library does not invalidate it. The seal covers the bytes, so that no library
reads a damaged file. An index before the seal spares the library where only this package reads.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from diffclaims.errors import BaselineError, BaselineMissing
from diffclaims.storage.files import write_atomic
from diffclaims.storage.groups import Group, tree_of
from diffclaims.storage.index import groups_in, indexed
from diffclaims.storage.seal import is_whole, sealed, unsealed
from diffclaims.storage.storable import PACKED, packed, plain, storable, unpacked

CHECKSUM = "checksum"
#: Attributes that stay visible to any reader of NetCDF files; from the ninth on HDF5 spends kilobytes on each group.
VISIBLE = (CHECKSUM, "schema", "schema_version", "subject", "commit", "created_at")
#: Attribute of words that files of before keep as numbers: the words, as JSON. `read` puts them back.
WORDS = "words"
#: Words are kept as compressed characters from this many on; HDF5 spends tens of bytes on each otherwise.
_CHARACTERS_FROM = 64
#: Oldest and newest form of HDF5 that is written: that of 1.10 (2016) has smaller headers than the default, which any
#: reader since 1998 knows; a file of many small arrays is a tenth smaller, one of many groups a third.
_FORMAT = ("v110", "v110")
#: Arrays of fewer bytes than this are not worth the overhead of compressed chunks, which is kilobytes each.
_COMPRESS_FROM = 6_000
_LINE = json.JSONEncoder(sort_keys=True, default=str)


def checksum(groups: Mapping[str, Group]) -> str:
    """Return the SHA-256 of the contents of all groups, except for the stored checksum itself."""
    total = hashlib.sha256()

    def add(*words: object) -> None:
        total.update(_LINE.encode(words).encode() + b"\n")

    for path, group in sorted(groups.items()):
        add(path, {k: plain(v) for k, v in group.attrs.items() if path != "/" or k != CHECKSUM})
        for name, (dims, values, attrs) in sorted(group.variables.items()):
            add(name, list(dims), list(values.shape), {k: plain(v) for k, v in attrs.items()})
            if values.dtype.kind in "fc":
                total.update(np.ascontiguousarray(values, dtype=np.complex128).tobytes())
            elif values.dtype.kind in "iub":
                total.update(np.ascontiguousarray(values, dtype=np.int64).tobytes())
            else:
                add([str(v) for v in values.ravel()])
    return total.hexdigest()


def write(path: Path, content: xr.DataTree | xr.Dataset | Mapping[str, Group]) -> None:
    """Write a tree, its groups, or a dataset as its root, so that `path` holds all of it or what it held before.

    Raises
    ------
    BaselineError
        When the file cannot be written there, or would not come back as it went; with the name of what cannot
        be stored.
    """
    groups = storable(_groups(content))
    root = groups.setdefault("/", Group({}, {}))
    root.attrs.pop(CHECKSUM, None)
    root.attrs[CHECKSUM] = total = checksum(groups)
    tree = tree_of({path: _packed(group) for path, group in groups.items()})
    encoding = {
        node.path: {name: _encoding(v) for name, v in node.to_dataset(inherit=False).variables.items()}
        for node in tree.subtree
    }

    import h5netcdf  # half of the time that the command line takes to start, for files that few commands write

    # In memory first: where a disk is full, the HDF5 library does not raise but ends the process.
    image = io.BytesIO()
    with _here(), h5netcdf.File(image, "w", libver=_FORMAT) as file:
        for node in tree.subtree:
            store = xr.backends.H5NetCDFStore(file, group=node.path)
            node.to_dataset(inherit=False).dump_to_store(store, encoding=encoding[node.path])

    raw = sealed(with_index(image.getvalue()))

    def fill(part: Path) -> None:
        part.write_bytes(raw)
        # What comes back otherwise than it went would be a difference at the next run.
        if read_groups(part)["/"].attrs[CHECKSUM] != total:
            raise BaselineError(f"{path} does not come back as it was written; nothing was kept")

    try:
        write_atomic(path, fill)
    except OSError as error:
        raise BaselineError(
            f"cannot write {path}: {error.strerror or error}; the old file, if any, is as it was"
        ) from error


def with_index(content: bytes) -> bytes:
    """Return the content of a file with its index; as it is where the library keeps it in a form that has none."""
    with contextlib.suppress(Exception):
        found = _quickly(content)
        whole = indexed(content, found)
        if _holds(_restored(found)) and _holds(_restored(groups_in(whole) or {})):
            return whole
    return content


def _holds(groups: Mapping[str, Group]) -> bool:
    """Whether contents are those that the checksum is of."""
    return bool(groups["/"].attrs[CHECKSUM] == checksum(groups))


def _here() -> contextlib.AbstractContextManager[object]:
    """Keep a write in this process, also where a cluster of dask waits: xarray would ask it for a lock on a file."""
    if "dask" not in sys.modules:
        return contextlib.nullcontext()
    import dask

    found: contextlib.AbstractContextManager[object] = dask.config.set(scheduler="synchronous")
    return found


def _packed(group: Group) -> Group:
    variables = {n: (d, v, packed(a, len(VISIBLE))) for n, (d, v, a) in group.variables.items()}
    return Group(variables, packed(group.attrs, len(VISIBLE), VISIBLE), group.coordinates)


def _restored(groups: Mapping[str, Group]) -> dict[str, Group]:
    """Put back what was packed."""
    return {path: _restored_group(group) for path, group in groups.items()}


def _restored_group(group: Group) -> Group:
    variables = dict(group.variables)
    for name, (dims, values, attrs) in group.variables.items():
        if WORDS in attrs:
            words = np.array(json.loads(attrs[WORDS]), dtype=np.str_)
            variables[name] = (dims, words[values], {k: v for k, v in attrs.items() if k != WORDS})
        elif PACKED in attrs:
            variables[name] = (dims, values, unpacked(attrs))
    return Group(variables, unpacked(group.attrs), group.coordinates)


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
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise BaselineError(f"{path} cannot be read ({error.strerror}); change its permissions") from error
    whole = is_whole(raw)
    if whole is False:
        raise BaselineError(
            f"{path} was changed after it was recorded (its seal does not match its bytes); "
            "restore it from version control or record it again"
        )
    for read_by in (_by_index, _quickly) if whole else (_quickly,):
        with contextlib.suppress(Exception):
            groups = _restored(read_by(raw))
            if _holds(groups):
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


def _by_index(raw: bytes) -> dict[str, Group]:
    return groups_in(unsealed(raw)) or {}


def _quickly(raw: bytes) -> dict[str, Group]:
    from diffclaims.storage import quick  # brings the library along, which an index does without

    return quick.groups_of(raw)


def read_once(path: Path) -> Mapping[str, Group]:
    """Return `read_groups`, of a file that did not change as it was read before; for readers, not to be changed."""
    if not path.is_file():
        raise BaselineMissing(f"{path} is missing")
    state = path.stat()
    return _read_once(path, state.st_mtime_ns, state.st_size, state.st_ino)


@functools.lru_cache(maxsize=512)
def _read_once(path: Path, *state: int) -> Mapping[str, Group]:
    groups = read_groups(path)
    for group in groups.values():
        for _, values, _ in group.variables.values():
            values.setflags(write=False)
    return groups


def read_dataset(path: Path) -> xr.Dataset:
    """Read a file that holds a single dataset; as `read`."""
    dataset = read_groups(path)["/"].dataset()
    dataset.attrs.pop(CHECKSUM, None)
    return dataset


def _groups(content: xr.DataTree | xr.Dataset | Mapping[str, Group]) -> dict[str, Group]:
    """Groups by path, without what an earlier file said about how to encode them."""
    if isinstance(content, xr.Dataset):
        return {"/": Group.of(content)}
    return _plain_groups(content) if isinstance(content, xr.DataTree) else dict(content)


def _encoding(variable: xr.Variable) -> dict[str, Any]:
    if variable.dtype.kind in "UO" and variable.size >= _CHARACTERS_FROM:
        return {"dtype": "S1", "zlib": True, "complevel": 4}
    if variable.dtype.kind not in "fiub":
        return {}
    encoding: dict[str, Any] = {"_FillValue": None} if variable.dtype.kind == "f" else {}
    if variable.ndim and variable.nbytes >= _COMPRESS_FROM:
        encoding |= {"zlib": True, "complevel": 4, "shuffle": True}
    return encoding
