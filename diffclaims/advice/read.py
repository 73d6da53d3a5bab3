"""What a user names as DATA: a file, a folder, a data set by name, arrays, or an object with images and labels."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diffclaims.advice.folder import of_folder
from diffclaims.advice.samples import Samples, of_arrays
from diffclaims.errors import DiffclaimsError, InvalidInput
from diffclaims.extras import object_of
from diffclaims.unet.data.data_set import DATA_VARIABLE, DataSet, LabelledImages
from diffclaims.unet.data.registry import BUILT_IN, data_set

#: Names of samples and labels in an npz; the first pair that is there is read.
PAIRS = (("x", "y"), ("images", "labels"), ("x_train", "y_train"), ("train_images", "train_labels"))
#: Images and labels of data set objects, torchvision's among them.
ATTRIBUTES = (("data", "targets"), ("data", "labels"))


def samples_of(
    data: Any, y: Any = None, *, classes: Sequence[Any] | None = None, root: str | None = None
) -> Samples:
    """Return the training samples that a user means.

    Parameters
    ----------
    data : str, path, array_like or object
        ``FILE.npz``; a folder with a subfolder of images for each class; a built-in data set;
        ``package.module:OBJECT``; the name of a class of `torchvision.datasets`; samples; or a data set object.
    y : array_like, optional
        Labels, where `data` are samples.
    classes : sequence, optional
        See `diffclaims.advice.samples.of_arrays`; for samples.
    root : str, optional
        Folder of a data set that is named; ``$DIFFCLAIMS_DATA`` by default.

    Raises
    ------
    InvalidInput
        When nothing of these is meant, or what is there cannot be used.
    """
    if isinstance(data, str | os.PathLike):
        return _named(os.fspath(data), classes, root)
    if y is not None or isinstance(data, np.ndarray | list):
        return of_arrays(data, y, "arrays", classes)
    return of_object(data, type(data).__name__, root)


def _named(name: str, classes: Sequence[Any] | None, root: str | None) -> Samples:
    path = Path(name).expanduser()
    if path.is_dir():
        return of_folder(path)
    if path.suffix == ".npz" or path.is_file():
        return of_npz(path, classes)
    known = {_letters(n): n for n in BUILT_IN}
    if _letters(name) in known:
        return of_object(data_set(known[_letters(name)]), name, root)
    if ":" in name:
        sys.path.insert(0, os.getcwd())
        return of_object(object_of("DATA", name), name, root)
    if name.isidentifier():
        return of_object(_torchvision(name, root), name, root)
    raise InvalidInput.of(
        "DATA",
        name,
        f"be an npz file, a folder of images by class, {', '.join(BUILT_IN)}, a name of torchvision.datasets, or "
        "package.module:OBJECT",
        "check the path" if os.sep in name or path.suffix else "choose one of them",
    )


def _letters(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def of_npz(path: Path, classes: Sequence[Any] | None = None) -> Samples:
    """Read samples and labels of an npz file, under one of the pairs of names in `PAIRS`."""
    if not path.is_file():
        raise InvalidInput.of("DATA", str(path), "be a file", "check the path")
    try:
        with np.load(path, allow_pickle=False) as file:
            names = list(getattr(file, "files", []))
            pair = next((p for p in PAIRS if set(p) <= set(names)), None)
            if pair is None:
                raise InvalidInput.of(
                    "DATA",
                    f"{path} with {', '.join(names) or 'no names'}",
                    f"hold samples and labels as {', or '.join(' and '.join(p) for p in PAIRS)}",
                    "save it with numpy.savez(FILE, x=x, y=y)",
                )
            x, y = file[pair[0]], file[pair[1]]
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        if isinstance(error, DiffclaimsError):
            raise
        raise InvalidInput.of(
            "DATA", str(path), f"be an npz file of plain arrays ({error})", "save it again"
        ) from error
    return of_arrays(x, y, f"{path}, {pair[0]} and {pair[1]}", classes)


def of_object(data: Any, name: str, root: str | None = None) -> Samples:
    """Read a data set object: one of this package, one of torchvision, or a sequence of pairs (sample, label)."""
    if isinstance(data, tuple) and len(data) == 2:
        return of_arrays(*data, source=name)
    if isinstance(data, DataSet):
        images = data.load(Path(root).expanduser() if root else None)
        found = of_arrays(images.train_images, images.train_labels, name, range(len(data.classes)))
        return Samples(found.values, found.index, data.classes, found.source, found.factor)
    if isinstance(data, LabelledImages):
        return of_arrays(data.train_images, data.train_labels, name)
    for x, y in ATTRIBUTES:
        if hasattr(data, x) and hasattr(data, y):
            return _with_words(of_arrays(getattr(data, x), getattr(data, y), name), data)
    if not (hasattr(data, "__len__") and hasattr(data, "__getitem__")):
        raise InvalidInput.of(
            "data",
            f"<{type(data).__name__}>",
            "have samples and labels: data and targets, or items that are pairs",
            "give arrays x and y",
        )
    pairs = [data[i] for i in range(len(data))]
    if not pairs or any(not isinstance(p, tuple | list) or len(p) < 2 for p in pairs):
        raise InvalidInput.of(
            "data",
            f"<{type(data).__name__} of {len(pairs)} items>",
            "have pairs of sample and label",
            "give x and y",
        )
    items = [np.asarray(p[0]) for p in pairs]
    return _with_words(of_arrays(items, [_plain(p[1]) for p in pairs], name), data)


def _plain(label: Any) -> Any:
    """A label as a Python value: those of torch are tensors."""
    return label.item() if hasattr(label, "item") else label


def _with_words(samples: Samples, data: Any) -> Samples:
    """Use the names that a data set object gives its labels 0, 1, ..."""
    words = getattr(data, "classes", None)
    if not isinstance(words, list | tuple) or not all(isinstance(w, str) for w in words):
        return samples
    if not all(isinstance(c, int) and 0 <= c < len(words) for c in samples.classes):
        return samples
    index = np.array(samples.classes, dtype=np.intp)[samples.index]
    return Samples(samples.values, index, tuple(words), samples.source, samples.factor)


def _torchvision(name: str, root: str | None) -> Any:
    try:
        module = importlib.import_module("torchvision.datasets")
    except Exception as error:  # a torch of another build makes torchvision raise RuntimeError on import
        raise DiffclaimsError(
            f"{name} is neither a path nor one of {', '.join(BUILT_IN)}, and torchvision, which may know it, does "
            f"not import here ({type(error).__name__}: {str(error).splitlines()[0]}); pip install 'diffclaims[unet]'"
        ) from error
    made = getattr(module, name, None)
    if not isinstance(made, type):
        raise InvalidInput.of(
            "DATA", name, f"be a path, {', '.join(BUILT_IN)}, or a name of torchvision.datasets", "check it"
        )
    folder = root or os.environ.get(DATA_VARIABLE)
    if not folder:
        raise InvalidInput.of(
            "--root", folder, f"name the folder of {name}", f"add --root, or set {DATA_VARIABLE}"
        )
    takes = inspect.signature(made).parameters
    part: dict[str, Any] = (
        {"train": True} if "train" in takes else ({"split": "train"} if "split" in takes else {})
    )
    try:
        return made(str(Path(folder).expanduser()), **part)
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        raise InvalidInput.of(
            "DATA",
            name,
            f"be readable from {folder} ({type(error).__name__}: {first})",
            "download it there, or name another --root",
        ) from error
