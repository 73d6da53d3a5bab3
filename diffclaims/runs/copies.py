"""Whether two trainings of an experiment are one: by what their networks answered to the same fixed questions."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from diffclaims.errors import SubjectInvalid
from diffclaims.monitor.noise import Floats
from diffclaims.runs.find import Group, Run

#: Answers that moved by less than this share of their size since step 0 say nothing: many networks begin at zero.
MOVED = 0.01
#: Copies differ by less than this share of how far they moved: rounding, or sums in another order.
SAME = 1e-4
#: Measured steps that are compared, the first ones: later rounding has grown, and what is learned may be the same.
EARLY = 3


def refuse_copies(group: Group) -> None:
    """Refuse trainings that are copies of one another, with whatever seeds they were watched.

    Two are compared at the first `EARLY` steps at which both were measured and had moved.

    Raises
    ------
    SubjectInvalid
        Naming both folders.
    """
    for one, other in combinations(group.runs, 2):
        steps, apart = _apart(one, other)
        if steps and max(apart) <= SAME:
            at = ", ".join(map(str, steps))
            raise SubjectInvalid(
                f"{one.folder} and {other.folder} are one training under two seeds, {one.seed} and {other.seed}: "
                f"at steps {at} their networks answered the same, within {max(apart):.1g} of how far they had moved, "
                f"where others differ by more than {SAME:g}; move one of them away, and give every seed randomness "
                "of its own"
            )


def _apart(one: Run, other: Run) -> tuple[list[int], list[float]]:
    """Return the first steps at which two trainings can be compared, and how far apart they are."""
    a, b = one.traces, other.traces
    if 0 not in a or 0 not in b:
        return [], []
    steps, apart = [], []
    for step in sorted((a.keys() & b.keys()) - {0}):
        if a[step].shape != b[step].shape:
            continue
        moved = min(_largest(t[step] - t[0]) for t in (a, b))
        if moved > MOVED * max(_largest(a[0]), _largest(a[step])):
            steps.append(step)
            apart.append(_largest(a[step] - b[step]) / moved)
            if len(steps) == EARLY:
                break
    return steps, apart


def _largest(values: Floats) -> float:
    return float(np.abs(values).max())
