"""Run something in a process of its own, which may crash, hang, or be killed."""

from __future__ import annotations

import os
import resource
import signal
import time
import traceback
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection

_FORK = get_context("fork")


#: Nothing is waited for longer than this, in seconds.
_LONGEST = 3600.0


def asked(function: Callable[[], tuple[str, str]], *, limit: int = 60) -> tuple[str, str]:
    """Return what a function gives in a process of its own; "crash" if that dies, or takes `limit` s of CPU."""
    mine, its = _FORK.Pipe(duplex=False)
    process = _FORK.Process(target=_answer, args=(function, its, limit))
    process.start()
    its.close()
    try:
        found: tuple[str, str] = (
            mine.recv() if mine.poll(_LONGEST) else ("crash", f"no answer within {_LONGEST:g} s")
        )
    except EOFError:
        process.join()
        found = ("crash", f"the process died with status {process.exitcode}")
    process.kill()
    process.join()
    return found


def _answer(function: Callable[[], tuple[str, str]], its: Connection, limit: int) -> None:
    # Of the processor, not of the clock: the machine may be busy.
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
    try:
        found = function()
    except BaseException:
        found = ("traceback", traceback.format_exc(limit=-3)[-800:])
    its.send(found)
    its.close()
    os._exit(0)


def killed(function: Callable[[], object], after: float) -> bool:
    """Start a function in a process of its own and kill it -9 after some seconds; whether that came in time."""
    process = _FORK.Process(target=_quietly, args=(function,))
    process.start()
    start = time.monotonic()
    while process.is_alive() and time.monotonic() - start < after:
        time.sleep(0.002)
    early = process.is_alive()
    if early and process.pid is not None:
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    return early


def _quietly(function: Callable[[], object]) -> None:
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        function()
    os._exit(0)
