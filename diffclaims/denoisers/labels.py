"""Labels as a network takes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from diffclaims.denoisers.options import Options
from diffclaims.errors import InvalidInput
from diffclaims.problem.names import labels_of
from diffclaims.problem.validate import unmasked


def tensor_of(name: str, value: Any, **options: Any) -> Any:
    """Return what a user gave as a tensor.

    Raises
    ------
    InvalidInput
        For what makes none: words, None, lists whose parts differ in length, numbers beyond those of a machine.
    """
    import torch

    try:
        if value.is_complex() if torch.is_tensor(value) else np.iscomplexobj(value):
            raise TypeError
        return torch.as_tensor(unmasked(name, value), **options)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise InvalidInput.of(
            name, value, "be numbers that make a tensor", "give an array or a tensor"
        ) from None


def indices_of(labels: Any) -> Any:
    """Return names of classes as their positions among the sorted names; anything else as it is.

    Raises
    ------
    InvalidInput
        For names beside numbers.
    """
    if labels is None or hasattr(labels, "detach"):
        return labels
    try:
        kind = np.asarray(labels).dtype.kind
    except ValueError:  # lists whose parts differ in length, which make no tensor either
        return labels
    if kind not in "UO":
        return labels
    named = labels_of(labels)
    return np.unique(named, return_inverse=True)[1] if named.dtype.kind == "U" else named


def as_taken(labels: Any, n: int, device: Any, options: Options) -> Any:
    """Return the labels of a batch in the form that the network takes, or None.

    Parameters
    ----------
    labels : array_like of int, shape (n,) or (), or None
        None asks for the network without a class.
    n : int
        Size of the batch.
    device : torch.device
        Where they are needed.
    options : Options

    Raises
    ------
    InvalidInput
        For labels that are no integers, too many, too few or beyond the classes.
    """
    import torch

    k = options.num_classes
    if labels is None:
        if options.null == "absent":
            return None
        if options.null == "zeros":
            return torch.zeros(n, k or 0, device=device)
        labels = torch.full((n,), k or 0)
    given = tensor_of("labels", labels)
    if given.is_floating_point() or given.is_complex():
        raise InvalidInput.of("labels", given.dtype, "be integers", "give class indices, not one-hot rows")
    if given.ndim == 0:
        given = given.expand(n)
    if tuple(given.shape) != (n,):
        limit = f"hold one integer for each of the {n} rows of x_noisy"
        raise InvalidInput.of("labels.shape", tuple(given.shape), limit, "give class indices of shape (B,)")
    given = given.to(device=device, dtype=torch.int64)
    largest = None if k is None else k if options.null == "index" else k - 1
    low, high = (int(given.min()), int(given.max())) if n else (0, 0)
    if low < 0 or (largest is not None and high > largest):
        limit = "lie from 0 on" if largest is None else f"lie from 0 to {largest}"
        raise InvalidInput.of("labels", low if low < 0 else high, limit, "use None for no class")
    if not options.one_hot:
        return given
    # A null class of its own is one column more.
    return torch.nn.functional.one_hot(given, (k or 0) + (options.null == "index")).float()
