"""Finished points, one line of JSON each, so that a study that was killed goes on where it was.

Lines are only ever appended, and each is on the disk before its point counts as finished. A line
that was cut off by the kill is dropped; any other damage is an error.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from diffclaims.errors import DiffclaimsError, InvalidInput

FORMAT = "diffclaims {study} checkpoint 1"


def _plain(value: Any) -> Any:
    """Value as standard JSON knows it: numbers that are not finite as strings."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def _number(found: dict[str, Any]) -> Any:
    return float(found["float"]) if found.keys() == {"float"} else found


class Checkpoint:
    """The file of finished points of one map, or of another study; a context manager that holds it open.

    Parameters
    ----------
    path : path
        Created if it is missing.
    config : mapping of str to str
        What decides the numbers. A file of another configuration is refused.
    study : str
        What the points are of, for the file and for messages.

    Raises
    ------
    InvalidInput
        When the file belongs to other points.
    DiffclaimsError
        When it is damaged, or cannot be written.
    """

    def __init__(self, path: Path, config: Mapping[str, str], *, study: str = "map") -> None:
        self.path = path
        self.config = dict(config)
        self.study = study
        self.format = FORMAT.format(study=study)
        self.records: dict[str, dict[str, Any]] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            keep = self._read() if path.is_file() else 0
            self._file = path.open("r+b" if keep else "wb")
            self._file.truncate(keep)
            self._file.seek(keep)
        except OSError as error:
            raise DiffclaimsError(
                f"cannot write {path}: {error.strerror or error}; name another --out"
            ) from error
        if not keep:
            self._append({"format": self.format, "config": self.config})

    def _read(self) -> int:
        """Read the records; return the length of what is whole."""
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if not whole:
            return 0
        documents = []
        for number, line in enumerate(content[:whole].splitlines(), 1):
            try:
                documents.append(json.loads(line, object_hook=_number))
            except ValueError:
                raise DiffclaimsError(
                    f"line {number} of {self.path} is damaged; delete the file to compute the {self.study} anew"
                ) from None
        head = documents[0]
        if not isinstance(head, dict) or head.get("format") != self.format:
            raise DiffclaimsError(f"{self.path} is no checkpoint of a {self.study}; name another --out")
        stored = head["config"]
        different = sorted(
            k for k in stored.keys() | self.config.keys() if stored.get(k) != self.config.get(k)
        )
        if different:
            k = different[0]
            raise InvalidInput.of(
                f"{k} of the {self.study}",
                self.config.get(k),
                f"be that of the points in {self.path}, which is {stored.get(k)!r}",
                f"ask for the same {self.study} to go on, name another --out, or delete that file",
            )
        self.records = {d["key"]: d for d in documents[1:]}
        return whole

    def add(self, key: str, record: Mapping[str, Any]) -> None:
        """Append one finished point; it is on the disk when this returns."""
        line = {"key": key, **record}
        self._append(line)
        self.records[key] = line

    def _append(self, document: Mapping[str, Any]) -> None:
        try:
            self._file.write(json.dumps(_plain(document), allow_nan=False).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise DiffclaimsError(
                f"cannot write {self.path}: {error.strerror or error}; the points before are kept"
            ) from error

    def remove(self) -> None:
        """Delete the file: all is written."""
        self._file.close()
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
