"""Refinements of several problems that go on together: what they ask for at a time is solved at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Sequence
from typing import TypeVar

import numpy as np

from diffclaims.errors import DiffclaimsError
from diffclaims.theory.losses import Losses, Problem, losses
from diffclaims.theory.stack import kind

T = TypeVar("T")
#: Asks for losses until it has its answer.
Asking = Generator[Problem, Losses, T]

#: Numbers of neuron types times problems up to which more of these are solved together; in the cache they are quick.
TYPES = 8000
#: Problems that share the time of a call well enough.
MOST = 32


def together(tasks: Sequence[Asking[T]]) -> list[T | DiffclaimsError]:
    """Return the answer of each task, or the error that it ended with.

    Problems of one kind are solved together. Of one task alone this is the solver as it is.
    """
    results: list[T | DiffclaimsError] = [DiffclaimsError("not asked")] * len(tasks)

    def following(i: int, found: Losses | None) -> Problem | None:
        try:
            return tasks[i].send(found)  # type: ignore[arg-type]
        except StopIteration as stop:
            results[i] = stop.value
        except DiffclaimsError as error:
            results[i] = error
        return None

    asked = {i: following(i, None) for i in range(len(tasks))}
    while waiting := {i: problem for i, problem in asked.items() if problem is not None}:
        for some in _groups(waiting):
            for i, found in zip(some, losses([waiting[i] for i in some]), strict=True):
                asked[i] = following(i, found)
    return results


def _groups(waiting: dict[int, Problem]) -> list[list[int]]:
    """Which problems are solved together."""
    alike: dict[object, list[int]] = defaultdict(list)
    for i, one in waiting.items():
        of_kind = kind(one.equations)
        # Padding to twice as many types would be in vain.
        size = int(np.log2(one.equations.neurons.n_types))
        alike[i if of_kind is None else (of_kind, size, one.training_times.size, one.guessed)].append(i)
    groups = []
    for members in alike.values():
        most = max(1, min(MOST, TYPES // max(waiting[i].equations.neurons.n_types for i in members)))
        groups += [members[start : start + most] for start in range(0, len(members), most)]
    return groups


def alone(task: Asking[T]) -> T:
    """Return the answer of one task.

    Raises
    ------
    DiffclaimsError
        The one that it ended with.
    """
    (found,) = together([task])
    if isinstance(found, DiffclaimsError):
        raise found
    return found
