"""Where a curve first reaches a level: a smooth one, or one that is known from jittery snapshots."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator
from scipy.optimize import isotonic_regression

Floats = NDArray[np.float64]


def smooth_crossing(x: Floats, y: Floats, level: float) -> Floats:
    """Return where smooth curves first reach a level, by a monotone cubic (PCHIP) between the points.

    Parameters
    ----------
    x : ndarray, shape (T,)
        Increasing.
    y : ndarray, shape (..., T)
        Exact up to rounding: any point at or above the level counts.
    level : float

    Returns
    -------
    ndarray, shape (...)
        +inf if never reached; the first x if reached from the start.
    """
    reached = y >= level
    found = reached.any(axis=-1)
    index = np.argmax(reached, axis=-1)
    cell = np.clip(index - 1, 0, x.size - 2)
    slopes = PchipInterpolator(x, y, axis=-1).derivative()(x)

    def pick(values: Floats, shift: int) -> Floats:
        return np.take_along_axis(values, (cell + shift)[..., None], axis=-1)[..., 0]

    h = x[cell + 1] - x[cell]
    y0, y1, d0, d1 = pick(y, 0), pick(y, 1), pick(slopes, 0) * h, pick(slopes, 1) * h
    low, high = np.zeros(cell.shape), np.ones(cell.shape)
    # The monotone cubic has one crossing in its cell; bisection finds it for all curves together.
    for _ in range(52):
        s = (low + high) / 2
        value = (
            y0 * (1 + 2 * s) * (1 - s) ** 2
            + y1 * s**2 * (3 - 2 * s)
            + d0 * s * (1 - s) ** 2
            - d1 * s**2 * (1 - s)
        )
        below = value < level
        low, high = np.where(below, s, low), np.where(below, high, s)
    at = x[cell] + high * h
    at = np.where(index == 0, x[0], at)
    return np.where(found, at, np.inf)


def jittery_crossing(steps: ArrayLike, values: ArrayLike, threshold: float) -> float:
    """Return the step at which a rising curve of jittery snapshots first reaches a threshold.

    The curve is fitted by a monotone one (isotonic regression) up to its largest value, so that jitter
    makes no early crossing and a later fall does not count; then interpolated in ln(step).

    Parameters
    ----------
    steps : array_like, shape (T,)
        Increasing, positive.
    values : array_like, shape (T,)
    threshold : float

    Returns
    -------
    float
        +inf if never reached; the first step if reached from the start.
    """
    x, y = np.log(np.asarray(steps, dtype=np.float64)), np.asarray(values, dtype=np.float64)
    last = int(y.argmax()) + 1
    fit = isotonic_regression(y[:last]).x
    if fit[-1] < threshold:
        return np.inf
    i = int(np.argmax(fit >= threshold))
    if i == 0:
        return float(np.exp(x[0]))
    return float(np.exp(x[i - 1] + (x[i] - x[i - 1]) * (threshold - fit[i - 1]) / (fit[i] - fit[i - 1])))
