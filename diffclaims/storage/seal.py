"""A seal at the end of a file: what was changed in it is known before anything tries to understand it.

A damaged HDF5 file may keep the library busy for ever, or end the process. The seal is a line of text behind the last
byte that HDF5 knows of; every reader of NetCDF files passes it over.
"""

from __future__ import annotations

import hashlib
import re

_MARK = b"\nsealed by diffclaims, sha256 "
_SEAL = re.compile(re.escape(_MARK) + rb"([0-9a-f]{64})\n\Z")


def sealed(content: bytes) -> bytes:
    """Return the content of a file with its seal."""
    return content + _MARK + hashlib.sha256(content).hexdigest().encode() + b"\n"


def unsealed(raw: bytes) -> bytes:
    """Return the content of a file that has a seal."""
    return raw[: -len(_MARK) - 65]


def is_whole(raw: bytes) -> bool | None:
    """Return whether a file is as it was sealed; None where it has no seal."""
    found = _SEAL.search(raw, max(0, len(raw) - len(_MARK) - 65))
    if found is None:
        return None
    return hashlib.sha256(raw[: found.start()]).hexdigest().encode() == found.group(1)
