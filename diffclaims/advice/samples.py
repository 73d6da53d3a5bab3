"""Labelled samples as advice reads them: piece by piece, scaled, and made smaller where they are large."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffclaims.errors import InvalidInput
from diffclaims.problem.names import Name, labels_of, names_of
from diffclaims.problem.validate import unmasked

Floats = NDArray[np.float64]

#: Most numbers of one sample, and of the covariances of all classes: these are a gigabyte.
MOST_DIMS, MOST_ENTRIES = 1024, 1 << 27
#: Numbers of channels that tell the axis of channels from those of an image.
_CHANNELS = (1, 2, 3, 4)


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples with the class of each.

    Attributes
    ----------
    values : array, shape (n, ...)
        As given; read at the positions asked for, so that a memory map stays on its disk.
    index : ndarray of int, shape (n,)
        Position of each one's class in `classes`.
    classes : tuple of int or str
        Also those without a sample.
    source : str
        What they are, in words.
    factor : int
        Side of the blocks of pixels whose means are taken; 1 for none.
    """

    values: Any
    index: NDArray[np.intp]
    classes: tuple[Name, ...]
    source: str
    factor: int = 1

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of samples of each class."""
        return np.bincount(self.index, minlength=len(self.classes))

    @cached_property
    def n_dims(self) -> int:
        """Numbers of one sample, as `rows` gives it."""
        return int(np.prod(_smaller(np.empty((1, *self.values.shape[1:])), self.factor).shape[1:]))

    @property
    def bytes_scaled(self) -> bool:
        """Whether bytes are brought to [-1, 1], as networks are given images; other numbers stay as they are."""
        return bool(self.values.dtype == np.uint8)

    def rows(self, which: NDArray[np.intp]) -> Floats:
        """Return samples at some positions as doubles, shape (m, d).

        Raises
        ------
        InvalidInput
            For NaN or infinity.
        """
        block = _smaller(np.asarray(self.values[which]), self.factor)
        flat = np.array(block.reshape(len(block), self.n_dims), dtype=np.float64)
        if self.bytes_scaled:
            flat /= 127.5
            flat -= 1.0
        elif not (finite := np.isfinite(flat).all(axis=1)).all():
            first = int(which[np.flatnonzero(~finite)[0]])
            raise InvalidInput.of(
                "x",
                f"<sample {first}, of class {self.classes[self.index[first]]}>",
                "be finite",
                "leave out samples with NaN or infinity",
            )
        return flat


def of_arrays(x: Any, y: Any, source: str, classes: Sequence[Any] | None = None) -> Samples:
    """Check arrays of samples and labels.

    Parameters
    ----------
    x : array_like, shape (n, ...)
    y : array_like, shape (n,) or (n, 1)
        Integers or strings.
    source : str
    classes : sequence, optional
        Names of the labels' classes, also of those without a sample; other samples are left out. The labels,
        sorted, by default.

    Raises
    ------
    InvalidInput
        For anything that is no finite set of labelled samples of one size.
    """
    values = _array(x)
    if y is None:
        raise InvalidInput.of("y", None, "hold the class of each sample", "give labels beside the samples")
    labels = labels_of(unmasked("y", y))
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.shape != values.shape[:1]:
        raise InvalidInput.of(
            "y",
            f"<array of shape {labels.shape}>",
            f"have shape ({len(values)},)",
            "give one label for each sample",
        )
    present = np.unique(labels).tolist()
    names = tuple(present) if classes is None else names_of(classes)
    index = np.full(len(labels), -1, dtype=np.intp)
    for k, name in enumerate(names):
        index[labels == name] = k
    if not (index >= 0).any():
        raise InvalidInput.of(
            "classes", list(names), f"be among the labels {present[:20]}", "check the names"
        )
    if (index < 0).any():
        keep = np.flatnonzero(index >= 0)
        values, index = values[keep], index[keep]
    return Samples(values, index, names, source, _factor(values.shape[1:], len(names)))


def _array(x: Any) -> Any:
    """Samples as an array that can be read at positions; a memory map stays one."""
    x = unmasked("x", x)
    if isinstance(x, list | tuple):
        shapes = sorted({np.shape(one) for one in x}, key=str)
        if len(shapes) > 1:
            raise InvalidInput.of(
                "x", shapes[:2], "hold samples of one size", "bring all of them to one size"
            )
    try:
        array = x if isinstance(x, np.ndarray) else np.asarray(x)
    except (TypeError, ValueError):
        array = np.empty(0, dtype=object)
    if array.dtype.kind not in "biuf" or array.ndim < 2 or 0 in array.shape:
        raise InvalidInput.of(
            "x",
            f"<array of shape {array.shape}, dtype {array.dtype}>",
            "be a real array of shape (samples, ...), with at least one sample",
            "give one row, or one image, for each sample",
        )
    return array


def most_dims(n_classes: int) -> int:
    """Return how many numbers a sample may have, so that the covariances of all classes fit into memory."""
    return min(MOST_DIMS, int((MOST_ENTRIES / n_classes) ** 0.5))


def _factor(shape: tuple[int, ...], n_classes: int) -> int:
    """Side of the blocks of pixels that make samples small enough."""
    most, d = most_dims(n_classes), int(np.prod(shape))
    if d <= most:
        return 1
    if len(shape) < 2:
        raise InvalidInput.of(
            "x",
            f"<samples of {d} numbers>",
            f"have at most {most} each, with {n_classes} classes",
            "give images with their height and width, which are made smaller, or features of yours",
        )
    height, width = shape[_sides(shape)]
    channels = d // (height * width)
    return next(b for b in range(2, d) if channels * max(1, height // b) * max(1, width // b) <= most)


def _sides(shape: tuple[int, ...]) -> slice:
    """Where height and width stand in the shape of one image: (H, W), (H, W, C) or (C, H, W)."""
    if len(shape) == 3 and shape[0] in _CHANNELS and shape[2] not in _CHANNELS:
        return slice(1, 3)
    return slice(0, 2)


def _smaller(block: NDArray[Any], factor: int) -> NDArray[Any]:
    """Means over blocks of pixels; what is left over at the far edges is cut off."""
    if factor == 1:
        return block
    start = 1 + _sides(block.shape[1:]).start
    for axis in (start, start + 1):
        # A side below the factor becomes one pixel.
        side = min(factor, block.shape[axis])
        n = block.shape[axis] // side
        cut = np.moveaxis(block, axis, 1)[:, : n * side]
        block = np.moveaxis(cut.reshape(len(cut), n, side, *cut.shape[2:]).mean(axis=2), 1, axis)
    return block
