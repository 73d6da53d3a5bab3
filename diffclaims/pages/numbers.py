"""Numbers as pages show them: one way for those that are not known, and for those that never come."""

from __future__ import annotations

import math

#: For what is not known.
UNKNOWN = "–"


def number(value: float, form: str = ".2f", never: str = "∞") -> str:
    """Return a number as text.

    Parameters
    ----------
    value : float
        NaN for what is not known.
    form : str
        As `format` takes it.
    never : str
        For infinity.
    """
    value = float(value)
    if math.isnan(value):
        return UNKNOWN
    if math.isinf(value):
        return never if value > 0 else f"−{never}"
    return f"{value:{form}}".replace("-", "−")


def spread(value: float, low: float, high: float, form: str = ".2f", never: str = "∞") -> str:
    """Return a number with its limits, as ``0.33 [0.26, 0.40]``; alone where they say no more or are not known."""
    text = number(value, form, never)
    if math.isnan(float(value)) or math.isnan(float(low)) or math.isnan(float(high)):
        return text
    if float(value) == float(low) == float(high) and math.isinf(value):
        return text
    return f"{text} [{number(low, form, never)}, {number(high, form, never)}]"
