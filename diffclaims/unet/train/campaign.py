"""A list of runs, done one after the other, several at once, or spread over processes, GPUs and nodes.

Several at once in one process are advanced in turn by one thread, a step each. On a GPU a step is queued on the
run's own stream and computed later, so one thread keeps as many streams busy as there are runs. A thread for
each run would gain nothing: they would queue for the interpreter's lock, and while one captures a CUDA graph
the others may not allocate. Turns also make the order of everything the same each time, on a CPU too.

Spreading follows the environment that ``torchrun`` sets (RANK, WORLD_SIZE, LOCAL_RANK): runs are
independent, so all that is needed of a launcher is to start N processes and tell each which one it is.
torchrun comes with torch, works on one machine and on many, and asks for no scheduler; submitit and dask
would each add a dependency to do no more. Process r takes runs r, r + N, ... and then whatever nobody
holds; a lock on each run's folder keeps two apart.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import torch

from diffclaims import terminal
from diffclaims.errors import DiffclaimsError, InvalidInput
from diffclaims.storage.files import locked
from diffclaims.unet.config import RunConfig
from diffclaims.unet.data.data_set import LabelledImages
from diffclaims.unet.model.device import release
from diffclaims.unet.model.options import Compute
from diffclaims.unet.train.run import RAW, Run, finished

#: Seconds between looks at runs that other processes have under way.
POLL = 1.0


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
    source: LabelledImages,
    results: Path,
    *,
    compute: Compute,
    at_once: int = 1,
    stop_after: float | None = None,
    say: Callable[[str], None] | None = None,
) -> list[Path]:
    """Do what is left of the runs; return the raw files that are there at the end.

    Runs that other processes have under way are waited for, and taken over should those end: every process
    of a campaign returns when all of it is done.

    Parameters
    ----------
    at_once : int
        Runs that are held open together and advanced in turn, one step each.
    stop_after : float, optional
        Start no further run after so many seconds.

    Raises
    ------
    InvalidInput
        If something cannot be computed as `compute` says.
    RunRefused
        If a folder holds a run of another config, or an unreadable state.
    """
    compute.check(runs)
    if at_once < 1:
        raise InvalidInput.of("at_once", at_once, "be at least 1", "give a number of runs")
    tell = say or terminal.tell
    rank, world = place_of()
    began, waited = time.monotonic(), False

    def late(run: RunConfig) -> bool:
        if stop_after is None or time.monotonic() - began <= stop_after:
            return False
        tell(f"{run.folder}: not started, {stop_after:.0f} s have passed")
        return True

    with ExitStack() as everything:
        left = deque(order_for(runs, rank, world))
        elsewhere: list[RunConfig] = []
        held: list[_Held] = []
        while left or held or elsewhere:
            while left and len(held) < at_once:
                run = left.popleft()
                if finished(results / run.folder, run) or late(run):
                    continue
                lock = ExitStack()
                if not lock.enter_context(locked(results / run.folder)):
                    lock.close()
                    elsewhere.append(run)
                    continue
                everything.enter_context(lock)
                held.append(_Held(Run(run, source, results / run.folder, compute=compute, say=tell), lock))
            before = len(held)
            _take_turns(held)
            if len(held) < before:
                release(torch.device(compute.device))
            if elsewhere and not left and not held:
                if not waited:
                    tell(f"waiting for {', '.join(r.folder for r in elsewhere)}, which other processes train")
                    waited = True
                time.sleep(POLL)
                left.extend(elsewhere)
                elsewhere.clear()
    return [results / r.folder / RAW for r in runs if (results / r.folder / RAW).exists()]


class _Held(NamedTuple):
    """A run that is under way here, and the lock that keeps others off it."""

    run: Run
    lock: ExitStack


def _take_turns(held: list[_Held]) -> None:
    """Advance each run by a step; end those that have taken all of theirs."""
    for entry in tuple(held):
        try:
            if not entry.run.ended:
                entry.run.advance()
            if entry.run.ended:
                entry.run.finish()
        except DiffclaimsError:
            # This run's own fault, which must not cost the others what they have done since they last saved.
            for other in held:
                if other is not entry:
                    other.run.save()
            raise
        if entry.run.ended:
            held.remove(entry)
            entry.lock.close()
