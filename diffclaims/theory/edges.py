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
from diffclaims.theory.resolvent import Equations
from diffclaims.theory.state import State

Floats = NDArray[np.float64]
Complex = NDArray[np.complex128]

#: Distance from the lowest noise floor, relative to it, at which the search for bulks begins.
NEAREST = 3e-5
#: Parts into which the bracket of an edge is cut at once; the share of the first bracket to which an edge is known.
SECTIONS, ACCURATE = 16, 1e-6
#: Points inside from which the end of a density follows.
FITTED = 4


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


def support_edges(equations: Equations, points: int, known: Known) -> tuple[Floats, float]:
    """Return lower and upper edges of all bulks, shape (n_bulks, 2), from a scan of so many points.

    Also how far off they may be, the largest share of an edge.
    """
    low = max(equations.lowest(), 1e-9 * equations.highest())
    # Distances from the noise floor set the scale of whatever lies just above it. The floor itself
    # may hold an atom, where the resolvent has a pole.
    grid = low + np.geomspace(NEAREST * low, equations.highest() - low, points)
    grid = np.concatenate([low * (1 - np.geomspace(0.5, NEAREST, 20)), grid])
    # A trial that lies on an edge may not be solved; the mass found in the end says if that mattered.
    if equations.neurons.n_types > 1:
        # Guesses from every fourth cost less than a continuation of all, where each step is of many types.
        densities(equations, grid[::4], throw=False, known=known)
    density = densities(equations, grid, throw=False, known=known).density
    inside = density > 0
    change = np.flatnonzero(inside[1:] != inside[:-1])
    rising = inside[change + 1]
    edge, error = _sectioned(equations, grid, density, change, known)
    starts, ends = edge[rising], edge[~rising]
    count = min(starts.size, ends.size)
    if count == 0:
        raise SolveFailed("spectrum: no eigenvalue with a positive density was found; raise `resolution`")
    return np.stack([starts[:count], ends[:count]], axis=1), float((error / edge).max())


def _sectioned(
    equations: Equations, grid: Floats, density: Floats, change: NDArray[np.intp], known: Known
) -> tuple[Floats, Floats]:
    """Edges between neighbours of a grid of which one alone has a density, and the errors that they may have.

    Every bracket is cut into sixteen at once, until the density inside shows where it ends.
    """
    lower, upper, rising = grid[change], grid[change + 1], density[change + 1] > 0
    edge, error, allowed = (lower + upper) / 2, (upper - lower) / 2, ACCURATE * (upper - lower)
    share = np.linspace(0, 1, SECTIONS + 1)[1:-1]
    while (todo := np.flatnonzero(error > allowed)).size:
        trial = np.unique(lower[todo, None] * (1 - share) + upper[todo, None] * share)
        new = densities(equations, trial, throw=False, known=known).density
        grid, first = np.unique(np.concatenate([grid, trial]), return_index=True)
        density = np.concatenate([density, new])[first]
        for i in todo:
            # The first change from below: where several bulks lie in one bracket, the scan was too coarse.
            part = np.arange(np.searchsorted(grid, lower[i]), np.searchsorted(grid, upper[i]))
            at = part[np.argmax((density[part + 1] > 0) == rising[i])]
            lower[i], upper[i] = grid[at], grid[at + 1]
            within = at + 1 + np.arange(FITTED) if rising[i] else at - np.arange(FITTED)
            edge[i], error[i] = _end(grid, density, within[(within >= 0) & (within < grid.size)])
            if not (lower[i] <= edge[i] <= upper[i] and error[i] <= allowed[i]):
                edge[i], error[i] = (lower[i] + upper[i]) / 2, (upper[i] - lower[i]) / 2
    return edge, error


def _end(grid: Floats, density: Floats, within: NDArray[np.intp]) -> tuple[float, float]:
    """Where the density ends, from points inside, the nearest first; and how far the last one moves it.

    A density is a root of the distance from its edge, so that the distance is a smooth function of its square.
    """
    x, square = grid[within], density[within] ** 2
    if within.size < FITTED or not (np.diff(square) > 0).all():
        return np.nan, np.inf
    fewer, all_of_them = (_at_zero(square[:n], x[:n]) for n in (FITTED - 1, FITTED))
    return all_of_them, abs(all_of_them - fewer)


def _at_zero(x: Floats, y: Floats) -> float:
    """Value at zero of the polynomial through the points."""
    others = ~np.eye(x.size, dtype=bool)
    shares = [np.prod(x[other] / (x[other] - own)) for own, other in zip(x, others, strict=True)]
    return float(y @ np.array(shares))
