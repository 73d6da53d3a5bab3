"""An index behind the contents of a stored file: what is in it, and where its bytes lie.

The HDF5 library walks through a small file attribute by attribute, which takes thirty times as long. The index says
the same in one piece: names, dimensions and attributes, and for values and long text the place in the file where the
library keeps them, so that nothing large is stored twice. It lies between the last byte that HDF5 knows of and the
seal, where every reader of NetCDF files passes it over, and it is believed only where the seal holds. What is read by
it is held against the checksum, as what the library reads.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffclaims.errors import BaselineError
from diffclaims.storage.groups import Group, Variable
from diffclaims.storage.storable import plain

_VERSION = 1
_MARK = b"\nindexed by diffclaims, bytes "
_FOOT = re.compile(re.escape(_MARK) + rb"([0-9]{8})\Z")
_FOOT_SIZE = len(_MARK) + 8
#: Text from so many bytes on is looked up where the library keeps it.
_LONG = 48


def groups_in(content: bytes) -> dict[str, Group] | None:
    """Return the groups of a file by its index.

    Parameters
    ----------
    content : bytes
        All of the file before its seal, which must have been found whole.

    Returns
    -------
    dict of str to Group, optional
        By their paths in the file, "/" first; None where it has no index, or one that this version does not know.
    """
    foot = _FOOT.search(content, max(0, len(content) - _FOOT_SIZE))
    if foot is None:
        return None
    found = json.loads(zlib.decompress(content[foot.start() - int(foot.group(1)) : foot.start()]))
    if found["version"] != _VERSION:
        return None
    return {
        path: Group(
            {
                name: (tuple(dims), _values(content, dtype, shape, place), _attributes(content, own))
                for name, dims, dtype, shape, place, own in variables
            },
            _attributes(content, attrs),
            frozenset(coordinates),
        )
        for path, attrs, coordinates, variables in found["groups"]
    }


def _attributes(content: bytes, attrs: dict[str, Any]) -> dict[str, Any]:
    return {k: _text(content, *v["at"]) if isinstance(v, dict) else v for k, v in attrs.items()}


def _text(content: bytes, at: int, size: int) -> str:
    return content[at : at + size].decode()


def _values(content: bytes, dtype: str, shape: list[int], place: Any) -> NDArray[Any]:
    if isinstance(place, list):
        return np.array(place, dtype=dtype).reshape(shape)
    kind = np.dtype(dtype)
    if isinstance(place, int):
        flat = np.frombuffer(content, kind, math.prod(shape), place)
        return flat.reshape(shape).copy()
    values = _from_chunks(content, kind if kind.kind != "S" else np.dtype("S1"), **place)
    if kind.kind != "S":
        return values
    # Words as characters: the last dimension is theirs.
    words = [word.decode() for word in values.view(kind).ravel().tolist()]
    return np.array(words, dtype=np.str_).reshape(shape)


def _from_chunks(
    content: bytes,
    dtype: np.dtype[Any],
    sizes: list[int],
    chunk: list[int],
    shuffled: bool,
    parts: list[list[int]],
) -> NDArray[Any]:
    """Values of a variable that the library compressed piece by piece."""
    values = np.empty(sizes, dtype)
    for *start, at, size in parts:
        raw = np.frombuffer(zlib.decompress(content[at : at + size]), np.uint8)
        if shuffled:  # first bytes of all numbers, then second ones
            raw = np.ascontiguousarray(raw.reshape(dtype.itemsize, -1).T)
        piece = raw.reshape(-1).view(dtype).reshape(chunk)
        within = tuple(slice(s, min(s + c, n)) for s, c, n in zip(start, chunk, sizes, strict=True))
        values[within] = piece[tuple(slice(0, w.stop - w.start) for w in within)]
    return values


def indexed(content: bytes, groups: Mapping[str, Group]) -> bytes:
    """Return the content of an HDF5 file with its index.

    Parameters
    ----------
    content : bytes
        The file, without an index or a seal.
    groups : mapping of str to Group
        What is in it, as the library reads it: `diffclaims.storage.quick.groups_of`.

    Raises
    ------
    BaselineError
        Where the library keeps values in a form that an index does not know.
    """
    from h5py import h5d, h5f  # the library is needed only to write

    file = h5f.open_file_image(content)
    try:
        found = [
            [
                path,
                _where(content, group.attrs),
                sorted(group.coordinates),
                [
                    _variable(content, h5d.open(file, f"{path.rstrip('/')}/{name}".encode()), name, variable)
                    for name, variable in group.variables.items()
                ],
            ]
            for path, group in groups.items()
        ]
    finally:
        file.close()
    words = json.dumps({"version": _VERSION, "groups": found}, separators=(",", ":"), ensure_ascii=False)
    index = zlib.compress(words.encode(), 9)
    return content + index + _MARK + b"%08d" % len(index)


def _where(content: bytes, attrs: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _long(content, plain(value)) for key, value in attrs.items()}


def _long(content: bytes, value: Any) -> Any:
    text = value.encode() if isinstance(value, str) else b""
    at = content.find(text) if len(text) >= _LONG else -1
    return value if at < 0 else {"at": [at, len(text)]}


def _variable(content: bytes, item: Any, name: str, variable: Variable) -> list[Any]:
    dims, values, attrs = variable
    dtype, place = values.dtype.str, item.get_offset()
    if values.dtype.kind == "U" and item.dtype == "S1" and item.get_create_plist().get_nfilters():
        dtype, place = f"S{item.shape[-1]}", _chunks(item)
    elif values.dtype.kind == "U" or not values.size:
        place = values.tolist()
    elif place is None:
        place = _chunks(item)
    return [name, dims, dtype, values.shape, place, _where(content, attrs)]


def _chunks(item: Any) -> dict[str, Any]:
    plist = item.get_create_plist()
    filters = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
    infos = [item.get_chunk_info(i) for i in range(item.get_num_chunks())]
    from h5py import h5z

    if filters not in ([h5z.FILTER_SHUFFLE, h5z.FILTER_DEFLATE], [h5z.FILTER_DEFLATE]) or any(
        info.filter_mask for info in infos
    ):
        raise BaselineError(f"{item.name.decode()} is stored in a form that an index does not know")
    return {
        "sizes": item.shape,
        "chunk": plist.get_chunk(),
        "shuffled": filters[0] == h5z.FILTER_SHUFFLE,
        "parts": [[*info.chunk_offset, info.byte_offset, info.size] for info in infos],
    }
