"""A folder of images by class: one subfolder a class, as many image tools write it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diffclaims.advice.samples import Samples, most_dims
from diffclaims.errors import InvalidInput
from diffclaims.extras import need
from diffclaims.problem.names import names_of

#: What counts as an image, by the end of its name.
ENDS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


def of_folder(folder: Path) -> Samples:
    """Read the images of the subfolders, which are the classes; one without images is a class of none.

    Images are grey if all of them are, else in colour. Large ones are made smaller as they are read, by means over
    blocks of pixels.

    Parameters
    ----------
    folder : path

    Raises
    ------
    InvalidInput
        For a folder without classes or images, images of different sizes, or a file that is no image.
    DiffclaimsError
        Without Pillow.
    """
    classes = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    files = [[f for f in sorted(c.iterdir()) if f.suffix.lower() in ENDS and f.is_file()] for c in classes]
    if not any(files):
        raise InvalidInput.of(
            "DATA", str(folder), f"have subfolders with images ({', '.join(ENDS)})", _hint(folder)
        )
    named = [f for of_class in files for f in of_class]
    (width, height), grey = _heads(named)
    most = most_dims(len(classes))
    channels = 1 if grey else 3
    block = next(b for b in range(1, 1 + max(width, height)) if _pixels(width, height, b) * channels <= most)
    size = max(1, width // block), max(1, height // block)
    values = np.empty((len(named), size[1], size[0], *([] if grey else [3])), dtype=np.uint8)
    for n, file in enumerate(named):
        values[n] = _read(file, "L" if grey else "RGB", size)
    index = np.repeat(np.arange(len(classes)), [len(f) for f in files])
    scale = "" if block == 1 else f", made smaller from {width} x {height} to {size[0]} x {size[1]}"
    return Samples(values, index, names_of([c.name for c in classes]), f"images in {folder}{scale}")


def _pixels(width: int, height: int, block: int) -> int:
    return max(1, width // block) * max(1, height // block)


def _hint(folder: Path) -> str:
    deeper = next((f for f in folder.rglob("*") if f.suffix.lower() in ENDS), None)
    if deeper is None:
        return "name the folder whose subfolders are the classes"
    if deeper.parent == folder:
        return "move its images into one subfolder for each class"
    return f"name the folder whose subfolders are the classes: the nearest image is {deeper}"


def _open(file: Path):  # type: ignore[no-untyped-def]
    image = need("PIL.Image", "advise", "a folder of images")
    try:
        return image.open(file)
    except (OSError, ValueError) as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: Exception) -> InvalidInput:
    return InvalidInput.of("image", str(file), f"be readable ({error})", "leave it out, or save it again")


def _heads(files: list[Path]) -> tuple[tuple[int, int], bool]:
    """Width and height of all images, and whether all are grey."""
    first: tuple[int, int] | None = None
    grey = True
    for file in files:
        with _open(file) as image:
            size, mode = image.size, image.mode
        first = first or size
        if size != first:
            raise InvalidInput.of(
                "images",
                [f"{files[0]}: {first[0]} x {first[1]}", f"{file}: {size[0]} x {size[1]}"],
                "have one size",
                "bring all of them to one width and height",
            )
        if mode[0] in "IF":
            raise InvalidInput.of("image", str(file), "have 8 bits a channel", "convert it, or give arrays")
        grey = grey and mode in ("1", "L", "LA")
    assert first is not None
    return first, grey


def _read(file: Path, mode: str, size: tuple[int, int]) -> NDArray[np.uint8]:
    with _open(file) as image:
        try:
            read = image.convert(mode)
            return np.asarray(read if read.size == size else read.resize(size, resample=4))
        except (OSError, ValueError, SyntaxError) as error:
            raise _unreadable(file, error) from error
