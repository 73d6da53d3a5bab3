"""Newton's method for the averaged resolvent, at many points at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffclaims.theory.resolvent import Equations
from diffclaims.theory.state import State

Floats = NDArray[np.float64]
Numbers = NDArray[Any]


def newton(
    equations: Equations,
    z: Numbers,
    y: Numbers,
    delta: Numbers,
    *,
    tolerance: float,
    max_steps: int,
    patience: int | None = None,
) -> tuple[State, Floats, int]:
    """Newton's method at every point; points that are done are left alone.

    Parameters
    ----------
    equations : Equations
    z : ndarray, shape (N,)
    y, delta : ndarray, shapes (N, r) and (N, K)
        Where to begin. If all three are real, so is what is found.
    tolerance : float
        Relative mismatch of the equations at which a point is done.
    max_steps : int
    patience : int, optional
        Points are given up if a step after so many does not halve their mismatch: where there is no solution near,
        steps lead about until they are spent.

    Returns
    -------
    state : State
    residual : ndarray, shape (N,)
    steps : int
    """
    r = equations.rank
    y, delta = y.copy(), delta.copy()
    state = equations.state(z, y, delta)
    gap, size = equations.residual(state)
    stuck = np.zeros(z.size, dtype=bool)
    steps = 0
    while steps < max_steps:
        bad = (size > tolerance) & ~stuck
        if not bad.any():
            break
        todo, these = equations.unfinished(bad)
        part = state if todo.size == z.size else state.take(todo)
        step = these.step(part, gap[todo])
        y[todo] += step[:, :r]
        delta[todo] += step[:, r:]
        steps += 1
        before = size[todo]
        if todo.size == z.size:
            state = equations.state(z, y, delta)
            gap, size = equations.residual(state)
        else:
            fresh = these.state(z[todo], y[todo], delta[todo])
            gap[todo], size[todo] = these.residual(fresh)
            state.replace(todo, fresh)
        if patience is not None and steps > patience:
            stuck[todo] = ~(size[todo] <= before / 2)
    return state, size, steps
