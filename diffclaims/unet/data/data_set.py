"""What a data set is: a name, classes, a shape, a licence, and how to read it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffclaims.errors import DiffclaimsError, InvalidInput

Images = NDArray[np.float32]
Bytes = NDArray[np.uint8]

#: Environment variable that names the data folder where no option does.
DATA_VARIABLE = "DIFFCLAIMS_DATA"


class DataError(DiffclaimsError, OSError):
    """The data files are missing, truncated, or not the ones that are expected."""


@dataclass(frozen=True)
class LabelledImages:
    """A data set as it was read: images (n, S, S) or (n, S, S, C) of bytes, labels (n,) in 0..K-1.

    Training and test images are apart; a label is a position in the classes of the data set.
    """

    train_images: Bytes
    train_labels: Bytes
    test_images: Bytes
    test_labels: Bytes


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """Everything the package knows of one data set.

    Parameters
    ----------
    name : str
        As in ``--dataset NAME``.
    classes : tuple of str
        Names of the labels 0, 1, ...; any words without ``:``.
    side : int
        Side of the images as distributed.
    read : callable ``(folder, download) -> LabelledImages``
        `folder` is the one a user named, or None; `download` says whether missing files may be fetched.
    channels : int
        1, or 3 for colour.
    resolutions : tuple of int
        Sides to train at: `side`, or a divisor of it, by means over blocks of pixels. `side` by default.
    files : mapping of str to str
        Checksums (MD5) of the files it is read from; empty where there are none.
    licence, origin : str
        Whose it is, and how to get it.
    settings : mapping
        Settings of a run that suit it (see `diffclaims.unet.config`), the compared classes among them.

    Raises
    ------
    InvalidInput
        For classes that cannot be told apart, or resolutions that do not divide the side.
    """

    name: str
    classes: tuple[str, ...]
    side: int
    read: Callable[[Path | None, bool], LabelledImages]
    channels: int = 1
    resolutions: tuple[int, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    licence: str = ""
    origin: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(map(str, self.classes)))
        object.__setattr__(self, "resolutions", tuple(self.resolutions) or (self.side,))
        if len(set(self.classes)) < len(self.classes) or any(not c or ":" in c for c in self.classes):
            raise InvalidInput.of(
                f"classes of {self.name}", self.classes, "be different words without ':'", "rename them"
            )
        if any(r < 1 or self.side % r for r in self.resolutions):
            raise InvalidInput.of(
                f"resolutions of {self.name}",
                self.resolutions,
                f"divide the side {self.side}",
                "correct them",
            )

    def load(self, folder: str | os.PathLike[str] | None = None, *, download: bool = False) -> LabelledImages:
        """Read the images.

        Parameters
        ----------
        folder : path, optional
            Where its files are; from the environment variable ``DIFFCLAIMS_DATA`` by default.
        download : bool
            Fetch missing files first, where the data set can.

        Raises
        ------
        DataError
            If it cannot be read, or holds other shapes or labels than it states.
        """
        named = folder or os.environ.get(DATA_VARIABLE)
        images = self.read(Path(named) if named else None, download)
        shape = (self.side, self.side, *([self.channels] if self.channels > 1 else []))
        for part in ("train", "test"):
            x, y = getattr(images, f"{part}_images"), getattr(images, f"{part}_labels")
            if x.shape != (len(y), *shape) or x.dtype != np.uint8 or not len(y):
                raise DataError(
                    f"{self.name}: the {part} images have shape {x.shape} and type {x.dtype}; they must be bytes of "
                    f"shape {(len(y), *shape)}"
                )
            if int(y.max()) >= len(self.classes):
                raise DataError(
                    f"{self.name}: a {part} label is {int(y.max())}, of {len(self.classes)} classes"
                )
        return images

    def label(self, name: str) -> int:
        """Return the label of a class, or of a part of it such as ``"Bag:1/2"``.

        Raises
        ------
        InvalidInput
            If there is no such class.
        """
        base = part_of(name)[0]
        if base not in self.classes:
            raise InvalidInput.of(
                "class",
                name,
                f"be one of {', '.join(self.classes)}",
                f"choose among the classes of {self.name}",
            )
        return self.classes.index(base)


def part_of(name: str) -> tuple[str, int, int]:
    """Return class, part and number of parts of a name such as ``"Bag"`` or ``"Bag:1/2"``.

    Raises
    ------
    InvalidInput
        If the part is none.
    """
    base, _, part = name.partition(":")
    if not part:
        return base, 0, 1
    index, _, total = part.partition("/")
    if not (index.isdigit() and total.isdigit() and 1 <= int(index) <= int(total) <= 10):
        raise InvalidInput.of(
            "class",
            name,
            "name a part i/m with 1 <= i <= m <= 10",
            f"write a class name, or for example {base}:1/2 for the first half of the class",
        )
    return base, int(index) - 1, int(total)


def pixels(images: Bytes, resolution: int) -> Images:
    """Return byte images (n, S, S[, C]) as floats (n, C, R, R) in [-1, 1]; R below S takes means over blocks."""
    x = images.astype(np.float32)
    side = x.shape[1]
    if resolution != side:
        block = side // resolution
        x = x.reshape(-1, resolution, block, resolution, block, *x.shape[3:]).mean(axis=(2, 4))
    x = x[:, None] if x.ndim == 3 else np.moveaxis(x, -1, 1)
    return np.ascontiguousarray(x / np.float32(127.5) - np.float32(1))
