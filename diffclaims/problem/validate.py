"""Arrays and settings from a user: checked, or one clear error."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffclaims.errors import InvalidInput

Floats = NDArray[np.float64]

#: Weights and fractions must sum to one within this; further off is a mistake, not rounding.
SUM_TOLERANCE = 1e-9
#: Numbers larger than this, or nearer to zero than `SMALLEST`, are refused: their squares and the inverses of them
#: must be doubles, with room to spare.
LARGEST, SMALLEST = 1e100, 1e-100


def numbers(name: str, value: ArrayLike) -> Floats:
    """Return finite real numbers, at least one."""
    value = unmasked(name, value)
    try:
        given = np.asarray(value)
        if given.dtype.kind not in "iufO":
            raise TypeError
        array = given.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput.of(name, value, "be an array of real numbers", "check its entries") from None
    if array.ndim == 0 or array.size == 0:
        raise InvalidInput.of(name, value, "hold at least one number", "give a list")
    if not np.isfinite(array).all():
        raise InvalidInput.of(name, value, "be finite", "remove NaN and infinity")
    if np.abs(array).max() > LARGEST:
        raise InvalidInput.of(name, value, f"be at most {LARGEST:g} in size", "change their unit")
    return array


def increasing(name: str, value: ArrayLike, *, above_zero: bool = False) -> Floats:
    """Return increasing numbers from 0 on, or above 0, shape (n,); one number is as good as a list of it."""
    limit = f"be finite numbers {'above 0' if above_zero else '>= 0'}, in increasing order"
    try:
        array = numbers(name, np.atleast_1d(np.asarray(unmasked(name, value))))
    except (InvalidInput, ValueError, TypeError):
        array = np.array([np.nan])
    # The least but 0, where 0 may be.
    least = array[:1] if above_zero or array.flat[0] != 0 else array[1:2]
    usable = array.ndim == 1 and (least >= SMALLEST).all() and (np.diff(array) > 0).all()
    if not usable:
        raise InvalidInput.of(name, value, limit, f"sort them, each once; the least above 0 is {SMALLEST:g}")
    return array


def as_float(value: object) -> float:
    """Return one real number as a float, also an infinite one; NaN for what is none."""
    if type(value) is float:
        return value
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, bool | np.bool_ | np.timedelta64) or not isinstance(value, Real):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


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
        if not self.admits(value):
            raise InvalidInput.of(name, value, self.text, self.fix)

    def admits(self, value: object) -> bool:
        """Whether a value keeps the limit; one of another kind does not."""
        try:
            return bool(self.holds(value))
        except (TypeError, ValueError, OverflowError):
            return False


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
    known = " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))
    return Limit(f"be {known}", lambda v: isinstance(v, str) and v in words, "choose one")
