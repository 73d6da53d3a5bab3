"""Files that people fetched: read where their content is right, named for what they are where it is not."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from pathlib import Path

from diffclaims.unet.data.data_set import DataError

_GZIP = b"\x1f\x8b"


def content(folder: Path, name: str, md5: str) -> bytes:
    """Return what a file of a data set holds, unpacked, however it was packed.

    Parameters
    ----------
    folder : Path
        Where ``NAME.gz`` or ``NAME`` lies.
    name : str
        Name of the unpacked file.
    md5 : str
        Of its content. What is packed anew, or unpacked under its old name, has the same.

    Raises
    ------
    DataError
        If there is none, or it holds something else: a part of it, a pointer, a page, a folder.
    """
    path = next((p for p in (folder / f"{name}.gz", folder / name) if p.exists()), None)
    if path is None:
        raise DataError(_missing(folder, name))
    if path.is_dir():
        raise DataError(f"{path} is a folder; it must be a file: take the file of that name out of it")
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); change its permissions") from error
    unpacked, whole = _unpacked(raw)
    got = hashlib.md5(unpacked, usedforsecurity=False).hexdigest()
    if got == md5:
        return unpacked
    raise DataError(
        f"{path} ({len(raw)} bytes) {_what(raw, whole)}: its content has MD5 {got}; it must be {md5}; "
        "delete it and fetch it again (--download)"
    )


def _unpacked(raw: bytes) -> tuple[bytes, bool]:
    """Content of what may be packed, once or twice, and whether its end was there."""
    whole = True
    for _ in range(2):
        if not raw.startswith(_GZIP):
            break
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error):
            return raw, False
    return raw, whole


def _what(raw: bytes, whole: bool) -> str:
    """What a file with other content is, as a phrase that follows its name."""
    start = raw[:200].lstrip().lower()
    if start.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, not the file (run git lfs pull where it came from)"
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "is a web page, not the file (the address may have moved)"
    if start.startswith(b"pk\x03\x04"):
        return "is a zip archive (unpack it)"
    if not raw:
        return "is empty"
    return "is another file" if whole else "is damaged, or only a part was fetched"


def _missing(folder: Path, name: str) -> str:
    wanted = folder / f"{name}.gz"
    # Browsers and download tools number what they fetch twice, and some drop or add an ending.
    alike = (
        sorted(p.name for p in folder.glob(f"{name.partition('-idx')[0]}*") if p.is_file())
        if folder.is_dir()
        else []
    )
    if alike:
        return f"{wanted} is missing, but {alike[0]!r} lies there: if it is that file, rename it to {wanted.name}"
    return (
        f"{wanted} is missing: point --data-dir or DIFFCLAIMS_DATA to the folder that holds FashionMNIST/raw, "
        "or add --download"
    )
