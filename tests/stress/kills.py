"""Killed -9 at random moments: a training, a map, an update, a record. What is there afterwards is whole."""

from __future__ import annotations

import contextlib
import functools
import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from diffclaims.cli import main
from diffclaims.storage import netcdf as storage
from diffclaims.storage.recordings import record
from diffclaims.subjects.recorded import Recorded
from diffclaims.suite import baselines
from tests.stress.apart import asked, killed
from tests.stress.files import results
from tests.stress.ledger import GOOD, Found

#: Moments are drawn up to here, in seconds: about what the job takes on the machine that it was written on.
LONGEST = {"training": 4.0, "map": 6.0, "update": 1.0, "record": 1.0}

#: Every so many trials the job goes on to its end, and what it made is compared.
EACH = 5


def _training(folder: Path) -> None:
    import torch

    from diffclaims.unet.config import RunConfig
    from diffclaims.unet.model.options import Compute
    from diffclaims.unet.train.run import train
    from tests.unet.synthetic import TINY, make_source

    torch.set_num_threads(1)
    more = {"steps": 60, "snapshots": 6, "first_snapshot": 5, "sample_at": (), "uturn_at": ()}
    config = RunConfig.of("tiny", **{**TINY, **more})
    train(config, make_source(), folder, compute=Compute(save_every=0.0), report=lambda _: None)


def _map(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    words = ["map", "two-phases", "--x", "psi_n=0.5..8", "--nx", "40", "--workers", "0"]
    with contextlib.redirect_stdout(io.StringIO()):
        if main([*words, "--out", str(folder / "map.nc")]):
            raise RuntimeError("the command failed")


def _update(folder: Path) -> None:
    for result in results():
        baselines.update(result, folder=folder, command="pytest claims")


def _record(folder: Path) -> None:
    from diffclaims.finite import learning_curves
    from diffclaims.problem.experiment import Experiment
    from diffclaims.problem.mixture import GaussianMixture
    from diffclaims.problem.model import RandomFeatures

    for ratio in range(2, 30):
        model = RandomFeatures(psi_p=2.0, psi_n=2.0, diffusion_time=0.1)
        experiment = Experiment(mixture=GaussianMixture([0.5, 0.5], [1.0, 1.0 / ratio]), model=model)
        record(folder, experiment, learning_curves(experiment, n_dims=8, seeds=2))


JOBS: dict[str, Callable[[Path], None]] = {
    "training": _training,
    "map": _map,
    "update": _update,
    "record": _record,
}


def trial(job: str, i: int, folder: Path, seed: int) -> Found:
    """Kill a job once, in the folder that earlier trials left; after it came to its end, in a new one."""
    rng = np.random.default_rng([seed, i, list(JOBS).index(job)])
    here, whole = folder / job / "killed", folder / job / "whole"
    if not (whole / "done").exists():
        shutil.rmtree(whole, ignore_errors=True)
        JOBS[job](whole)
        (whole / "done").touch()
    after = float(rng.uniform(0.0, LONGEST[job]))
    early = killed(functools.partial(JOBS[job], here), after)
    to_the_end = not early or i % EACH == EACH - 1
    outcome, note = asked(functools.partial(_sound, job, here, whole, to_the_end), limit=300)
    if to_the_end or outcome not in GOOD:
        shutil.rmtree(here, ignore_errors=True)
    return Found(outcome, f"{job} {'killed' if early else 'ended'} within {after:.2f} s: {note}")


def _sound(job: str, here: Path, whole: Path, to_the_end: bool) -> tuple[str, str]:
    """Look at what a kill left; and, where asked to, let the job go on to its end and compare."""
    bad = [p.name for p in _files(here) if not _readable(p)]
    if bad:
        return "lost", f"{bad[0]} cannot be read"
    if job == "record" and here.is_dir():
        played = Recorded("killed", here)
        for experiment in played.experiments().values():
            played.learning_curves(experiment)
    if not to_the_end:
        return "unharmed", f"{len(_files(here))} files are there"
    JOBS[job](here)
    different = [p.name for p in _files(whole) if not _same(p, here / p.relative_to(whole))]
    if different:
        return "lost", f"{different[0]} is another one than without the kill"
    return "whole", f"{len(_files(here))} files are as without the kill"


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix in (".nc", ".npz") and not p.name.startswith("."))


def _readable(path: Path) -> bool:
    try:
        if path.suffix == ".npz":
            np.load(path).close()
        else:
            storage.read_groups(path)
    except Exception:
        return False
    return True


def _same(one: Path, other: Path) -> bool:
    if not other.is_file():
        return False
    if one.suffix == ".npz":
        with np.load(one) as a, np.load(other) as b:
            # What is text says when it was made, and how long it took.
            numbers = [name for name in a.files if a[name].dtype.kind in "fiub"]
            return a.files == b.files and all(
                np.allclose(a[n], b[n], rtol=1e-5, atol=1e-6, equal_nan=True) for n in numbers
            )
    a, b = storage.read_groups(one), storage.read_groups(other)
    return a.keys() == b.keys() and all(
        np.array_equal(a[g].values(n), b[g].values(n), equal_nan=a[g].values(n).dtype.kind == "f")
        for g in a
        for n in a[g].variables
    )
