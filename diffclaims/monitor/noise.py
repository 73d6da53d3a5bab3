"""Noise levels, and noise that is a function of the sample, the level and the seed alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from diffclaims.memorization.distances import two_nearest
from diffclaims.monitor.data import Chosen, Data, digest
from diffclaims.monitor.pairs import Pairs

Floats = NDArray[np.float64]

N_LEVELS = 8
#: Lowest and highest level in standard deviations of a coordinate; near neighbours may lower the lowest, to the last.
LOW, HIGH, LEAST = 0.1, 4.0, 0.01


def levels(data: Data) -> Floats:
    """Return the levels for some data, increasing, in units of the data."""
    # Of both kinds, so that a training on the other half has the same levels.
    blocks = [c.x.reshape(len(c.x), -1).astype(np.float64) for _, _, c in data.items()]
    x = np.concatenate(blocks)
    std = float(np.sqrt(np.square(x - x.mean(axis=0)).mean()))
    if std == 0:
        return np.geomspace(LOW, HIGH, N_LEVELS)
    near = [two_nearest(b, b)[0][:, 1] for b in blocks if len(b) > 1]
    typical = float(np.median(np.concatenate(near))) / np.sqrt(x.shape[1]) if near else np.inf
    low = min(LOW * std, max(LEAST * std, 0.5 * typical))
    return np.array([float(f"{level:.6g}") for level in np.geomspace(low, HIGH * std, N_LEVELS)])


def pairs(chosen: Chosen, levels: Floats, seed: int) -> Pairs:
    """Return some samples with their noise at some levels, drawn on the CPU."""
    shape = (len(levels), chosen.draws, *chosen.x.shape[1:])
    drawn = []
    for sample in chosen.x:
        key = [seed, *np.frombuffer(digest(sample), dtype=np.uint32).tolist()]
        drawn.append(np.random.default_rng(key).standard_normal(shape, dtype=np.float32))
    return Pairs(chosen.x, levels, np.concatenate(drawn, axis=1))
