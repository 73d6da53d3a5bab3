"""An interval as a small drawing: a line for its limits, a dot for the value, ticks for what it is compared with."""

from __future__ import annotations

import math
from dataclasses import dataclass

#: Units of the drawing; what lies beyond the axis ends in an arrow at its edge.
WIDTH, HEIGHT, EDGE = 120.0, 14.0, 6.0


@dataclass(frozen=True)
class Bar:
    """Places along a bar, in units of the drawing.

    Attributes
    ----------
    low, high : float
        Ends of the line.
    value : float or None
        Place of the dot; None where the value lies beyond the axis.
    reference : float or None
        Place of the tick.
    open_low, open_high : bool
        Whether the limits lie beyond the axis.
    """

    low: float
    high: float
    value: float | None
    reference: float | None
    open_low: bool = False
    open_high: bool = False
    width: float = WIDTH
    height: float = HEIGHT


def bar(
    value: float,
    low: float,
    high: float,
    axis: tuple[float, float],
    reference: float = math.nan,
    *,
    log: bool = False,
) -> Bar | None:
    """Return the drawing of an interval; None where the value is not known.

    Parameters
    ----------
    value, low, high : float
        Limits may be infinite, or NaN for none.
    axis : (float, float)
        What the two ends of the drawing stand for, the same for all rows of a table.
    reference : float
        What the value is compared with; NaN for nothing.
    log : bool
        Whether the axis is logarithmic.
    """
    if math.isnan(value) or not axis[0] < axis[1]:
        return None

    def at(x: float) -> float:
        a, b, x = (math.log(v) if v > 0 else -math.inf for v in (*axis, x)) if log else (*axis, x)
        share = (x - a) / (b - a) if math.isfinite(x) else math.copysign(math.inf, x)
        return EDGE + (WIDTH - 2 * EDGE) * share

    def kept(x: float) -> float:
        return min(max(x, EDGE), WIDTH - EDGE)

    low, high = (value if math.isnan(v) else v for v in (low, high))
    first, last, dot = at(low), at(high), at(value)
    slack = 1e-6
    return Bar(
        kept(first),
        kept(last),
        dot if EDGE - slack <= dot <= WIDTH - EDGE + slack else None,
        None if math.isnan(reference) or kept(at(reference)) != at(reference) else at(reference),
        first < EDGE - slack,
        last > WIDTH - EDGE + slack,
    )
