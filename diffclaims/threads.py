"""Linear algebra on one thread, where matrices are small.

A thread that waits for the others of its pool keeps a core busy. On matrices of a hundred rows that costs more than
it saves, and many times more where another program wants the cores.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from threadpoolctl import ThreadpoolController

P = ParamSpec("P")
R = TypeVar("R")


@functools.cache
def _pools() -> ThreadpoolController:
    """The thread pools of this process; found once, as that takes longer than a small matrix."""
    return ThreadpoolController()


def on_one_thread(function: Callable[P, R]) -> Callable[P, R]:
    """Run a function with linear algebra on one thread; afterwards pools are as large as before.

    The answer then does not depend on the number of cores either, which decides the order of sums.
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with _pools().limit(limits=1, user_api="blas"):
            return function(*args, **kwargs)

    return call
