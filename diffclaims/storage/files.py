"""Files that are whole or absent, and a lock that dies with its process."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in place in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def finished(paths: Iterable[Path]) -> list[Path]:
    """Return, sorted, what `write_atomic` put in place, without what a writer that was killed left beside it."""
    return sorted(path for path in paths if not path.name.startswith("."))


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Hold the folder's lock; gives False, at once, if another process holds it.

    The kernel frees the lock when its holder ends, also by kill -9, so none is ever left behind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file: IO[str]
    with open(folder / ".lock", "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
