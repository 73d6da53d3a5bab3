"""Curves with bands as a drawing: from numbers to places on the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Size of a drawing, and of its margins: left, right, top, bottom.
WIDTH, HEIGHT = 360.0, 220.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 12.0, 10.0, 34.0


@dataclass(frozen=True, eq=False)
class Line:
    """A curve: values (T,) with limits, and the look that the style sheet gives it."""

    look: str
    values: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Drawn:
    """A line as places: points of the line, of the outline of its band, and single dots."""

    look: str
    points: str
    band: str
    dots: list[tuple[float, float]]


@dataclass(frozen=True)
class Mark:
    """A sign on a curve: at a step, of a look."""

    look: str
    x: float
    y: float


@dataclass(frozen=True)
class Chart:
    """A drawing.

    Attributes
    ----------
    title, about : str
        For readers who do not see it.
    lines : list of Drawn
    x_ticks, y_ticks : list of (float, str)
        Places and what stands there.
    window : (float, float) or None
        Left edge and width of the part that is marked.
    marks : list of Mark
    """

    title: str
    about: str
    lines: list[Drawn]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    window: tuple[float, float] | None = None
    marks: list[Mark] = field(default_factory=list)
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    right: float = WIDTH - RIGHT
    top: float = TOP
    bottom: float = HEIGHT - BOTTOM


def chart(
    title: str,
    about: str,
    steps: Floats,
    lines: Sequence[Line],
    *,
    y_range: tuple[float, float],
    window: tuple[float, float] | None = None,
    marks: Sequence[tuple[str, float]] = (),
) -> Chart:
    """Draw curves over the steps of a training, both axes logarithmic.

    Parameters
    ----------
    title, about : str
    steps : ndarray, shape (T,)
        Increasing; drawn in ln(1 + step).
    lines : sequence of Line
        The first is the one that marks stand on.
    y_range : (float, float)
        Least and largest value of all charts that stand side by side.
    window : (float, float), optional
        First and last step of the part that is marked; infinity for no end.
    marks : sequence of (look, step)
        Those beyond the steps are left out.
    """
    x = np.log1p(steps)
    first, last = float(x[0]), float(x[-1] if len(x) > 1 else x[0] + 1)
    low, high = (math.log(v) for v in y_range)

    def across(at: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (at - first) / (last - first), 2)

    def down(value: float) -> float:
        return round(TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low), 2)

    def drawn(line: Line) -> Drawn:
        ok = np.isfinite(line.values) & (line.values > 0)
        dots = [(across(a), down(math.log(v))) for a, v in zip(x[ok], line.values[ok], strict=True)]
        known = ok & np.isfinite(line.low) & np.isfinite(line.high) & (line.low > 0)
        edge = [(across(a), down(math.log(v))) for a, v in zip(x[known], line.high[known], strict=True)]
        back = [(across(a), down(math.log(v))) for a, v in zip(x[known], line.low[known], strict=True)]
        return Drawn(line.look, _points(dots), _points(edge + back[::-1]), dots)

    shown = []
    if lines:
        ok = np.isfinite(lines[0].values) & (lines[0].values > 0)
        for look, step in marks:
            at = float(np.log1p(step))
            if ok.any() and first <= at <= last:
                y = float(np.interp(at, x[ok], np.log(lines[0].values[ok])))
                shown.append(Mark(look, across(at), down(y)))
    return Chart(
        title,
        about,
        [drawn(line) for line in lines],
        [(across(math.log1p(s)), f"{s:,}") for s in _step_ticks(first, last)],
        [(down(math.log(v)), f"{v:g}") for v in _log_ticks(*y_range)],
        None if window is None else _marked(window, first, last, across),
        shown,
    )


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in places)


def _marked(window: tuple[float, float], first: float, last: float, across) -> tuple[float, float] | None:  # type: ignore[no-untyped-def]
    """The part of a window that lies on the axis."""
    start, stop = (min(max(float(np.log1p(w)), first), last) for w in window)
    return None if not start < stop else (across(start), round(across(stop) - across(start), 2))


def _step_ticks(first: float, last: float) -> list[int]:
    powers = [10**k for k in range(19) if first <= math.log1p(10**k) <= last]
    start = round(math.expm1(first))
    far = [p for p in powers if math.log1p(p) - first > 0.12 * (last - first)]
    return [start, *far]


def _log_ticks(low: float, high: float) -> list[float]:
    """Return round numbers, fewer for each factor of ten where these are many."""
    for steps in ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 2, 5), (1,)):
        decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
        ticks = [s * 10.0**k for k in decades for s in steps if low <= s * 10.0**k <= high]
        if len(ticks) <= 7:
            break
    return ticks or [low, high]
