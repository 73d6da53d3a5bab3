"""Arrays from a user, as double precision, or one clear error."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffclaims.errors import InvalidInput

Floats = NDArray[np.float64]

#: Weights and fractions must sum to one within this; further off is a mistake, not rounding.
SUM_TOLERANCE = 1e-9


def numbers(name: str, value: ArrayLike) -> Floats:
    """Return finite real numbers, at least one."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidInput.of(name, value, "be an array of real numbers", "check its entries") from None
    if array.ndim == 0 or array.size == 0:
        raise InvalidInput.of(name, value, "hold at least one number per class", "give a list")
    if not np.isfinite(array).all():
        raise InvalidInput.of(name, value, "be finite", "remove NaN and infinity")
    return array


def probabilities(name: str, value: ArrayLike) -> Floats:
    """Return positive numbers that sum to one, shape (n,)."""
    array = numbers(name, value)
    if array.ndim != 1:
        raise InvalidInput.of(name, value, "be one-dimensional", "give a flat list")
    if array.min() <= 0:
        raise InvalidInput.of(name, value, "be positive", "drop the entries that are zero")
    total = float(array.sum())
    if abs(total - 1) > SUM_TOLERANCE:
        raise InvalidInput.of(
            name,
            value,
            f"sum to 1 (their sum is {total:.12g})",
            f"divide them by {total:.12g} if they are meant as proportions",
        )
    return array
