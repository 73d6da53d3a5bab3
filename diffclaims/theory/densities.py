"""Densities on the real axis. Solutions start each other: few points are continued from far above the axis."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from diffclaims.theory.angle import Root, Wave
from diffclaims.theory.axis import Guess, from_guess, solve_on_axis
from diffclaims.theory.outcome import Diagnosis, SolverOutcome
from diffclaims.theory.resolvent import Equations
from diffclaims.theory.state import State

Floats = NDArray[np.float64]
Complex = NDArray[np.complex128]

#: Guesses are made again from what was solved meanwhile, while they solve this share of the points left.
WORTH = 0.2
#: Points that are too few for that.
FEW = 20
#: Points and neuron types that are solved at once, so that they stay in the cache.
BLOCK = 120_000
#: Relative mismatch of the equations.
TOLERANCE = 1e-10


class Densities(NamedTuple):
    """Spectral densities at N eigenvalues."""

    density: Floats  # (N,)
    population: Floats  # (K, N)
    training: Floats  # (K, N)
    unknowns: Complex  # (N, r + K)
    diagnosis: Diagnosis


class Known:
    """Solutions on the axis so far, from which others are guessed."""

    def __init__(self) -> None:
        self.at: Floats = np.empty(0)
        self.unknowns: Complex = np.empty((0, 0), dtype=complex)
        self.density: Floats = np.empty(0)
        #: Interpolations on whole bulks, and next to edges.
        self.waves: list[Wave] = []
        self.roots: list[Root] = []

    def add(self, state: State, equations: Equations) -> None:
        """Remember the solutions of a state."""
        new = np.concatenate([state.y, state.delta], axis=1)
        density = np.maximum(state.q.imag @ equations.neurons.weight, 0.0) / np.pi
        old = self.unknowns.reshape(-1, new.shape[1])
        self.at, first = np.unique(np.concatenate([self.at, state.z.real]), return_index=True)
        self.unknowns = np.concatenate([old, new])[first]
        self.density = np.concatenate([self.density, density])[first]

    def find(self, eigenvalues: Floats) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Where eigenvalues are among the known ones, and whether they are."""
        if self.at.size == 0:
            return np.zeros(eigenvalues.size, dtype=int), np.zeros(eigenvalues.size, dtype=bool)
        at = np.minimum(np.searchsorted(self.at, eigenvalues), self.at.size - 1)
        return at, self.at[at] == eigenvalues

    def gap(self, eigenvalues: Floats) -> Floats:
        """Distance between the known ones on both sides."""
        right = np.clip(np.searchsorted(self.at, eigenvalues), 1, max(self.at.size - 1, 1))
        return self.at[np.minimum(right, self.at.size - 1)] - self.at[right - 1]

    def guess(self, eigenvalues: Floats, *, waves: bool = False) -> Complex:
        """Unknowns between the known ones, shape (N, r + K); or, by `waves`, on interpolations of bulks, edges."""
        right = np.clip(np.searchsorted(self.at, eigenvalues), 1, max(self.at.size - 1, 1))
        left, right = right - 1, np.minimum(right, self.at.size - 1)
        width = np.where(left == right, 1.0, self.at[right] - self.at[left])
        share = np.clip((eigenvalues - self.at[left]) / width, 0, 1)[:, None]
        guess = self.unknowns[left] * (1 - share) + self.unknowns[right] * share
        for wave in self.waves if waves else ():
            inside = (eigenvalues > wave.lo) & (eigenvalues < wave.hi)
            if inside.any():
                guess[inside] = wave(eigenvalues[inside])
        for root in self.roots if waves else ():
            outside = root.outside(eigenvalues)
            if outside.any():
                guess[outside] = root(eigenvalues[outside])
        return np.asarray(guess)


def near(
    equations: Equations,
    eigenvalues: Floats,
    known: Known,
    guess: Complex | None = None,
    *,
    again: bool = True,
    tolerance: float = TOLERANCE,
) -> tuple[Floats, Diagnosis]:
    """Solve at eigenvalues from guesses, and return those that are not solved by them.

    The first guess is `guess`, of shape (N, r + K), or what `known` has; what is solved is added to `known`, and
    the rest tried `again` from there.
    """
    residual, steps = 0.0, 0
    block = max(1, BLOCK // equations.neurons.n_types)
    todo = eigenvalues[~known.find(eigenvalues)[1]]
    if guess is not None:
        guess = guess[~known.find(eigenvalues)[1]]
    elif known.at.size:
        guess = known.guess(todo, waves=True)
    while todo.size and known.at.size:
        assert guess is not None
        solved = np.zeros(todo.size, dtype=bool)
        for i in range(0, todo.size, block):
            part = slice(i, i + block)
            state, size, good, more = from_guess(equations, todo[part], guess[part], tolerance=tolerance)
            known.add(state.take(np.flatnonzero(good)), equations)
            solved[part] = good
            steps += more
            residual = max(residual, float(np.max(size[good], initial=0.0)))
        todo = todo[~solved]
        if not again or solved.mean() < WORTH or todo.size < FEW:
            break
        guess = known.guess(todo)
    return todo, Diagnosis(outcome=SolverOutcome.CONVERGED, residual=residual, steps=steps)


def continued(equations: Equations, eigenvalues: Floats, known: Known, *, throw: bool = False) -> Diagnosis:
    """Solve at eigenvalues that are not known by continuation, and add what is found to `known`."""
    guess = Guess(known.guess(eigenvalues), known.gap(eigenvalues)) if known.at.size else None
    state, diagnosis = solve_on_axis(equations, eigenvalues, throw=throw, guess=guess)
    known.add(state, equations)
    return diagnosis


def densities(
    equations: Equations,
    eigenvalues: Floats,
    *,
    throw: bool = True,
    known: Known | None = None,
    guess: Complex | None = None,
    tolerance: float = TOLERANCE,
) -> Densities:
    """Array core of `spectrum`: densities at given eigenvalues, exactly on the real axis.

    Guesses are `guess`, or come from `known`, to which what is solved is added. Those that lead to a solution need
    not solve the equations better than to `tolerance`.
    """
    known = Known() if known is None else known
    todo, diagnosis = near(equations, eigenvalues, known, guess, tolerance=tolerance)
    if todo.size:
        last = continued(equations, todo, known, throw=throw)
        diagnosis = Diagnosis(
            outcome=last.outcome,
            residual=max(diagnosis.residual, last.residual),
            steps=diagnosis.steps + last.steps,
        )
    at = known.find(eigenvalues)[0]
    unknowns = known.unknowns[at]
    delta = unknowns[:, equations.rank :].T
    return Densities(
        known.density[at],
        np.maximum(delta.imag, 0.0) / np.pi,
        # delta/(1 + delta) = 1 - 1/(1 + delta)
        np.maximum(-(1.0 / (1.0 + delta)).imag, 0.0) / np.pi,
        unknowns,
        diagnosis,
    )
