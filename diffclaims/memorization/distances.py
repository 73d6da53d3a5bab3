"""Distances from samples to the nearest training samples, in blocks, and training samples that occur twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist

from diffclaims.errors import InvalidInput
from diffclaims.problem.names import Name, labels_of

Floats = NDArray[np.float64]

#: Scratch memory of one block of distances.
_BLOCK_BYTES = 1 << 26
#: Samples whose entries agree within this share of the largest one are one and the same.
SAME = 1e-6
#: Neighbours in the order of their projections that are compared, and samples that are read at a time.
_NEIGHBOURS, _BLOCK = 8, 1024


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
    return first_same(train.__getitem__, len(train))


def first_same(take: Callable[[NDArray[np.intp]], NDArray[Any]], n: int) -> NDArray[np.intp]:
    """Return for each of n samples the position of the first one that is the same, within `SAME` of its size.

    Parameters
    ----------
    take : callable ``(positions, shape (m,)) -> (m, ...)``
        Reads samples, a block at a time.
    n : int

    Notes
    -----
    Samples that are the same have nearly the same projection on a random direction. So only neighbours in the order
    of the projections are compared, the next few of each: copies of one sample follow each other there.
    """
    size, flat = np.empty(n), take(np.arange(1)).reshape(1, -1).shape[1]
    direction = np.random.default_rng(0).standard_normal(flat)
    direction /= np.linalg.norm(direction)
    along = np.empty(n)
    for block in _blocks(n):
        x = take(block).reshape(len(block), -1).astype(np.float64)
        along[block], size[block] = x @ direction, np.abs(x).max(axis=1)
    order = np.argsort(along, kind="stable")
    # The largest difference of any entry bounds that of the projections, times the square root of their number.
    reach = SAME * np.sqrt(flat) * np.maximum(size, np.finfo(np.float64).tiny)
    pairs = []
    for step in range(1, min(_NEIGHBOURS, n - 1) + 1):
        a, b = order[:-step], order[step:]
        near = along[b] - along[a] <= reach[a]
        pairs += [_same(take, a[near], b[near], size)]
    found = np.concatenate([np.empty((0, 2), dtype=np.intp), *pairs])
    links = coo_array((np.ones(len(found)), (found[:, 0], found[:, 1])), shape=(n, n))
    group = connected_components(links, directed=False)[1]
    first = np.full(n, n, dtype=np.intp)
    np.minimum.at(first, group, np.arange(n))
    return np.asarray(first[group])


def _same(
    take: Callable[[NDArray[np.intp]], NDArray[Any]], a: NDArray[np.intp], b: NDArray[np.intp], size: Floats
) -> NDArray[np.intp]:
    """Those pairs of samples whose entries all agree."""
    kept = [np.empty((0, 2), dtype=np.intp)]
    for block in _blocks(len(a)):
        i, j = a[block], b[block]
        apart = np.abs(take(i).astype(np.float64) - take(j)).reshape(len(i), -1).max(axis=1)
        kept.append(np.column_stack([i, j])[apart <= SAME * size[i]])
    return np.concatenate(kept)


def _blocks(n: int) -> Iterator[NDArray[np.intp]]:
    return (np.arange(i, min(i + _BLOCK, n)) for i in range(0, n, _BLOCK))


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
