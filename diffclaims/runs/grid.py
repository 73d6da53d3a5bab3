"""At which steps several trainings can be compared: where each was measured, or between two near measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffclaims.errors import NotMeasured

Floats = NDArray[np.float64]

#: Values are interpolated between measurements whose steps differ by no more than this factor: a monitor that is over
#: its budget measures once for each doubling of the time, at the next step of its grid.
WIDEST = 2.5
#: Fewer steps in common say nothing of a curve; that many are needed to read a time off one.
FEWEST = 6


@dataclass(frozen=True, eq=False)
class Grid:
    """Steps that trainings have in common.

    Attributes
    ----------
    steps : ndarray, shape (T,)
        0, then those after it.
    interpolated : int
        How many values of a curve, over all trainings, lie between two measurements.
    of : int
        How many there are.
    """

    steps: Floats
    interpolated: int
    of: int

    @property
    def sentence(self) -> str:
        """What was done."""
        if not self.interpolated:
            return "every training was measured at every step"
        return (
            f"{self.interpolated} of {self.of} values of each curve are interpolated in ln(step) between two "
            f"measurements of the training that are at most a factor of {WIDEST:g} apart"
        )


def common(measured: Sequence[NDArray[np.int64]], who: str) -> Grid:
    """Return the steps at which every training is known.

    Parameters
    ----------
    measured : sequence of ndarray of int
        Steps of each training, increasing, each from 0 on.
    who : str
        Named in the message.

    Raises
    ------
    NotMeasured
        For fewer than `FEWEST` steps after the first.
    """
    after = [s[s > 0].astype(np.float64) for s in measured]
    shared = np.unique(np.concatenate(after))
    known = np.stack([_known(shared, s) for s in after]).all(axis=0)
    steps = shared[known]
    if steps.size < FEWEST:
        raise NotMeasured(
            f"{who}: its {len(after)} trainings have {steps.size} steps in common at which each was measured, or "
            f"between two measurements at most a factor of {WIDEST:g} apart; {FEWEST} are needed: give the monitor "
            "a larger budget"
        )
    there = sum(int(np.isin(steps, s).sum()) for s in after)
    n = steps.size * len(after)
    return Grid(np.concatenate([[0.0], steps]), n - there, n)


def _known(steps: Floats, measured: Floats) -> NDArray[np.bool_]:
    if not measured.size:
        return np.zeros(steps.shape, dtype=bool)
    right = np.searchsorted(measured, steps)
    inside = (steps >= measured[0]) & (steps <= measured[-1])
    right = np.clip(right, 0, measured.size - 1)
    left = np.where(measured[right] == steps, right, np.maximum(right - 1, 0))
    return np.asarray(inside & (measured[right] <= WIDEST * measured[left]))


def at(grid: Grid, measured: NDArray[np.int64], values: Floats) -> Floats:
    """Return values (T, ...) of one training at the steps of a grid, by interpolation in ln(step).

    Step 0 is not between others: it is kept as it is.
    """
    x, after = np.log(grid.steps[1:]), measured > 0
    known = np.log(measured[after])
    rows = values[after].reshape(int(after.sum()), -1)
    found = np.stack([np.interp(x, known, column) for column in rows.T], axis=1)
    return np.concatenate([values[:1], found.reshape(len(x), *values.shape[1:])])
