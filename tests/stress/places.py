"""Places where nothing can be written, two updates at once, and a clock that jumps."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np

from diffclaims.errors import DiffclaimsError
from diffclaims.storage import netcdf as storage
from diffclaims.storage.paths import baselines_dir
from diffclaims.suite import baselines
from tests.stress.apart import asked
from tests.stress.files import results
from tests.stress.kills import _update
from tests.stress.ledger import Found


def may_mount(folder: Path) -> bool:
    """Whether a file system can be mounted here."""
    try:
        with full(folder / "may-mount"):
            return True
    except (subprocess.CalledProcessError, OSError):
        return False


@contextmanager
def full(folder: Path) -> Iterator[Path]:
    """A file system of 64 kB; it takes the right to mount one."""
    with _mounted(folder, "-t", "tmpfs", "-o", "size=64k", "tmpfs") as place:
        yield place


@contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """A file system that nothing can be written to, with baselines in it."""
    inside = folder.with_name(f"{folder.name}-inside")
    shutil.copytree(baselines_dir() / "theory", inside / "theory", dirs_exist_ok=True)
    with _mounted(folder, "--bind", str(inside)) as place:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(place)], check=True)
        yield place


@contextmanager
def _mounted(folder: Path, *words: str) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", *words, str(folder)], check=True, capture_output=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _refused(folder: Path) -> tuple[str, str]:
    """Update into a place that refuses: one error of ours, and what lay there is as it was."""
    before = _contents(folder)
    try:
        for result in results():
            # As a recording of other numbers, so that each file is to be written.
            _other(result, folder)
    except DiffclaimsError as error:
        for path, content in before.items():
            if path.read_bytes() != content:
                return "lost", f"{path.name} was changed"
        new = set(_contents(folder)) - set(before)
        half = [p.name for p in new if p.name.startswith(".")]
        if half:
            return "lost", f"{half[0]} was left"
        for path in new:
            storage.read_groups(path)
        return "refused", str(error)[:160]
    return "wrong green", "everything was written"


def _other(result: object, folder: Path) -> None:
    path = baselines.path_of(folder, result.subject, result.claim_id, result.case.name)  # type: ignore[attr-defined]
    storage.write(path, baselines.to_groups(result))  # type: ignore[arg-type]


def _contents(folder: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def _in_place(place: Callable[[Path], object], folder: Path) -> tuple[str, str]:
    with place(folder) as here:  # type: ignore[attr-defined]
        return _refused(here)


def disk(i: int, folder: Path, seed: int) -> Found:
    """Fill a file system; every second time one that is read-only."""
    place = (full, read_only)[i % 2]
    outcome, note = asked(functools.partial(_in_place, place, folder / place.__name__))
    return Found(outcome, f"{place.__name__}: {note}")


def at_once(i: int, folder: Path, seed: int) -> Found:
    """Two updates of one folder at the same time: every file is whole, and the one or the other."""
    here = folder / "at-once"
    shutil.rmtree(here, ignore_errors=True)
    return Found(
        *asked(functools.partial(_twice, here, np.random.default_rng([seed, i]).uniform(0, 0.5)), limit=120)
    )


def _twice(here: Path, pause: float) -> tuple[str, str]:
    other = os.fork()
    if other == 0:
        time.sleep(pause)
        _update(here)
        os._exit(0)
    _update(here)
    status = os.waitpid(other, 0)[1]
    if status:
        return "traceback", f"the second process ended with {status}"
    for result in results():
        remark = baselines.check(
            result, folder=here, obtained=here / "obtained", command="pytest claims", required=True
        )
        if remark:
            return "lost", remark
    return "whole", f"{len(results())} files agree, the second began {pause:.2f} s later"


def clock(i: int, folder: Path, seed: int) -> Found:
    """The clock jumps by years, back and forth, while baselines are updated and compared."""
    here = folder / "clock"
    shutil.rmtree(here, ignore_errors=True)
    return Found(*asked(functools.partial(_jumping, here, np.random.default_rng([seed, i])), limit=120))


def _jumping(here: Path, rng: np.random.Generator) -> tuple[str, str]:
    true = time.time

    def jumping() -> float:
        return true() + float(rng.uniform(-1e9, 1e9))

    with (
        mock.patch("time.time", jumping),
        mock.patch("time.time_ns", side_effect=lambda: int(1e9 * jumping())),
    ):
        _update(here)
        for path in here.rglob("*.nc"):
            stamp = float(rng.uniform(0, 4e9))
            os.utime(path, (stamp, stamp))
        for result in results():
            baselines.check(
                result, folder=here, obtained=here / "obtained", command="pytest claims", required=True
            )
        changed = [
            baselines.update(result, folder=here, command="pytest claims").written for result in results()
        ]
    return ("lost", "a second update wrote again") if any(changed) else ("whole", f"{len(changed)} files")
