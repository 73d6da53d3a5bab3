"""At which steps to measure: a grid in ln(step), and an account of the time that measuring may take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Steps of the grid for each factor of ten in steps.
PER_DECADE = 10
#: Losses are measured at every step that is due, samples with every fourth.
SAMPLES_EVERY = 4
#: Before samples were made for the first time they are taken to cost this many times what losses do.
FIRST_SAMPLES = 10.0
#: On credit, this many times the time of the last measurement must have passed.
CREDIT_FACTOR = 2.0


def whole_steps(wanted: ArrayLike) -> NDArray[np.int64]:
    """Return the whole steps nearest to some, each once, increasing."""
    return np.unique(np.rint(wanted).astype(np.int64))


#: 0, then powers of ten in equal parts; no training has more steps.
GRID = whole_steps(np.append(0, 10 ** (np.arange(15 * PER_DECADE) / PER_DECADE)))


@dataclass
class Account:
    """Time since the start and time spent on measuring, over all processes that went on with the folder.

    Parameters
    ----------
    budget : float
        Share of the time since the start that measuring may take.
    clock : callable
        Seconds that only grow.

    Attributes
    ----------
    spent : float
        Seconds of measuring.
    last_end : float
        Seconds from the start to the end of the last measurement.
    costs : dict of str to float
        Seconds of the last measurement of losses, and of samples.
    """

    budget: float
    clock: Callable[[], float] = time.monotonic
    spent: float = 0.0
    last_end: float = 0.0
    costs: dict[str, float] = field(default_factory=dict)
    _before: float = 0.0
    _began: float | None = None

    def start(self) -> None:
        """Let the time run, if it does not yet."""
        if self._began is None:
            self._began = self.clock()

    @property
    def elapsed(self) -> float:
        """Seconds since the start; what a killed process did after its last measurement is not known."""
        return self._before + (0.0 if self._began is None else self.clock() - self._began)

    @property
    def share(self) -> float:
        """Time of measuring over the time since the start; 0 before it."""
        return self.spent / self.elapsed if self.elapsed > 0 else 0.0

    def pays(self, cost: float) -> bool:
        """Whether a measurement of this cost keeps within the budget: it is part of the time as well."""
        return self.spent + cost <= self.budget * (self.elapsed + cost)

    def lends(self) -> bool:
        """Whether one is made on credit: one for each doubling of the time, so that none of the first are lost.

        The debt ends when the time is about 140 times that of a measurement, at a budget of 5 %.
        """
        return self.elapsed >= CREDIT_FACTOR * self.last_end

    def book(self, **costs: float) -> None:
        """Count what the parts of a measurement took."""
        self.spent += sum(costs.values())
        self.costs.update(costs)
        self.last_end = self.elapsed

    def state(self) -> dict[str, Any]:
        """Return what is stored, in JSON's types."""
        return {"elapsed": self.elapsed, "spent": self.spent, "costs": dict(self.costs)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a stored account."""
        self._before = self.last_end = float(state["elapsed"])
        self.spent, self.costs = float(state["spent"]), dict(state["costs"])


class Schedule:
    """Which step is due.

    A step of the grid that the budget does not allow is measured as soon as it does; those that pass until then are
    left out.

    Parameters
    ----------
    account : Account

    Attributes
    ----------
    with_samples : bool
        Whether the schedule is asked for samples; their time is not set aside where the user says when to make them.
    last : int
        Step of the last measurement; -1 before the first.
    since_samples : int
        Measurements since samples were last made.
    left_out : list of int
        Steps of the grid at which nothing was measured because of the budget.
    """

    def __init__(self, account: Account) -> None:
        self.account, self.last, self.since_samples, self.with_samples = account, -1, 0, True
        self.left_out: list[int] = []
        self._waiting: int | None = None

    def due(self, step: int) -> bool:
        """Whether to measure at this step."""
        self.account.start()
        on_grid = _on_grid(step)
        if on_grid <= self.last:
            return False
        # Losses alone would spend what samples need, which then were never made.
        if self.account.pays(self._cost(samples=self._fourth)) or self.account.lends():
            return True
        if self._waiting is not None and self._waiting != on_grid:
            self.left_out.append(self._waiting)
        self._waiting = on_grid
        return False

    def samples_due(self) -> bool:
        """Whether the measurement that is being made has samples: every fourth, once they can be paid for."""
        return self._fourth and self.account.pays(self._cost(samples=True))

    @property
    def _fourth(self) -> bool:
        return self.with_samples and self.since_samples + 1 >= SAMPLES_EVERY

    def _cost(self, *, samples: bool) -> float:
        """What the next measurement is taken to cost."""
        costs = self.account.costs
        losses = costs.get("losses", 0.0)
        return losses + (costs.get("samples", FIRST_SAMPLES * losses) if samples else 0.0)

    def measured(self, step: int, **costs: float) -> None:
        """Count a measurement: seconds of ``losses``, and of ``samples`` where there were any."""
        on_grid = _on_grid(step)
        if self._waiting is not None and self._waiting != on_grid:
            self.left_out.append(self._waiting)
        self._waiting = None
        self.account.book(**costs)
        self.last = step
        self.since_samples = 0 if "samples" in costs else self.since_samples + 1

    def state(self) -> dict[str, Any]:
        """Return what is stored, in JSON's types."""
        return {
            "account": self.account.state(),
            "since_samples": self.since_samples,
            "with_samples": self.with_samples,
            "left_out": list(self.left_out),
        }

    def restore(self, last: int, state: dict[str, Any]) -> None:
        """Go on after a measurement."""
        self.last, self.since_samples = last, int(state["since_samples"])
        self.with_samples = bool(state.get("with_samples", True))
        self.left_out = [int(s) for s in state["left_out"] if s < last]
        self.account.restore(state["account"])


def _on_grid(step: int) -> int:
    """Return the last step of the grid up to some step."""
    return int(GRID[np.searchsorted(GRID, step, side="right") - 1])
