"""Second layers at diffusion times between those at which they were trained.

A trained second layer changes smoothly with the diffusion time, but where the best training time jumps. A cubic
spline goes through the trained ones, as a function of ``atanh(e^-t)``: that is ``e^-t`` in much noise, by which
the data then enter, and ``log(2/t)/2`` in little, as noise levels are spaced. The choice of the variable is ours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

Floats = NDArray[np.float64]


def trained_steps(n_steps: int, every: int) -> list[int]:
    """Which of so many steps have a score of their own: each `every`-th, and the last, so that none lies outside."""
    return sorted({*range(0, n_steps, every), n_steps - 1})


def fill(times: Floats, kept: list[int], readouts: Floats) -> Floats:
    """Return second layers (T, d, p) at all times.

    Parameters
    ----------
    times : ndarray, shape (T,)
        Decreasing diffusion times.
    kept : list of int
        Positions of the times of `readouts`, the first and the last time among them.
    readouts : ndarray, shape (len(kept), d, p)
        Trained second layers; they are returned as they are.
    """
    # Increasing, as times decrease.
    at = np.arctanh(np.exp(-times))
    out = CubicSpline(at[kept], readouts, axis=0)(at)
    out[kept] = readouts
    return np.asarray(out)
