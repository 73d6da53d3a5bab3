"""The resolvent off the real axis: some damped steps, then Newton's method, and again where it strayed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from diffclaims.theory.newton import newton
from diffclaims.theory.outcome import Diagnosis, SolverOutcome
from diffclaims.theory.resolvent import Equations
from diffclaims.theory.state import State

Complex = NDArray[np.complex128]


def solve_off_axis(
    equations: Equations,
    z: Complex,
    *,
    tolerance: float = 1e-12,
    guess: tuple[Complex, Complex] | None = None,
    warm_up: int = 16,
    max_rounds: int = 6,
) -> tuple[State, Diagnosis]:
    """Solve at points off the real axis: some damped steps, then Newton, and again where it strayed.

    Parameters
    ----------
    equations : Equations
    z : ndarray, shape (N,)
        Points with ``Im z > 0`` (or real and below the spectrum).
    tolerance : float
        Largest relative mismatch.
    guess : tuple of ndarray, shapes (N, r) and (N, K), optional
        Unknowns y and delta close to the solution, which save the first damped steps. A guess from
        which Newton strays costs time, not accuracy: what is not physical is solved again without it.
    warm_up : int
        Damped steps before the first Newton attempt; doubled at each further one.
    max_rounds : int
        Attempts.

    Returns
    -------
    state : State
    diagnosis : Diagnosis
    """
    if guess is None:
        y, delta = equations.damped(z, *equations.start(z), warm_up)
    else:
        y, delta = guess[0].copy(), guess[1].copy()
    best: State | None = None
    residual = np.full(z.size, np.inf)
    physical = np.zeros(z.size, dtype=bool)
    total = warm_up if guess is None else 0
    todo, these = np.arange(z.size), equations
    for _ in range(max_rounds):
        with np.errstate(all="ignore"):
            state, size, steps = newton(
                these, z[todo], y[todo], delta[todo], tolerance=tolerance, max_steps=25
            )
        total += steps
        # A resolvent maps the upper half plane to itself for every neuron; Newton may not.
        good = np.isfinite(size) & (size <= tolerance) & (state.q.imag.min(axis=1) >= 0)
        if best is None:
            best, residual, physical = state, size, good
        else:
            best = best.put(todo[good], state.take(np.flatnonzero(good)))
            residual[todo[good]] = size[good]
            physical[todo[good]] = True
        if physical.all():
            break
        todo, these = equations.unfinished(~physical)
        if guess is None:
            warm_up *= 2
            again = y[todo], delta[todo]
        else:
            guess, again = None, these.start(z[todo])
        total += warm_up
        y[todo], delta[todo] = these.damped(z[todo], *again, warm_up)
    if best is None:
        best = equations.state(z, y, delta)
    outcome = SolverOutcome.CONVERGED if physical.all() else SolverOutcome.MAX_STEPS
    worst = float(np.nanmax(np.where(np.isfinite(residual), residual, np.inf)))
    return best, Diagnosis(outcome=outcome, residual=worst, steps=total)
