"""Distances from samples to the nearest training samples, in blocks, and training samples that occur twice."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

from diffclaims.errors import InvalidInput
from diffclaims.problem.names import Name, labels_of

Floats = NDArray[np.float64]

#: Scratch memory of one block of distances.
_BLOCK_BYTES = 1 << 26
#: Training samples that agree within this share of the largest number are one and the same.
SAME = 1e-6


def vectors(name: str, values: ArrayLike, n_features: int | None = None) -> Floats:
    """Return samples as rows of double precision.

    Parameters
    ----------
    name : str
        What they are called in an error.
    values : array_like, shape (n, ...)
    n_features : int, optional
        Numbers that each must have.

    Raises
    ------
    InvalidInput
        For none, for other numbers than finite real ones, or for samples of another size.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "biuf" or array.ndim < 2 or 0 in array.shape:
        raise InvalidInput.of(
            name,
            f"<array of shape {array.shape}, dtype {array.dtype}>",
            "be a real array of shape (samples, ...)",
            "give one row for each sample, at least one",
        )
    flat = array.reshape(len(array), -1).astype(np.float64)
    if not np.isfinite(flat).all():
        bad = int(np.flatnonzero(~np.isfinite(flat).all(axis=1))[0])
        raise InvalidInput.of(name, f"<sample {bad}>", "be finite", "leave out samples with NaN or infinity")
    if n_features is not None and flat.shape[1] != n_features:
        raise InvalidInput.of(
            name,
            f"<samples of {flat.shape[1]} numbers>",
            f"have the {n_features} numbers of the training samples",
            "measure all of them in the same pixels or features",
        )
    return flat


def labels(name: str, values: ArrayLike, n: int) -> NDArray[np.object_]:
    """Return the class of each of `n` samples."""
    found = labels_of(values)
    if found.shape != (n,):
        raise InvalidInput.of(
            name, f"<array of shape {found.shape}>", f"have shape ({n},)", "give one label for each sample"
        )
    return np.array(found.tolist(), dtype=object)


def distinct(train: Floats) -> NDArray[np.intp]:
    """Return for each training sample the position of the first one that is the same."""
    step = SAME * max(float(np.abs(train).max()), np.finfo(np.float64).tiny)
    _, first, group = np.unique(np.round(train / step), axis=0, return_index=True, return_inverse=True)
    return np.asarray(first[group.ravel()])


def two_nearest(samples: Floats, train: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Return distances (n, 2) to the two nearest training samples, and which one is the nearest.

    Parameters
    ----------
    samples : ndarray, shape (n, f)
    train : ndarray, shape (m, f)
        Different ones; of a single one the second distance is infinite.
    """
    distance, nearest = np.full((len(samples), 2), np.inf), np.zeros(len(samples), dtype=np.intp)
    for rows in blocks(len(samples), len(train)):
        d = cdist(samples[rows], train)
        nearest[rows] = d.argmin(axis=1)
        if len(train) > 1:
            distance[rows] = np.partition(d, 1, axis=1)[:, :2]
        else:
            distance[rows, 0] = d[:, 0]
    return distance, nearest


def blocks(n: int, m: int) -> Iterator[slice]:
    """Rows whose distances to m samples fit into scratch memory."""
    size = max(1, _BLOCK_BYTES // (8 * m))
    return (slice(i, i + size) for i in range(0, n, size))


def class_names(train: NDArray[np.object_]) -> list[Name]:
    """The classes of the training samples, sorted."""
    return sorted(set(train.tolist()))
