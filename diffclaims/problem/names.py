"""Names of classes: integers or strings, which travel with every number of a class."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence, Set
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from diffclaims.errors import InvalidInput
from diffclaims.problem.validate import unmasked

Name = int | str

#: This many names are shown in a message.
_SHOWN = 20


def default_names(n_classes: int) -> tuple[int, ...]:
    """Return the names of classes that were given none: 0 to K - 1."""
    return tuple(range(n_classes))


def names_of(classes: Iterable[Any], n_classes: int | None = None) -> tuple[Name, ...]:
    """Return names of classes as Python integers or strings, in the order given.

    Parameters
    ----------
    classes : iterable of int or str
        Different names, all integers or all strings, in an order: no set.
    n_classes : int, optional
        How many there must be.

    Raises
    ------
    InvalidInput
        For anything else, two equal names, integers beside strings, or another number of names.
    """
    # A set has no order, and that of words changes from one process to the next.
    if isinstance(classes, str | bytes | Set) or not isinstance(classes, Iterable):
        raise InvalidInput.of(
            "classes", classes, "be a list of names", "name each class, for instance [8, 3]"
        )
    given = list(classes)
    names = tuple(_name("classes", value) for value in given)
    _alike("classes", names)
    if len(set(names)) < len(names):
        twice = sorted({n for n in names if names.count(n) > 1}, key=str)
        raise InvalidInput.of(
            "classes", given, "be distinct labels", f"name each class once: {twice} come twice"
        )
    if n_classes is not None and len(names) != n_classes:
        raise InvalidInput.of(
            "classes",
            given,
            f"hold {n_classes} names, one for each weight (it holds {len(names)})",
            "name each class once, in the order of the weights",
        )
    return names


def labels_of(labels: ArrayLike) -> NDArray[Any]:
    """Return the labels of samples as an array of integers or of strings.

    Raises
    ------
    InvalidInput
        For NaN, other numbers than integers, or integers beside strings.
    """
    if isinstance(labels, list | tuple):
        # NumPy would turn integers beside strings into strings.
        _alike("labels", [v for v in labels if isinstance(v, str | int | float | np.generic)])
    try:
        array = np.asarray(unmasked("labels", labels))
    except (ValueError, TypeError, OverflowError):
        raise InvalidInput.of("labels", labels, "be one class a sample", "give a flat list") from None
    kind = array.dtype.kind
    if kind == "f":
        if not (np.abs(array) < 2.0**53).all():
            raise InvalidInput.of(
                "labels", "<NaN or infinity>", "name a class for each sample", "use integers or strings"
            )
        whole = array.astype(np.int64)
        if not (whole == array).all():
            raise InvalidInput.of(
                "labels", float(array[whole != array].flat[0]), "be integers or strings", "name the classes"
            )
        return whole
    if kind in "iuU":
        return array
    if kind == "b":
        return array.astype(np.int64)
    names = [_name("labels", value) for value in array.ravel().tolist()]
    _alike("labels", names)
    return np.asarray(names).reshape(array.shape)


def word(text: str) -> str:
    """Return a name with letters, digits and ``. + - _`` alone, as cases and test ids need; others stay different."""
    safe = re.sub(r"[^A-Za-z0-9_.+-]+", "-", text)
    if safe == text and text:
        return text
    return f"{safe.strip('-')[:40] or 'x'}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def match_labels(labels: ArrayLike, classes: Sequence[Name]) -> NDArray[np.int64]:
    """Return the position in `classes` of the class of each sample, -1 for a label that is not among them.

    Raises
    ------
    InvalidInput
        For a class without a sample.
    """
    array = labels_of(labels)
    present = np.unique(array).tolist()
    missing = [c for c in classes if c not in present]
    if missing:
        shown = present[:_SHOWN]
        raise InvalidInput.of(
            "labels",
            shown,
            f"name the classes of the mixture, {list(classes)}: {missing} are missing",
            "give the mixture the labels' own names, classes=[...], in the order of its weights",
        )
    index = np.full(array.shape, -1, dtype=np.int64)
    for position, name in enumerate(classes):
        index[array == name] = position
    return index


def by_name(dataset: xr.Dataset, classes: Sequence[Name]) -> xr.Dataset:
    """Return a dataset with its classes in the order of `classes`, matched by name.

    Parameters
    ----------
    dataset : xarray.Dataset
        With the dimension ``class``, and perhaps ``to_class``; one without names is taken as it is.
    classes : sequence of int or str

    Raises
    ------
    InvalidInput
        For a dataset of other classes.
    """
    for dim in ("class", "to_class"):
        if dim not in dataset.coords:
            continue
        found = dataset[dim].values.tolist()
        if len(found) != len(classes) or set(found) != set(classes):
            raise InvalidInput.of(
                dim, found, f"name the classes {list(classes)}", "compare datasets of the same classes"
            )
        if found != list(classes):
            dataset = dataset.sel({dim: list(classes)})
    return dataset


def _name(what: str, value: Any) -> Name:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int | np.integer | np.bool_) and abs(int(value)) < 2**63:
        return int(value)
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return int(value)
    raise InvalidInput.of(what, value, "be integers or strings", "name the classes by one or the other")


def _alike(what: str, names: Sequence[Any]) -> None:
    words = [n for n in names if isinstance(n, str)]
    if words and len(words) < len(names):
        number = next(n for n in names if not isinstance(n, str))
        raise InvalidInput.of(
            what,
            [number, words[0]],
            "be all integers or all strings",
            "give strings for all of them, for instance by str()",
        )
