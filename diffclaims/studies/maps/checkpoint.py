"""Finished points in a database of SQLite, so that a study that was killed goes on where it was.

Points that are finished together are a transaction, on the disk before they count as finished. SQLite itself undoes
one that the kill cut off, when the file is opened again.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from diffclaims.errors import DiffclaimsError, InvalidInput

#: End of the file's name, and of its name in versions that kept lines of JSON.
SUFFIX, OLD_SUFFIX = ".points.sqlite", ".points.jsonl"


class Checkpoint(contextlib.AbstractContextManager["Checkpoint"]):
    """The file of finished points of one map, or of another study; a context manager that holds it open.

    Parameters
    ----------
    path : path
        Created if it is missing.
    config : mapping of str to str
        What decides the numbers. A file of another configuration is refused.
    study : str
        What the points are of, for the file and for messages.

    Attributes
    ----------
    records : dict
        Finished points by key.

    Raises
    ------
    InvalidInput
        When the file belongs to other points.
    DiffclaimsError
        When it is damaged, of an earlier version, or cannot be written.
    """

    def __init__(self, path: Path, config: Mapping[str, str], *, study: str = "map") -> None:
        self.path, self.study = path, study
        for old in (path, path.with_name(path.name.replace(SUFFIX, OLD_SUFFIX))):
            if old.is_file() and old.read_bytes()[:1] == b"{":
                raise DiffclaimsError(
                    f"{old} holds points of an earlier version, which this one does not read; finish the {study} "
                    "with that version, or delete the file to compute them anew"
                )
        with self._telling():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(path, isolation_level=None)
        try:
            with self._telling():
                # One wait for the disk for each point; the default mode waits several times, about 20 ms in all.
                self._base.execute("PRAGMA journal_mode=WAL")
                for table in ("config", "point"):
                    self._base.execute(
                        f"CREATE TABLE IF NOT EXISTS {table} (key TEXT PRIMARY KEY, content TEXT)"
                    )
            self._settle({"study": study, **config})
            points = self._rows("point")
            with self._telling():
                self.records: dict[str, dict[str, Any]] = {k: json.loads(v) for k, v in points.items()}
        except BaseException:
            self._base.close()
            raise

    def _settle(self, config: Mapping[str, str]) -> None:
        """Write what decides the numbers into a new file, or hold it against what an old one says."""
        stored = self._rows("config")
        if not stored:
            with self._telling():
                self._base.execute("BEGIN")
                self._base.executemany("INSERT INTO config VALUES (?, ?)", config.items())
                self._base.execute("COMMIT")
            return
        different = [k for k in {**config, **stored} if stored.get(k) != config.get(k)]
        if different:
            k = different[0]
            raise InvalidInput.of(
                f"{k} of the {self.study}",
                config.get(k),
                f"be that of the points in {self.path}, which is {stored.get(k)!r}",
                f"ask for the same {self.study} to go on, name another --out, or delete that file",
            )

    def _rows(self, table: str) -> dict[str, str]:
        with self._telling():
            return dict(self._base.execute(f"SELECT key, content FROM {table}"))

    def add(self, records: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep finished points by key; all of them are on the disk when this returns, or none."""
        rows = [(key, json.dumps(record)) for key, record in records.items()]
        with self._telling():
            self._base.execute("BEGIN")
            self._base.executemany("INSERT OR REPLACE INTO point VALUES (?, ?)", rows)
            self._base.execute("COMMIT")
        self.records.update((key, dict(record)) for key, record in records.items())

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.OperationalError) as error:
            raise DiffclaimsError(
                f"cannot write {self.path}: {error}; the points before are kept; name another --out"
            ) from error
        except (sqlite3.DatabaseError, ValueError) as error:
            raise DiffclaimsError(
                f"{self.path} is damaged, or no checkpoint of a {self.study} ({error}); delete the file to compute "
                f"the {self.study} anew, or name another --out"
            ) from error

    def remove(self) -> None:
        """Delete the file: all is written."""
        self._base.close()
        self.path.unlink(missing_ok=True)

    def __exit__(self, *error: object) -> None:
        self._base.close()
