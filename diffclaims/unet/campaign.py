"""A list of runs, done one after the other or spread over processes, GPUs and nodes.

Spreading follows the environment that ``torchrun`` sets (RANK, WORLD_SIZE, LOCAL_RANK): runs are
independent, so all that is needed of a launcher is to start N processes and tell each which one it is.
torchrun comes with torch, works on one machine and on many, and asks for no scheduler; submitit and dask
would each add a dependency to do no more. Process r takes runs r, r + N, ... and then whatever nobody
holds; a lock on each run's folder keeps two apart.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from diffclaims.errors import InvalidInput
from diffclaims.unet.compute import Compute
from diffclaims.unet.config import RunConfig
from diffclaims.unet.data import FashionMNIST
from diffclaims.unet.files import locked
from diffclaims.unet.training import RAW, train


def place_of(environ: Mapping[str, str] | None = None) -> tuple[int, int]:
    """Return this process's number and the number of processes, as torchrun tells them; (0, 1) alone.

    Raises
    ------
    InvalidInput
        If they are not integers with 0 <= RANK < WORLD_SIZE.
    """
    env = os.environ if environ is None else environ
    given = env.get("RANK", "0"), env.get("WORLD_SIZE", "1")
    try:
        rank, world = int(given[0]), int(given[1])
    except ValueError:
        rank, world = -1, 0
    if not 0 <= rank < world:
        raise InvalidInput.of(
            "RANK, WORLD_SIZE",
            given,
            "be integers with 0 <= RANK < WORLD_SIZE",
            "start with torchrun, or unset both",
        )
    return rank, world


def order_for(runs: Sequence[RunConfig], rank: int, world: int) -> list[RunConfig]:
    """Return all runs, this process's own share first."""
    return [r for i, r in enumerate(runs) if i % world == rank] + [
        r for i, r in enumerate(runs) if i % world != rank
    ]


def run_campaign(
    runs: Sequence[RunConfig],
    source: FashionMNIST,
    results: Path,
    *,
    compute: Compute,
    stop_after: float | None = None,
    say: Callable[[str], None] | None = None,
) -> list[Path]:
    """Do what is left of the runs; return the raw files that are there at the end.

    Parameters
    ----------
    stop_after : float, optional
        Start no further run after so many seconds.
    """
    tell = say or (lambda line: print(line, file=sys.stderr, flush=True))
    rank, world = place_of()
    began = time.monotonic()
    for run in order_for(runs, rank, world):
        folder = results / run.folder
        if (folder / RAW).exists():
            train(run, source, folder, compute=compute, report=tell)  # only checks the config
            continue
        if stop_after is not None and time.monotonic() - began > stop_after:
            tell(f"{run.folder}: not started, {stop_after:.0f} s have passed")
            continue
        with locked(folder) as mine:
            if mine:
                train(run, source, folder, compute=compute, report=tell)
    return [results / r.folder / RAW for r in runs if (results / r.folder / RAW).exists()]
