"""Integrals over the bulks of a spectrum, each with as many nodes as it needs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from diffclaims.theory.angle import Wave, integral, nodes, position, slope
from diffclaims.theory.densities import TOLERANCE, Known, densities
from diffclaims.theory.resolvent import Equations

Floats = NDArray[np.float64]

#: Parts of the angle at first, and at most.
FEWEST, MOST = 16, 2048
#: Relative mismatch of the equations that is enough for several types of neurons.
COARSE = 1e-7


class Bulks(NamedTuple):
    """Integrals over B bulks, and by how much each may be off."""

    mass: Floats  # (B,)
    mean: Floats  # (B,)
    population: Floats  # (K, B)
    training: Floats  # (K, B)
    training_log: Floats  # (K, B)
    error: Floats  # (B,), absolute, the largest of all five


def integrate(
    equations: Equations,
    edges: Floats,
    known: Known,
    tolerance: float,
    *,
    missing: float = 0.0,
    total: float = 1.0,
    split: bool = False,
) -> Bulks | None:
    """Integrate mass, mean eigenvalue and class energies over each bulk.

    The nodes of a bulk are doubled until nothing is off by more than `tolerance`, or than a share `missing` of
    the mass that all bulks together lack.

    Parameters
    ----------
    equations : Equations
    edges : ndarray, shape (B, 2)
    known : Known
        Solutions on the axis so far; those at the nodes are added.
    tolerance, missing : float
    total : float
        Mass of all bulks.
    split : bool
        Whether to give up where nodes show that a bulk is two.

    Returns
    -------
    Bulks, or None
        None where it gave up.
    """
    one = equations.neurons.n_types == 1
    count = len(edges)
    table, error = np.zeros((count, 2 + 3 * equations.mixture.n_classes)), np.full(count, np.inf)
    parts = np.full(count, FEWEST // 2)
    waves: list[Wave | None] = [None] * count
    while True:
        allowed = max(tolerance, missing * abs(total - float(table[:, 0].sum())))
        todo = np.flatnonzero((error > allowed) & (parts < MOST))
        if todo.size == 0:
            break
        parts[todo] *= 2
        at = [position(nodes(parts[i]), *edges[i]) for i in todo]
        before = [wave.doubled() for i in todo if (wave := waves[i]) is not None]
        guess = np.concatenate(before) if len(before) == todo.size else None
        every = np.concatenate(at)
        found = densities(
            equations, every, throw=False, known=known, guess=guess, tolerance=TOLERANCE if one else COARSE
        )
        rows = np.concatenate([found.density[None], found.population, found.training])
        ends = np.cumsum(parts[todo] - 1)[:-1]
        pieces = zip(todo, at, np.split(rows, ends, axis=1), np.split(found.unknowns, ends), strict=True)
        for i, x, row, unknowns in pieces:
            if split and _apart(row[0]):
                return None
            waves[i] = Wave(float(edges[i, 0]), float(edges[i, 1]), unknowns)
            table[i], error[i] = _one(x, row, slope(nodes(parts[i]), *edges[i]))
    known.waves = [wave for wave in waves if wave is not None]
    population, training, training_log = np.split(table[:, 2:].T, 3)
    return Bulks(table[:, 0], table[:, 1], population, training, training_log, error)


def _one(at: Floats, row: Floats, weight: Floats) -> tuple[Floats, float]:
    """Mass, mean, and energies of one bulk, and their largest error, from densities at its nodes."""
    density, energies = row[0] * weight, row[1:] * weight
    training = energies[len(energies) // 2 :]
    values, off = integral(np.concatenate([[density, density * at], energies, training * np.log(at)]))
    # A mean is a quotient. It lies inside, whatever the errors.
    mass = max(float(values[0]), 1e-300)
    values[1] /= mass
    off[1] = min(integral(density * (at - values[1]))[1] / mass, at[-1] - at[0])
    return values, float(off.max())


def _apart(density: Floats) -> bool:
    """Whether a density ends and begins again."""
    inside = np.flatnonzero(density > 0)
    return bool(inside.size) and inside[-1] - inside[0] + 1 > inside.size
