"""Linear algebra on one thread, where matrices are small.

A thread that waits for the others of its pool keeps a core busy. On matrices of a hundred rows that costs more than
it saves, and many times more where another program wants the cores. A process of our own is begun with one thread. In
a process of somebody else's only our own calls are, and only where threadpoolctl is installed.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def in_this_process() -> None:
    """Let NumPy and SciPy begin with one thread, unless the user says how many; call it before they are imported."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@functools.cache
def _pools() -> Any:
    """The thread pools of this process, if they can be asked; found once, which takes longer than a small matrix."""
    try:
        from threadpoolctl import ThreadpoolController
    except ModuleNotFoundError:
        return None
    return ThreadpoolController()


def on_one_thread(function: Callable[P, R]) -> Callable[P, R]:
    """Run a function with linear algebra on one thread; afterwards pools are as large as before.

    The answer then does not depend on the number of cores either, which decides the order of sums. Without
    threadpoolctl it runs as it is.
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        pools = _pools()
        with pools.limit(limits=1, user_api="blas") if pools else contextlib.nullcontext():
            return function(*args, **kwargs)

    return call
