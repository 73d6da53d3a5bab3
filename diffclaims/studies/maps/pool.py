"""Where the points of a map are computed: in this process, in local processes, or on a cluster.

Every task depends on its arguments alone, so the results do not depend on how many workers there
are, and a task whose worker was lost is simply done again by another.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Any

from diffclaims.errors import DiffclaimsError, InvalidInput
from diffclaims.extras import need

#: One thread a worker: the matrices of a point are small, and more threads would fight for the cores.
ONE_THREAD = {
    f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB_MAXIMUM")
}
#: Tasks on their way at a time, for each worker: enough to keep it busy, few enough to stop at once.
AHEAD = 4
_PURPOSE = "maps on several workers (--workers 0 computes in this process, without it)"

Task = tuple[str, tuple[Any, ...]]


class Pool:
    """Workers, for as long as the context lasts.

    Parameters
    ----------
    workers : int
        Local processes; 0 for this process alone, which needs no dask. Ignored with a scheduler.
    scheduler : str
        Address of a running dask.distributed scheduler, ``tcp://host:8786``.

    Raises
    ------
    InvalidInput
        For fewer than 0 workers or an address where no scheduler answers.
    DiffclaimsError
        When dask is needed and not installed.
    """

    def __init__(self, workers: int = 0, scheduler: str = "") -> None:
        if workers < 0:
            raise InvalidInput.of("workers", workers, "be 0 or more", "give 2, say; 0 is this process alone")
        self.workers = workers
        self.scheduler = scheduler
        self._stack = ExitStack()
        self.client: Any = None

    def __enter__(self) -> Pool:
        if not self.workers and not self.scheduler:
            return self
        dask = need("dask", "map", _PURPOSE)
        distributed = need("distributed", "map", _PURPOSE)
        self._stack.enter_context(dask.config.set({"distributed.nanny.pre-spawn-environ": dict(ONE_THREAD)}))
        try:
            address = self.scheduler or self._stack.enter_context(
                distributed.LocalCluster(
                    n_workers=self.workers,
                    threads_per_worker=1,
                    processes=True,
                    dashboard_address="127.0.0.1:0",
                    silence_logs=logging.CRITICAL,
                )
            )
            self.client = self._stack.enter_context(distributed.Client(address, timeout="10s"))
        except (OSError, TimeoutError, ValueError) as error:
            self._stack.close()
            if not self.scheduler:
                raise
            raise InvalidInput.of(
                "scheduler",
                self.scheduler,
                f"be the address of a running dask scheduler ({error})",
                "start one with 'dask scheduler', give it workers with 'dask worker', and name it",
            ) from None
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @property
    def n_workers(self) -> int:
        """Workers at this moment."""
        return 1 if self.client is None else max(1, len(self.client.scheduler_info(n_workers=-1)["workers"]))

    def run(self, function: Callable[..., Any], tasks: Iterable[Task]) -> Iterator[tuple[str, Any]]:
        """Yield ``(key, function(*arguments))`` of each task, in the order in which they are done.

        Raises
        ------
        DiffclaimsError
            When several workers in a row died over one task.
        Exception
            Whatever a task raised.
        """
        if self.client is None:
            for key, arguments in tasks:
                yield key, function(*arguments)
            return
        distributed = need("distributed", "map", _PURPOSE)
        waiting = iter(tasks)
        keys: dict[Any, str] = {}

        def submit(task: Task) -> Any:
            future = self.client.submit(function, *task[1], pure=False)
            keys[future.key] = task[0]
            return future

        first = [submit(t) for t in itertools.islice(waiting, AHEAD * self.n_workers)]
        done = distributed.as_completed(first)
        for future in done:
            key = keys.pop(future.key)
            try:
                result = future.result()
            except distributed.KilledWorker:
                raise DiffclaimsError(
                    f"several workers died over the point {key}, for lack of memory perhaps; the finished "
                    "points are kept, the same command goes on with fewer --workers"
                ) from None
            future.release()
            if (task := next(waiting, None)) is not None:
                done.add(submit(task))
            yield key, result
