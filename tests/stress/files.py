"""Damaged baselines: each is noticed, or holds what it held."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from diffclaims.api.case import CaseResult
from diffclaims.api.claim import load_claims
from diffclaims.errors import BaselineError
from diffclaims.storage import netcdf as storage
from diffclaims.storage.paths import baselines_dir
from diffclaims.subjects.memo import Memo
from diffclaims.subjects.registry import subject_of
from diffclaims.suite import baselines
from tests.stress.apart import asked
from tests.stress.ledger import Found

Rng = np.random.Generator


@functools.cache
def results() -> tuple[CaseResult, ...]:
    """What the theory gives, of every case that has a baseline."""
    subject, folder = Memo(subject_of("theory")), baselines_dir()
    found = [claim.run(subject, case) for claim in load_claims() for case in claim.cases]
    return tuple(
        r
        for r in found
        if r.verdict is not None and baselines.path_of(folder, r.subject, r.claim_id, r.case.name).is_file()
    )


def _flip(path: Path, rng: Rng) -> None:
    raw = bytearray(path.read_bytes())
    for at in rng.integers(len(raw), size=rng.choice([1, 1, 8, 64])):
        raw[at] ^= 1 << rng.integers(8)
    path.write_bytes(raw)


def _cut(path: Path, rng: Rng) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[: rng.integers(len(raw))])


def _blank(path: Path, rng: Rng) -> None:
    raw = bytearray(path.read_bytes())
    size = int(rng.integers(1, 4096))
    at = int(rng.integers(max(1, len(raw) - size)))
    raw[at : at + size] = bytes(size)
    path.write_bytes(raw)


def _shift(path: Path, rng: Rng) -> None:
    raw = path.read_bytes()
    at = int(rng.integers(len(raw)))
    path.write_bytes(raw[:at] + bytes(rng.integers(256, size=rng.integers(1, 64), dtype=np.uint8)) + raw[at:])


def _variables(file: h5py.File) -> list[str]:
    found: list[str] = []
    file.visititems(
        lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) and item.size else None
    )
    return found


def _swap(path: Path, rng: Rng) -> None:
    with h5py.File(path, "r+") as file:
        a, b = rng.choice(_variables(file), size=2, replace=False)
        file.move(a, f"{a}.moved")
        file.move(b, a)
        file.move(f"{a}.moved", b)


def _retype(path: Path, rng: Rng) -> None:
    with h5py.File(path, "r+") as file:
        numbers = [name for name in _variables(file) if file[name].dtype.kind in "fi"]
        name = rng.choice(numbers)
        values, attrs = file[name][()], dict(file[name].attrs)
        del file[name]
        file[name] = np.asarray(values).astype(rng.choice(["f4", "i4", "f2"]))
        for key, value in attrs.items():
            if key not in ("DIMENSION_LIST", "REFERENCE_LIST", "CLASS", "NAME"):
                file[name].attrs[key] = value


def _change(path: Path, rng: Rng) -> None:
    with h5py.File(path, "r+") as file:
        numbers = [name for name in _variables(file) if file[name].dtype.kind == "f"]
        name = rng.choice(numbers)
        values = np.asarray(file[name][()])
        flat = values.reshape(-1)
        flat[rng.integers(flat.size)] *= 1 + 10.0 ** -rng.integers(1, 13)
        file[name][...] = values


def _drop(path: Path, rng: Rng) -> None:
    with h5py.File(path, "r+") as file:
        groups = ["/", *(n for n, item in file.items() if isinstance(item, h5py.Group))]
        where = file[rng.choice(groups)]
        keys = [k for k in where.attrs if not k.startswith("_")]
        if keys and rng.random() < 0.5:
            del where.attrs[rng.choice(keys)]
        else:
            del file[rng.choice(_variables(file))]


def _other(path: Path, rng: Rng) -> None:
    others = [p for p in sorted(baselines_dir().glob("theory/*/*.nc")) if p.name != path.name]
    shutil.copyfile(others[rng.integers(len(others))], path)


def _text(path: Path, rng: Rng) -> None:
    words = [b"", b"version https://git-lfs.github.com/spec/v1\n", b"<<<<<<< HEAD\n", b"\x89HDF\r\n\x1a\n"]
    path.write_bytes(words[rng.integers(len(words))])


DAMAGES: dict[str, Callable[[Path, Rng], None]] = {
    "bits flipped": _flip,
    "cut": _cut,
    "a block of zeros": _blank,
    "bytes put in": _shift,
    "variables exchanged": _swap,
    "another type of numbers": _retype,
    "one number changed": _change,
    "a variable or an attribute left out": _drop,
    "the file of another case": _other,
    "no file of this kind": _text,
}


def trial(i: int, folder: Path, seed: int) -> Found:
    """Damage one baseline in one way, and compare with it what it was made from."""
    rng = np.random.default_rng([seed, i])
    how = list(DAMAGES)[i % len(DAMAGES)]
    result = results()[rng.integers(len(results()))]
    source = baselines.path_of(baselines_dir(), result.subject, result.claim_id, result.case.name)
    path = baselines.path_of(folder, result.subject, result.claim_id, result.case.name)
    shutil.rmtree(folder, ignore_errors=True)
    path.parent.mkdir(parents=True)
    shutil.copyfile(source, path)
    DAMAGES[how](path, rng)
    outcome, note = asked(functools.partial(_compared, result, folder, path, source))
    return Found(outcome, f"{how}, {result.claim_id} {result.case.name}: {note}")


def _compared(result: CaseResult, folder: Path, path: Path, source: Path) -> tuple[str, str]:
    try:
        baselines.check(
            result, folder=folder, obtained=folder / "obtained", command="pytest claims", required=True
        )
    except BaselineError as error:
        return "refused", str(error).splitlines()[0][:200]
    sums = [storage.checksum(storage.read_groups(p)) for p in (path, source)]
    return ("unharmed", "") if sums[0] == sums[1] else ("wrong green", "other contents passed")
