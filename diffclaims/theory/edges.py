"""Densities on the real axis, and the edges of the support.

Solutions next to each other start each other: only a first scan is continued from far above the axis.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from diffclaims.errors import SolveFailed
from diffclaims.theory.axis import solve_on_axis
from diffclaims.theory.outcome import Diagnosis
from diffclaims.theory.resolvent import Equations, State

Floats = NDArray[np.float64]
Complex = NDArray[np.complex128]

#: Distance from the lowest noise floor, relative to it, at which the search for bulks begins.
NEAREST = 3e-5


class Densities(NamedTuple):
    """Spectral densities at N eigenvalues."""

    density: Floats  # (N,)
    population: Floats  # (K, N)
    training: Floats  # (K, N)
    diagnosis: Diagnosis


class Known:
    """Solutions on the axis so far, from which others are guessed."""

    def __init__(self) -> None:
        self.at: Floats = np.empty(0)
        self.unknowns: Complex = np.empty((0, 0), dtype=complex)

    def add(self, state: State) -> None:
        """Remember the solutions of a state."""
        new = np.concatenate([state.y, state.delta], axis=1)
        old = self.unknowns.reshape(-1, new.shape[1])
        self.at, first = np.unique(np.concatenate([self.at, state.z.real]), return_index=True)
        self.unknowns = np.concatenate([old, new])[first]

    def guess(self, eigenvalues: Floats) -> Complex:
        """Unknowns between the known ones, shape (N, r + K)."""
        columns = [
            np.interp(eigenvalues, self.at, x.real) + 1j * np.interp(eigenvalues, self.at, x.imag)
            for x in self.unknowns.T
        ]
        return np.stack(columns, axis=1)


def densities(
    equations: Equations,
    eigenvalues: Floats,
    *,
    throw: bool = True,
    known: Known | None = None,
) -> Densities:
    """Array core of `spectrum`: densities at given eigenvalues, exactly on the real axis.

    Guesses come from `known`, to which what is solved is added.
    """
    guess = None
    if known is not None and known.at.size:
        between = known.guess(eigenvalues)
        guess = between[:, : equations.rank], between[:, equations.rank :]
    state, diagnosis = solve_on_axis(equations, eigenvalues, throw=throw, guess=guess)
    if known is not None:
        known.add(state)
    trace = state.q @ equations.neurons.weight
    return Densities(
        np.maximum(trace.imag, 0.0) / np.pi,
        np.maximum(state.delta.imag.T, 0.0) / np.pi,
        # delta/(1 + delta) = 1 - 1/(1 + delta)
        np.maximum(-state.inverse.imag.T, 0.0) / np.pi,
        diagnosis,
    )


def support_edges(equations: Equations, points: int, known: Known) -> Floats:
    """Return lower and upper edges of all bulks, shape (n_bulks, 2), from a scan of so many points."""
    low = max(equations.lowest(), 1e-9 * equations.highest())
    # Distances from the noise floor set the scale of whatever lies just above it. The floor itself
    # may hold an atom, where the resolvent has a pole.
    grid = low + np.geomspace(NEAREST * low, equations.highest() - low, points)
    grid = np.concatenate([low * (1 - np.geomspace(0.5, NEAREST, 20)), grid])
    # A trial that lies on an edge may not be solved; the mass found in the end says if that mattered.
    density = densities(equations, grid, throw=False, known=known).density
    inside = density > 0
    change = np.flatnonzero(inside[1:] != inside[:-1])
    rising = inside[change + 1]
    lower, upper = grid[change], grid[change + 1]
    # Section every bracket by sixteen at once: five rounds reach a millionth of the bracket.
    share = np.linspace(0, 1, 17)
    for _ in range(5):
        if change.size == 0:
            break
        trial = lower[:, None] * (1 - share) + upper[:, None] * share
        flat = np.unique(trial[:, 1:-1])
        hit = densities(equations, flat, throw=False, known=known).density > 0
        within = hit[np.searchsorted(flat, trial[:, 1:-1])]
        state = np.concatenate([~rising[:, None], within, rising[:, None]], axis=1)
        at = np.argmax(state[:, 1:] != state[:, :-1], axis=1)
        lower, upper = trial[np.arange(at.size), at], trial[np.arange(at.size), at + 1]
    edge = (lower + upper) / 2
    starts, ends = edge[rising], edge[~rising]
    count = min(starts.size, ends.size)
    if count == 0:
        raise SolveFailed("spectrum: no eigenvalue with a positive density was found; raise `resolution`")
    return np.stack([starts[:count], ends[:count]], axis=1)
