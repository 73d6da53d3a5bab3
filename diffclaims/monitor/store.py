"""A folder of measurements: whole files only, one a measurement, and the training that it belongs to."""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffclaims.errors import DiffclaimsError
from diffclaims.storage.files import write_atomic

Arrays = dict[str, NDArray[Any]]

ABOUT, REFERENCE, REPLACED = "monitor.json", "reference.npz", "replaced"
_STEP = re.compile(r"step-(\d+)\.npz")


class MonitorRefused(DiffclaimsError):
    """A folder holds another training, or one that cannot be read."""


@dataclass(frozen=True, eq=False)
class Measurement:
    """What was measured at one step.

    Attributes
    ----------
    step : int
    arrays : dict
        ``<weights>_<split>_loss`` and ``_log``, shape (L, n); ``<weights>_trace``, as `Trace.answers` has it.
    info : dict
        ``weights``, ``samples`` by weights, ``labels_matter``, ``seconds`` and ``schedule``.
    """

    step: int
    arrays: Arrays
    info: dict[str, Any]


class Store:
    """A folder.

    Parameters
    ----------
    folder : path
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._kept: dict[int, Measurement] = {}

    def about(self) -> dict[str, Any] | None:
        """Return which training the folder belongs to, or None where it holds none."""
        path = self.folder / ABOUT
        if not path.exists():
            return None
        try:
            found: dict[str, Any] = json.loads(path.read_text())
        except ValueError as error:
            raise MonitorRefused(f"{path} cannot be read ({error}): use another folder") from error
        return found

    def begin(self, about: dict[str, Any], reference: Arrays) -> None:
        """Make the folder that of a training."""
        _write_arrays(self.folder / REFERENCE, reference)
        write_atomic(self.folder / ABOUT, lambda p: p.write_text(json.dumps(about, indent=1)))

    def check(self, about: dict[str, Any]) -> None:
        """Refuse a folder of another training, and what is none."""
        if self.folder.exists() and not self.folder.is_dir():
            raise MonitorRefused(f"{self.folder} is a file: name a folder, which need not exist yet")
        there = self.about()
        if there is None:
            return
        differ = [
            f"{key}: {there.get(key)!r} there, {value!r} now"
            for key, value in about.items()
            if json.loads(json.dumps(value)) != there.get(key)
        ]
        if differ:
            shown = "; ".join(line if len(line) < 160 else line[:157] + "..." for line in differ)
            raise MonitorRefused(
                f"{self.folder} holds another training ({shown}): "
                "use another folder, or the data and settings of that one"
            )

    def reference(self) -> Arrays:
        """Return the arrays that `begin` was given."""
        return _read_arrays(self.folder / REFERENCE)

    def steps(self) -> list[int]:
        """Return the steps that were measured, increasing."""
        if not self.folder.is_dir():
            return []
        names = (_STEP.fullmatch(name) for name in os.listdir(self.folder))
        return sorted(int(m[1]) for m in names if m)

    def read(self, step: int) -> Measurement:
        """Return one measurement."""
        if step not in self._kept:
            arrays = _read_arrays(self._path(step))
            info = json.loads(str(arrays.pop("info")))
            self._kept[step] = Measurement(step, arrays, info)
        return self._kept[step]

    def write(self, measurement: Measurement) -> None:
        """Store a measurement, in one step."""
        content = {**measurement.arrays, "info": np.array(json.dumps(measurement.info))}
        _write_arrays(self._path(measurement.step), content)
        self._kept[measurement.step] = measurement

    def set_aside(self, steps: list[int]) -> None:
        """Move measurements of a training that was left into a folder of their own, the latest first."""
        if not steps:
            return
        aside = self.folder / REPLACED
        aside.mkdir(exist_ok=True)
        n = 1 + max((int(p.name.split(".")[0]) for p in aside.glob("*.step-*.npz")), default=0)
        for step in sorted(steps, reverse=True):
            os.replace(self._path(step), aside / f"{n}.step-{step:09d}.npz")
            self._kept.pop(step, None)

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:09d}.npz"


def _write_arrays(path: Path, arrays: Arrays) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    write_atomic(path, lambda p: p.write_bytes(buffer.getvalue()))


def _read_arrays(path: Path) -> Arrays:
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise MonitorRefused(f"{path} cannot be read ({error}): move it away to go on without it") from error
