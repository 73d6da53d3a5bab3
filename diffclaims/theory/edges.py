"""The edges of the support, each from solutions next to it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from diffclaims.errors import SolveFailed
from diffclaims.theory.angle import Root, through
from diffclaims.theory.densities import Known, continued, near
from diffclaims.theory.resolvent import Equations

Floats = NDArray[np.float64]
Complex = NDArray[np.complex128]
Indices = NDArray[np.intp]

#: Distance from the lowest noise floor, relative to it, at which the search for bulks begins.
NEAREST = 3e-5
#: Of a scan of several neuron types every point of 2 to this power is continued from above.
HALVINGS = 2
#: Points inside from which the end of a density follows; distances of the next ones from it, in units of the nearest.
FITTED, NEARER = 4, np.array([0.5, 0.2, 0.05, 0.01])
#: Relative mismatch of the equations at which a scan knows whether there is a density.
SCANNED = 1e-7
#: Parts into which a bracket is cut where that says nothing.
SECTIONS = 16
#: Error of an edge, relative to it, at which the search ends, with one type of neurons and with several.
ACCURATE = (1e-9, 1e-8)
#: Rounds of the search at most.
ROUNDS = 20
#: Rounds before points that lead nowhere are continued from above.
PATIENCE = 4


def scan(equations: Equations, points: int, known: Known) -> Floats:
    """Solve on a grid of so many points across the spectrum, but for some next to an edge, and return it."""
    low = max(equations.lowest(), 1e-9 * equations.highest())
    # Distances from the noise floor set the scale of whatever lies just above it. The floor itself
    # may hold an atom, where the resolvent has a pole.
    grid = low + np.geomspace(NEAREST * low, equations.highest() - low, points)
    grid = np.concatenate([low * (1 - np.geomspace(0.5, NEAREST, 20)), grid])
    halvings = HALVINGS if equations.neurons.n_types > 1 else 0
    if known.at.size == 0:
        continued(equations, grid[:: 2**halvings], known)
    # Every second one starts those between.
    rest = np.empty(0)
    for i in reversed(range(halvings + 1)):
        rest, _ = near(equations, grid[:: 2**i], known, again=False, tolerance=SCANNED)
    # Between a point with a density and one without there is an edge, which is looked for anyway. Between two of a
    # kind there may be more. A point on an edge may not be solved; the mass found in the end says if that mattered.
    left = np.searchsorted(known.at, rest)
    inside = np.concatenate([[False], known.density > 0, [False]])
    rest = rest[inside[left] == inside[left + 1]]
    if rest.size:
        continued(equations, rest, known)
    return grid


def support_edges(equations: Equations, known: Known, among: Floats) -> tuple[Floats, float]:
    """Return lower and upper edges of the bulks, shape (n_bulks, 2), that show among eigenvalues that are known.

    Also how far off they may be, the largest share of an edge.
    """
    where, have = known.find(among)
    at, inside = among[have], known.density[where[have]] > 0
    change = np.flatnonzero(inside[1:] != inside[:-1])
    rising = inside[change + 1]
    edge, error = _searched(equations, known, at[change], at[change + 1], rising)
    starts, ends = edge[rising], edge[~rising]
    count = min(starts.size, ends.size)
    if count == 0:
        raise SolveFailed("spectrum: no eigenvalue with a positive density was found; raise `resolution`")
    return np.stack([starts[:count], ends[:count]], axis=1), float((error / edge).max())


def _searched(
    equations: Equations, known: Known, lower: Floats, upper: Floats, rising: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Edges between known points of which the upper one alone has a density, or the lower; and errors they may have.

    Four points inside tell where the density ends. Points nearer to that are added, until it moves no more.
    """
    edge, error = (lower + upper) / 2, (upper - lower) / 2
    accurate = ACCURATE[0 if equations.neurons.n_types == 1 else 1]
    roots: dict[int, Root] = {}
    todo = np.arange(lower.size)
    for attempt in range(ROUNDS):
        trials, guesses = [], []
        for i in todo.tolist():
            # The first change from below: where several bulks lie in one bracket, the scan was too coarse.
            part = np.arange(*np.searchsorted(known.at, [lower[i], upper[i]]))
            at = part[np.argmax((known.density[part + 1] > 0) == rising[i])]
            stuck = attempt > 0 and (lower[i], upper[i]) == (known.at[at], known.at[at + 1])
            lower[i], upper[i] = known.at[at], known.at[at + 1]
            within = at + 1 + np.arange(FITTED) if rising[i] else at - np.arange(FITTED)
            within = within[(within >= 0) & (within < known.at.size)]
            found, moved, count = _end(known.at, known.density, within)
            if stuck or not lower[i] <= found <= upper[i]:
                edge[i], error[i] = (lower[i] + upper[i]) / 2, (upper[i] - lower[i]) / 2
                trials.append(np.linspace(lower[i], upper[i], SECTIONS + 1)[1:-1])
                guesses.append(known.guess(trials[-1]))
                continue
            edge[i], error[i] = found, moved
            roots[i] = Root(found, known.at[within[:count]], known.unknowns[within[:count]])
            if moved > accurate * found:
                trials.append(found + NEARER * (known.at[within[0]] - found))
                guesses.append(roots[i](trials[-1]))
        todo = todo[error[todo] > accurate * edge[todo]]
        if todo.size == 0:
            break
        at, first = np.unique(np.concatenate(trials), return_index=True)
        rest, _ = near(equations, at, known, np.concatenate(guesses)[first], again=False)
        if attempt > PATIENCE and rest.size:
            continued(equations, rest, known)
    known.roots = list(roots.values())
    return edge, error


def _end(grid: Floats, density: Floats, within: Indices) -> tuple[float, float, int]:
    """Where the density ends, from points inside, the nearest first; how far the last one moves it; of how many.

    A density is a root of the distance from its edge, so that the distance is a smooth function of its square. That
    is one to one as far as the density increases.
    """
    x, square = grid[within], density[within] ** 2
    count = int(np.argmin(np.append(np.diff(np.append(0.0, square)) > 0, False)))
    if count < 3:
        return np.nan, np.inf, count
    fewer, all_of_them = (float(through(square[:n], x[:n], np.zeros(1))[0]) for n in (count - 1, count))
    return all_of_them, abs(all_of_them - fewer), count
