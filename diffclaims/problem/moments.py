"""The mixture that has the moments of labelled data, and how well it describes them.

The eigenbasis of the pooled within-class covariance stands for the common eigenbasis of all classes;
its directions are gathered into types of like pooled variance. Both steps lose something, and
`Moments.diagnostics` says how much. The construction is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffclaims.errors import InvalidInput
from diffclaims.problem.names import Name, labels_of, names_of
from diffclaims.problem.validate import probabilities, unmasked

Floats = NDArray[np.float64]
#: Gives the samples at some positions, as doubles of shape (m, d).
Rows = Callable[[NDArray[np.intp]], Floats]

#: Doubles of a class that are in memory at once; a class of 6,000 images of 28 x 28 is one piece.
_PIECE = 1 << 23
#: Most direction types chosen when their number is left open.
MOST_TYPES = 16
#: Spread of log variance within a type (rms) that is accepted when their number is left open.
TYPE_SPREAD = 0.1
#: Variances below this share of their mean count as alike: log(s + share * mean) is what is binned.
ALIKE_BELOW = 0.1
#: Equal numbers that were scaled and shifted lie so many units in the last place apart, at most.
ROUNDINGS = 8.0


@dataclass(frozen=True)
class Moments:
    """What `GaussianMixture` needs, from data."""

    weights: Floats
    variances: Floats
    fractions: Floats
    centroid_gram: Floats
    classes: tuple[Name, ...]
    diagnostics: dict[str, float]
    #: Directions (d, d), in columns, and the type of each.
    basis: Floats
    types: NDArray[np.intp]


def match_moments(
    x: ArrayLike,
    labels: ArrayLike,
    *,
    n_types: int | None = None,
    classes: Sequence[Any] | None = None,
    weights: ArrayLike | None = None,
) -> Moments:
    """Measure a mixture's moments; see `GaussianMixture.from_samples` for the arguments and errors."""
    data, names = _checked(x, labels, n_types)
    chosen = _classes(names, classes)
    members = [np.flatnonzero(names == c) for c in chosen]
    counts = np.array([m.size for m in members])
    pi = counts / counts.sum() if weights is None else probabilities("weights", weights)
    if pi.size != len(chosen):
        raise InvalidInput.of(
            "weights", weights, f"hold one weight for each of the {len(chosen)} classes", "follow their order"
        )
    means, covariances = _by_class(data, members, chosen)
    varying = int((np.diag(np.einsum("k,kab->ab", pi, covariances)) > 0).sum())
    _enough(covariances, counts, chosen, varying, rounding_of(data.dtype))
    return mixture_of(means, covariances, counts, chosen, weights=pi, n_types=n_types)


def mixture_of(
    means: Floats,
    covariances: Floats,
    counts: NDArray[np.int64],
    classes: Sequence[Name],
    *,
    weights: Floats,
    n_types: int | None = None,
    spread: float | None = None,
) -> Moments:
    """Gather the directions of given means and covariances into types.

    Parameters
    ----------
    means : ndarray, shape (K, d)
    covariances : ndarray, shape (K, d, d)
    counts : ndarray of int, shape (K,)
        Samples behind them, at least 2 each.
    classes : sequence of K names
    weights : ndarray, shape (K,)
    n_types : int, optional
        As in `GaussianMixture.from_samples`.
    spread : float, optional
        Spread of log variance (rms) that is accepted within a type; by default as there.
    """
    n_dims = means.shape[1]
    pooled = np.einsum("k,kab->ab", weights, covariances)
    if spread is None:
        varying = int((np.diag(pooled) > 0).sum())
        spread = max(TYPE_SPREAD, float(np.sqrt(varying / counts.sum())))
    eigenvalues, basis = np.linalg.eigh(pooled)
    eigenvalues, basis = eigenvalues[::-1], basis[:, ::-1]
    # (K, d): variance of each class along each pooled direction.
    along = np.stack([np.einsum("ai,ai->i", basis, c @ basis) for c in covariances])
    along, types = gathered(along, eigenvalues, spread, n_types)
    sizes = np.bincount(types).astype(np.float64)
    member = np.zeros((n_dims, sizes.size))
    member[np.arange(n_dims), types] = 1.0
    variances = along @ member / sizes
    fractions = sizes / n_dims
    constant = ~along.any(axis=0)

    centred = means - weights @ means
    gram = centred @ centred.T / n_dims

    diagnostics = _approximation(covariances, along, variances, sizes, counts, classes)
    diagnostics["constant_fraction"] = float(constant.mean())
    diagnostics["centroid_sampling_max"] = float((variances @ fractions / counts).max())
    share = (weights @ (centred @ basis) ** 2) @ member
    share = share / share.sum() if share.sum() > 0 else fractions
    diagnostics["centroid_unevenness"] = float(np.abs(share - fractions).sum() / 2)
    diagnostics |= {f"centroid_share[{j}]": float(v) for j, v in enumerate(share)}
    return Moments(weights, variances, fractions, gram, tuple(classes), diagnostics, basis, types)


def gathered(
    along: Floats, eigenvalues: Floats, spread: float, n_types: int | None = None
) -> tuple[Floats, NDArray[np.intp]]:
    """Gather directions into types of like pooled variance.

    Parameters
    ----------
    along : ndarray, shape (K, d)
        Variance of each class along each direction.
    eigenvalues : ndarray, shape (d,)
        Pooled variances, decreasing; below rounding of the largest there is none.
    spread : float
        Spread of log variance (rms) that is accepted within a type.
    n_types : int, optional
        As in `GaussianMixture.from_samples`.

    Returns
    -------
    along : ndarray, shape (K, d)
        Without negative numbers, and 0 where there is no pooled variance.
    types : ndarray of int, shape (d,)
        Of each direction.
    """
    constant = eigenvalues <= len(eigenvalues) * np.finfo(np.float64).eps * eigenvalues[0]
    types = _types(np.where(constant, 0.0, eigenvalues), constant, n_types, spread)
    return np.where(constant, 0.0, np.maximum(along, 0.0)), types


def _checked(x: ArrayLike, labels: ArrayLike, n_types: int | None) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return samples and labels as arrays, or say what is wrong with them."""
    data = np.asarray(unmasked("x", x))
    if data.ndim != 2 or data.dtype.kind not in "biuf" or 0 in data.shape:
        raise InvalidInput.of(
            "x",
            f"<array of shape {data.shape}, dtype {data.dtype}>",
            "be a real array of shape (samples, dimensions)",
            "flatten each sample, for instance images.reshape(len(images), -1)",
        )
    n_dims = data.shape[1]
    names = labels_of(labels)
    if names.shape != data.shape[:1]:
        raise InvalidInput.of(
            "labels",
            f"<array of shape {names.shape}>",
            f"have shape ({data.shape[0]},)",
            "give one label per sample",
        )
    if n_types is not None and (
        isinstance(n_types, bool) or not isinstance(n_types, int | np.integer) or not 1 <= n_types <= n_dims
    ):
        raise InvalidInput.of(
            "n_types",
            n_types,
            f"be an integer from 1 to {n_dims}, the dimension of the data",
            "or leave it out",
        )
    return data, names


def rounding_of(dtype: np.dtype[Any]) -> float:
    """Return how far numbers of a type that are meant to be equal may lie apart, relative to their size."""
    return ROUNDINGS * float(np.finfo(dtype if dtype.kind == "f" else np.float64).eps)


def mean_and_covariance(
    rows: Rows, own: NDArray[np.intp], n_dims: int, rounding: float = 0.0
) -> tuple[Floats, Floats]:
    """Return mean (d,) and covariance (d, d) of the samples at positions `own`, two or more, read piece by piece.

    A dimension in which they spread by no more than `rounding`, relative to their size, has no variance.
    """
    size = max(1, _PIECE // n_dims)
    pieces = [own[i : i + size] for i in range(0, own.size, size)]
    # What is one piece is read once.
    kept = rows(pieces[0]) if len(pieces) == 1 else None
    total = np.zeros(n_dims)
    for piece in pieces:
        total += (rows(piece) if kept is None else kept).sum(axis=0)
    mean, covariance = total / own.size, np.zeros((n_dims, n_dims))
    for piece in pieces:
        block = rows(piece) if kept is None else kept
        block -= mean
        covariance += block.T @ block
    covariance /= own.size - 1
    variance = np.diag(covariance)
    still = variance <= rounding**2 * (mean**2 + variance)
    covariance[still] = 0.0
    covariance[:, still] = 0.0
    return mean, covariance


def _by_class(
    data: NDArray[Any], members: Sequence[NDArray[np.intp]], chosen: Sequence[Any]
) -> tuple[Floats, Floats]:
    """Mean and covariance of each class."""
    n_dims = data.shape[1]
    means, covariances = np.empty((len(chosen), n_dims)), np.empty((len(chosen), n_dims, n_dims))
    for k, own in enumerate(members):
        if own.size < 2:
            raise _too_few(chosen[k], own.size, 2)

        def rows(which: NDArray[np.intp], k: int = k) -> Floats:
            # A piece at a time in double precision: 60,000 images never are.
            block = data[which].astype(np.float64)
            if not np.isfinite(block).all():
                raise InvalidInput.of(
                    "x", f"<samples of class {chosen[k]}>", "be finite", "remove samples with NaN or infinity"
                )
            return block

        means[k], covariances[k] = mean_and_covariance(rows, own, n_dims, rounding_of(data.dtype))
    return means, covariances


def _enough(
    covariances: Floats, counts: NDArray[np.int64], chosen: Sequence[Any], varying: int, rounding: float
) -> None:
    """Refuse a class that is one point, or has fewer samples than its moments need."""
    totals = np.einsum("kaa->k", covariances)
    for k, count in enumerate(counts):
        if totals[k] <= rounding**2 * totals.max():
            raise InvalidInput.of(
                "x",
                f"<samples of class {chosen[k]}>",
                "vary within each class",
                "remove the class: it is one point",
            )
        if count < varying + 1:
            raise _too_few(chosen[k], int(count), varying + 1)


def _approximation(
    covariances: Floats,
    along: Floats,
    variances: Floats,
    sizes: Floats,
    counts: NDArray[np.int64],
    chosen: Sequence[Any],
) -> dict[str, float]:
    """What of each class's covariance the mixture leaves out, as shares of its squared entries."""
    diagnostics = {"n_samples_least": float(counts.min()), "constant_fraction": 0.0}
    energy = np.einsum("kab,kab->k", covariances, covariances)
    squares = (along**2).sum(axis=1)
    off = np.maximum(0.0, 1 - squares / energy)
    # Sampling alone puts s_i s_j / (n - 1) into each squared off-diagonal entry.
    floor = (along.sum(axis=1) ** 2 - squares) / (counts - 1) / energy
    within = np.maximum(0.0, squares - variances**2 @ sizes) / energy
    for name, value in (("off_diagonal", off), ("off_diagonal_sampling", floor), ("within_type", within)):
        diagnostics[f"{name}_max"] = float(value.max())
        diagnostics |= {f"{name}[{c}]": float(v) for c, v in zip(chosen, value, strict=True)}
    return diagnostics


def _classes(names: NDArray[Any], classes: Sequence[Any] | None) -> list[Name]:
    present = np.unique(names).tolist()
    if classes is None:
        return list(present)
    chosen = list(names_of(classes))
    if not chosen:
        raise InvalidInput.of("classes", classes, "be a list of distinct labels", "name each class once")
    unknown = [c for c in chosen if c not in present]
    if unknown:
        raise InvalidInput.of(
            "classes",
            unknown,
            f"be among the labels {present[:20]}",
            "choose from these, in the labels' own type",
        )
    return chosen


def _too_few(label: Any, count: int, needed: int) -> InvalidInput:
    return InvalidInput.of(
        "labels",
        f"<{count} samples of class {label}>",
        f"give at least {needed} samples of each class: one more than the dimensions that vary, below which "
        "directions lack variance for want of samples",
        "measure on all the samples there are and set weights= for the imbalance, or reduce the dimension",
    )


def _types(
    variance: Floats, constant: NDArray[np.bool_], n_types: int | None, spread: float
) -> NDArray[np.intp]:
    """Type of each direction, 0 for the largest variances; `variance` decreases.

    The partition into contiguous types with the least squared spread of log variance, by dynamic
    programming. Directions without any variance are a type of their own whenever there can be two.
    """
    n_dims = variance.size
    live = int((~constant).sum())
    own_type = int(live < n_dims and n_types != 1)
    if own_type == 0:
        live = n_dims
    y = np.log(variance[:live] + ALIKE_BELOW * variance[:live].mean())
    s1, s2 = np.concatenate([[0.0], np.cumsum(y)]), np.concatenate([[0.0], np.cumsum(y**2)])
    i, j = np.arange(live + 1)[:, None], np.arange(live + 1)[None, :]
    # cost[i, j]: squared spread of directions i..j-1 taken as one type; empty types are forbidden.
    with np.errstate(divide="ignore", invalid="ignore"):
        cost = np.where(j > i, np.maximum(0.0, s2[j] - s2[i] - (s1[j] - s1[i]) ** 2 / (j - i)), np.inf)
    most = min(live, (MOST_TYPES if n_types is None else int(n_types)) - own_type)
    best, cuts = cost[0], []
    for _ in range(most - 1):
        if n_types is None and np.sqrt(best[live] / live) <= spread:
            break
        table = best[:, None] + cost
        cuts.append(table.argmin(axis=0))
        best = table.min(axis=0)
    types = np.empty(n_dims, dtype=np.intp)
    types[live:] = len(cuts) + 1
    end = live
    for number in range(len(cuts), -1, -1):
        start = int(cuts[number - 1][end]) if number else 0
        types[start:end] = number
        end = start
    return types
