"""Where a curve first reaches a level: a smooth one, or one that is known from jittery snapshots."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression

Floats = NDArray[np.float64]


def smooth_crossing(x: Floats, y: Floats, level: float | Floats) -> tuple[Floats, Floats]:
    """Return where smooth curves first reach a level, by a monotone cubic (PCHIP) between the points.

    Parameters
    ----------
    x : ndarray, shape (T,)
        Increasing.
    y : ndarray, shape (..., T)
        Exact up to rounding: any point at or above the level counts.
    level : float or ndarray
        Of all curves, or what broadcasts to the shape (...) of them.

    Returns
    -------
    at : ndarray, shape (...)
        +inf if never reached; the first x if reached from the start.
    slope : ndarray, shape (...)
        Of the cubic there; +inf if never reached.
    """
    return smooth_crossings([(x, y)], level)[0]


def smooth_crossings(
    curves: Sequence[tuple[Floats, Floats]], level: float | Floats
) -> list[tuple[Floats, Floats]]:
    """Return `smooth_crossing` of several x and y, all at once: one number takes as long as a hundred."""
    parts, cells, heights = [], [], []
    for x, y in curves:
        shape, y = y.shape[:-1], y.reshape(-1, x.size)
        height = np.broadcast_to(level, shape).ravel()
        reached = y >= height[:, None]
        found = np.flatnonzero(reached.any(axis=-1))
        at, slope = np.full((2, len(y)), np.inf)
        if found.size and x.size > 1:
            index = np.argmax(reached[found], axis=-1)
            cell = np.clip(index - 1, 0, x.size - 2)
            cells.append(_around(x, y[found], cell))
            heights.append(height[found])
            parts.append((shape, at, slope, found, x[cell], index == 0))
        else:
            at[found] = x[0]
            parts.append((shape, at, slope, found[:0], x[:0], found[:0] == 0))
    if cells:
        c, width = _cubic(*(np.concatenate(part, axis=-1) for part in zip(*cells, strict=True)))
        c[3] -= np.concatenate(heights)
        root = np.where(np.concatenate([first for *_, first in parts]), 0.0, _root(c, width))
        steep = (3 * c[0] * root + 2 * c[1]) * root + c[2]
        ends = np.cumsum([found.size for _, _, _, found, _, _ in parts])[:-1]
        roots, slopes = np.split(root, ends), np.split(steep, ends)
        for (_, at, slope, found, start, _), own, rise in zip(parts, roots, slopes, strict=True):
            at[found] = start + own
            slope[found] = rise
    return [(at.reshape(shape), slope.reshape(shape)) for shape, at, slope, *_ in parts]


def _around(x: Floats, y: Floats, cell: NDArray[np.intp]) -> tuple[Floats, Floats, Floats, NDArray[np.bool_]]:
    """Widths and mean slopes, (3, n), of a cell of each curve and its neighbours; its start; whether it is an end."""
    last, curve = x.size - 2, np.arange(cell.size)
    around = np.clip(cell + np.array([[-1], [0], [1]]), 0, last)
    h = x[around + 1] - x[around]
    m = (y[curve, around + 1] - y[curve, around]) / h
    return h, m, y[curve, cell], np.stack([cell == 0, cell == last])


def _cubic(h: Floats, m: Floats, start: Floats, ends: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Coefficients (4, n) of the monotone cubic in each cell, in powers of the distance from its start, and widths.

    Those of scipy's `PchipInterpolator` (Fritsch and Butland), without all other cells: slopes at the ends of a cell
    follow from it and its neighbours.
    """
    left = np.where(ends[0], _at_end(h[1], h[2], m[1], m[2]), _between(h[0], h[1], m[0], m[1]))
    right = np.where(ends[1], _at_end(h[1], h[0], m[1], m[0]), _between(h[1], h[2], m[1], m[2]))
    bend = (left + right - 2 * m[1]) / h[1]
    return np.stack([bend / h[1], (m[1] - left) / h[1] - bend, left, start]), h[1]


def _between(h0: Floats, h1: Floats, m0: Floats, m1: Floats) -> Floats:
    """Slope between two cells of these widths and mean slopes: a harmonic mean, 0 at a turn."""
    w0, w1 = h0 + 2 * h1, 2 * h0 + h1
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(m0 * m1 > 0, (w0 + w1) / (w0 / m0 + w1 / m1), 0.0)


def _at_end(h0: Floats, h1: Floats, m0: Floats, m1: Floats) -> Floats:
    """Slope at the first of these points: that of a parabola, within what keeps the cubic monotone."""
    d = ((2 * h0 + h1) * m0 - h0 * m1) / (h0 + h1)
    d = np.where((m0 * m1 <= 0) & (np.abs(d) > 3 * np.abs(m0)), 3 * m0, d)
    return np.where(d * m0 > 0, d, 0.0)


def _root(c: Floats, width: Floats) -> Floats:
    """Root of each rising cubic in [0, width], coefficients (4, n): Newton's method, halving where it leaves."""
    low, high = np.zeros_like(width), width
    s = width / 2
    for _ in range(60):
        value = ((c[0] * s + c[1]) * s + c[2]) * s + c[3]
        slope = (3 * c[0] * s + 2 * c[1]) * s + c[2]
        low, high = np.where(value < 0, s, low), np.where(value < 0, high, s)
        with np.errstate(divide="ignore", invalid="ignore"):
            newton = s - value / slope
        following = np.where((newton >= low) & (newton <= high), newton, (low + high) / 2)
        # Each step of Newton's method squares the error that the one before left.
        done = np.abs(following - s) <= 1e-9 * width
        s = following
        if done.all():
            break
    return np.asarray(s)


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


def first_reached(steps: Floats, values: Floats, threshold: float, *, from_start: bool = False) -> Floats:
    """Return `jittery_crossing` of one curve or of several.

    Parameters
    ----------
    steps : ndarray, shape (T,)
    values : ndarray, shape (T,) or (T, B)
        A curve that is not finite everywhere has the time NaN.
    threshold : float
    from_start : bool
        Whether a curve may be there at step 0, which has no ln: it is found in ln(1 + step) then. Otherwise
        measurements before the first step are left out.

    Returns
    -------
    ndarray, shape () or (B,)
    """
    kept, moved = (steps >= 0, 1) if from_start else (steps > 0, 0)
    curves = values[kept].reshape(int(kept.sum()), -1)
    found = [
        jittery_crossing(steps[kept] + moved, y, threshold) - moved if np.isfinite(y).all() else np.nan
        for y in curves.T
    ]
    return np.array(found).reshape(values.shape[1:])


def ln_spread(samples: Floats) -> Floats:
    """Return half the 16-84 % range of ln(time) over resamplings (first axis); +inf if censored."""
    ordered = np.sort(np.log(samples), axis=0)  # quantiles of infinities must not be interpolated
    low, high = ordered[int(0.16 * len(ordered))], ordered[int(0.84 * len(ordered))]
    with np.errstate(invalid="ignore"):
        half = (high - low) / 2
    return np.where(np.isfinite(high), half, np.inf)
