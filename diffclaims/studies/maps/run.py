"""Compute a map: its points, then the lines on which the verdict changes, then one file."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from diffclaims._version import __version__
from diffclaims.errors import InvalidInput
from diffclaims.storage import netcdf as storage
from diffclaims.storage.provenance import _commit
from diffclaims.studies.maps.checkpoint import SUFFIX, Checkpoint
from diffclaims.studies.maps.evaluate import (
    ACCURACY,
    N_TIMES,
    TOLERANCE,
    Bracket,
    block_size,
    evaluate_points,
    find_boundaries,
    subject_of,
)
from diffclaims.studies.maps.plan import Plan
from diffclaims.studies.maps.pool import Pool, Task
from diffclaims.studies.maps.result import assemble, grid_key, line_key, point_key, read_map
from diffclaims.terminal import Advance


def checkpoint_of(out: Path) -> Path:
    """Return where the finished points of a map are kept until it is whole."""
    return out.with_name(f"{out.name}{SUFFIX}")


def configuration(plan: Plan) -> dict[str, str]:
    """Return everything that decides the numbers of a map."""
    return {
        "plan": plan.to_json(),
        "version": __version__,
        "commit": _commit()[0],
        "numerics": f"accuracy {ACCURACY:g} unless asked, {N_TIMES} times, roots to {TOLERANCE:g}, "
        f"{block_size(plan)} points together",
    }


def run_map(
    plan: Plan,
    out: Path,
    *,
    workers: int = 0,
    scheduler: str = "",
    command: str = "",
    advance: Advance | None = None,
) -> xr.Dataset:
    """Compute a map and write it, or go on with one that was interrupted.

    Parameters
    ----------
    plan : Plan
        What is asked for.
    out : path
        The file. Finished points are kept beside it until it is written, whole.
    workers, scheduler
        As in `Pool`.
    command : str
        Stored: what computes it again.
    advance : callable ``(done, total)``, optional
        Told after each finished block of points or lines.

    Returns
    -------
    xarray.Dataset
        As `assemble`. Without another computation if `out` holds this very map.

    Raises
    ------
    InvalidInput
        When `out` holds another map, or the kept points belong to one.
    """
    subject_of(plan)
    out = Path(out)
    if out.exists():
        stored = read_map(out)
        if stored.attrs["plan"] != plan.to_json():
            raise InvalidInput.of(
                "out", str(out), "not hold another map", "name another file, or delete this one"
            )
        return stored
    # Workers first: where there are none, no file is left behind.
    with Pool(workers, scheduler) as pool, Checkpoint(checkpoint_of(out), configuration(plan)) as points:
        work = _Work(plan, points, pool, advance or (lambda done, total: None))
        work.points()
        work.lines()
        dataset = assemble(plan, points.records, command=command)
        storage.write(out, dataset)
        points.remove()
    return dataset


class _Work:
    def __init__(self, plan: Plan, points: Checkpoint, pool: Pool, advance: Advance) -> None:
        self.plan, self.kept, self.pool, self.advance = plan, points, pool, advance
        self.json = plan.to_json()
        self.grid = tuple(r.n for r in plan.ranges)
        self.n_lines = math.prod(r.n for r in plan.others)
        self.n_points = math.prod(self.grid) + plan.points
        self.started = time.perf_counter()

    def points(self) -> None:
        """Measure every point of the grid, and the quasi-random ones."""
        self._do(evaluate_points, list(self._points()), 0, self.n_lines)

    def _points(self) -> Iterator[tuple[str, dict[str, float]]]:
        for i, row in enumerate(self.plan.scattered() if self.plan.points else ()):
            yield point_key(i), dict(zip(self.plan.names, map(float, row), strict=True))
        values = [r.values() for r in self.plan.ranges]
        for index in np.ndindex(self.grid):
            yield grid_key(index), self._at(self.plan.names, values, index)

    def lines(self) -> None:
        """Find the boundary on every line whose margin changes sign."""
        self._do(find_boundaries, list(self._lines()), self.n_points, 0)

    def _lines(self) -> Iterator[tuple[str, tuple[dict[str, float], list[Bracket]]]]:
        plan = self.plan
        along = plan.names.index(plan.along)
        line = plan.line.values()
        names = [r.name for r in plan.others]
        values = [r.values() for r in plan.others]
        for index in np.ndindex(tuple(r.n for r in plan.others)):
            keys = [grid_key((*index[:along], i, *index[along:])) for i in range(line.size)]
            margins = [float(self.kept.records[k]["margin"]) for k in keys]
            brackets = [
                (float(line[i]), float(line[i + 1]), margins[i], margins[i + 1])
                for i in range(line.size - 1)
                # What could not be measured has no side.
                if not math.isnan(margins[i]) and not math.isnan(margins[i + 1])
                if (margins[i] > 0) != (margins[i + 1] > 0)
            ]
            if brackets:
                yield line_key(index), (self._at(names, values, index), brackets)

    @staticmethod
    def _at(names: Any, values: Any, index: tuple[int, ...]) -> dict[str, float]:
        return {name: float(v[i]) for name, v, i in zip(names, values, index, strict=True)}

    def _do(
        self, function: Callable[..., Any], items: list[tuple[str, Any]], before: int, after: int
    ) -> None:
        """Get the records of points or lines by key, in blocks; so many came before them, so many come after.

        A block is done as a whole or not at all: its numbers depend a little on who is in it.
        """
        size = block_size(self.plan)
        blocks = [items[start : start + size] for start in range(0, len(items), size)]
        todo = {some[0][0]: some for some in blocks if not all(key in self.kept.records for key, _ in some)}
        total = before + len(items) + after
        done = before + len(items) - sum(map(len, todo.values()))
        self.advance(done, total)
        tasks: list[Task] = [(name, (self.json, [item for _, item in some])) for name, some in todo.items()]
        for name, found in self.pool.run(function, tasks):
            self.kept.add({key: record for (key, _), record in zip(todo[name], found, strict=True)})
            done += len(found)
            self.advance(done, total)
