"""Arrays and settings from a user: checked, or one clear error."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffclaims.errors import InvalidInput

Floats = NDArray[np.float64]

#: Weights and fractions must sum to one within this; further off is a mistake, not rounding.
SUM_TOLERANCE = 1e-9


def numbers(name: str, value: ArrayLike) -> Floats:
    """Return finite real numbers, at least one."""
    value = unmasked(name, value)
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidInput.of(name, value, "be an array of real numbers", "check its entries") from None
    if array.ndim == 0 or array.size == 0:
        raise InvalidInput.of(name, value, "hold at least one number per class", "give a list")
    if not np.isfinite(array).all():
        raise InvalidInput.of(name, value, "be finite", "remove NaN and infinity")
    return array


def unmasked(name: str, value: Any) -> Any:
    """Return the numbers of a masked array in which none is masked; anything else as it is.

    Raises
    ------
    InvalidInput
        Where an entry is masked: it would be read as a number.
    """
    if not isinstance(value, np.ma.MaskedArray):
        return value
    masked = int(np.ma.getmaskarray(value).sum())
    if masked:
        shown = f"<masked array with {masked} masked entries>"
        raise InvalidInput.of(name, shown, "have none masked", "fill them, or leave them out")
    return np.asarray(value.data)


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


@dataclass(frozen=True)
class Limit:
    """What a setting must be, said beside its field: ``width: int = setting(16, at_least(4))``."""

    #: A phrase that follows "must".
    text: str
    holds: Callable[[Any], bool]
    fix: str

    def check(self, name: str, value: object) -> None:
        """Refuse a value beyond the limit."""
        try:
            holds = bool(self.holds(value))
        except (TypeError, ValueError):  # a value of another kind
            holds = False
        if not holds:
            raise InvalidInput.of(name, value, self.text, self.fix)


def setting(default: Any, limit: Limit) -> Any:
    """Return the field of a dataclass with a default and a limit, which `check_settings` holds it to."""
    return dataclasses.field(default=default, metadata={"limit": limit})


def check_settings(settings: Any) -> None:
    """Hold every field of a dataclass to its limit.

    Raises
    ------
    InvalidInput
        For the first value that lies beyond its own.
    """
    for field in dataclasses.fields(settings):
        if "limit" in field.metadata:
            field.metadata["limit"].check(field.name, getattr(settings, field.name))


def at_least(low: float) -> Limit:
    """Return the limit of numbers from `low` on."""
    return Limit(f"be at least {low:g}", lambda v: v >= low, "raise it")


#: The limit of numbers above 0.
POSITIVE = Limit("be positive", lambda v: v > 0, "raise it")


def one_of(*words: str) -> Limit:
    """Return the limit of settings that are one of a few words."""
    return Limit(f"be {', '.join(words[:-1])} or {words[-1]}", lambda v: v in words, "choose one")
