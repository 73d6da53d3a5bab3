"""What a "speciation" dataset says, whichever subject measured it: balance, normal form, times."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from diffclaims.errors import InvalidInput
from diffclaims.problem.arguments import checked
from diffclaims.problem.validate import numbers
from diffclaims.storage.recordings import complete
from diffclaims.storage.schema import validate
from diffclaims.times.crossing import smooth_crossing

Floats = NDArray[np.float64]

#: A curve this many standard errors from the threshold is on one side of it.
DECIDED = 3.0


@checked
def detailed_balance_violation(dataset: xr.Dataset, weights: ArrayLike) -> xr.Dataset:
    """How far U-turns are from detailed balance, ``pi_k P(k -> l) - pi_l P(l -> k)``.

    Zero for a perfect score, whatever the mixture; hence a meter of a learned score's error.

    Parameters
    ----------
    dataset : xarray.Dataset
        Of kind ``"speciation"``, with ``transition`` or two classes.
    weights : array_like, shape (K,)
        Class probabilities in the order of the dataset's classes.

    Returns
    -------
    xarray.Dataset
        ``violation(pair, diffusion_time)`` and ``violation_stderr`` for every pair k < l, whose
        classes are the coordinates ``class_a`` and ``class_b``. With a ``seed`` dimension: the mean
        over seeds, and the standard error from their spread. Otherwise the errors of the two
        transitions add in squares, as they are independent; zero for a dataset without errors,
        which then has the attribute ``accuracy``.

    Raises
    ------
    InvalidInput
        Without ``transition`` for three classes or more, with one class, with weights that do not fit, or
        with no way to tell an error.
    """
    pi = _weights(dataset, weights)
    if pi.size < 2:
        raise InvalidInput.of(
            "dataset", "one class", "have at least two classes", "nothing can be out of balance"
        )
    dataset = complete(dataset)
    if "transition" not in dataset:
        raise InvalidInput.of(
            "dataset", sorted(map(str, dataset.data_vars)), "have the variable 'transition'", "measure it"
        )
    flow = _ordered(dataset["transition"], "class", "to_class") * pi[:, None, None]
    a, b = np.triu_indices(pi.size, 1)
    value = flow[..., a, b, :] - flow[..., b, a, :]
    if "seed" in dataset["transition"].dims:
        mean, error = _over_seeds(value)
    else:
        mean = value
        if "transition_stderr" in dataset:
            squares = (_ordered(dataset["transition_stderr"], "class", "to_class") * pi[:, None, None]) ** 2
            error = np.sqrt(squares[a, b] + squares[b, a])
        elif "accuracy" in dataset.attrs:
            error = np.zeros_like(mean)
        else:
            raise _no_error("transition")
    labels = dataset["class"].values
    dims = ("pair", "diffusion_time")
    return xr.Dataset(
        {"violation": (dims, mean), "violation_stderr": (dims, error)},
        coords={
            "class_a": ("pair", labels[a]),
            "class_b": ("pair", labels[b]),
            "diffusion_time": dataset["diffusion_time"].values,
        },
        attrs=_kept_attrs(dataset),
    )


@checked
def normalised_return(dataset: xr.Dataset, weights: ArrayLike) -> xr.Dataset:
    """Return probability beyond chance, ``(phi_k - pi_k)/(1 - pi_k)``.

    For two classes and a perfect score it is one curve for both, by detailed balance: a delayed
    minority shows in the raw return probability, not in this one.

    Parameters
    ----------
    dataset : xarray.Dataset
        Of kind ``"speciation"``.
    weights : array_like, shape (K,)
        Class probabilities in the order of the dataset's classes.

    Returns
    -------
    xarray.Dataset
        ``normalised_return(class, diffusion_time)`` and ``normalised_return_stderr``. With a
        ``seed`` dimension: the mean over seeds, and the standard error from their spread.

    Raises
    ------
    InvalidInput
        With one class, weights that do not fit, or no way to tell an error.
    """
    pi = _weights(dataset, weights)
    if pi.size < 2:
        raise InvalidInput.of("dataset", "one class", "have at least two classes", "one class always returns")
    beyond = 1.0 - pi[:, None]
    value = (_ordered(dataset["return_probability"], "class") - pi[:, None]) / beyond
    if "seed" in dataset["return_probability"].dims:
        value, error = _over_seeds(value)
    elif "return_probability_stderr" in dataset:
        error = _ordered(dataset["return_probability_stderr"], "class") / beyond
    elif "accuracy" in dataset.attrs:
        error = np.zeros_like(value)
    else:
        raise _no_error("return_probability")
    dims = ("class", "diffusion_time")
    return xr.Dataset(
        {"normalised_return": (dims, value), "normalised_return_stderr": (dims, error)},
        coords={"class": dataset["class"].values, "diffusion_time": dataset["diffusion_time"].values},
        attrs=_kept_attrs(dataset),
    )


@checked
def speciation_times(
    dataset: xr.Dataset,
    *,
    threshold: float = 0.75,
    of: Literal["return_probability", "commitment"] = "return_probability",
) -> xr.Dataset:
    """Last diffusion time up to which a class is still itself, for every class.

    The largest t such that the curve is at or above the threshold at all s <= t. A small time
    means late in the backward process. The definition and its default threshold are ours.

    Parameters
    ----------
    dataset : xarray.Dataset
        Of kind ``"speciation"``; a ``seed`` dimension is kept.
    threshold : float
        Between 0 and 1, both excluded.
    of : {"return_probability", "commitment"}
        Which curve.

    Returns
    -------
    xarray.Dataset
        ``speciation_time(class)`` (and ``seed``): by monotone cubic interpolation in log time.
        +inf where the curve never falls below the threshold on the dataset's grid, as a
        majority's may; 0 where it is below from the first time on. Where the curve has standard
        errors, ``speciation_time_stderr``: the curve's error at the crossing over its slope;
        at +inf and at 0 it is 0 if the curve is 3 standard errors on that side, else +inf.

    Raises
    ------
    InvalidInput
        For a threshold outside (0, 1) or an unknown curve.
    """
    validate(dataset, "speciation")
    names = ("return_probability", "commitment")
    if of not in names:
        raise InvalidInput.of("of", of, f"be one of {list(names)}", "choose one of them")
    if isinstance(threshold, bool) or not (isinstance(threshold, int | float) and 0 < threshold < 1):
        raise InvalidInput.of("threshold", threshold, "be a number between 0 and 1", "0.75 is the default")
    curve = _ordered(dataset[of], "class")
    has_error = f"{of}_stderr" in dataset
    spread = _ordered(dataset[f"{of}_stderr"], "class") if has_error else np.zeros_like(curve)
    spread = np.broadcast_to(spread, curve.shape)
    grid = np.asarray(dataset["diffusion_time"].values, dtype=np.float64)
    times, errors = _last_above(grid, curve, spread, float(threshold))
    dims = ("seed", "class") if curve.ndim == 3 else ("class",)
    attrs = {"units": "diffusion time", "long_name": f"last time with {of} >= {threshold:g}"}
    out = xr.Dataset(
        {"speciation_time": (dims, times, attrs)},
        coords={name: dataset[name].values for name in dims if name in dataset.coords},
        attrs=_kept_attrs(dataset) | {"threshold": float(threshold), "of": of},
    )
    if has_error:
        out["speciation_time_stderr"] = (dims, errors, {"units": "diffusion time"})
    return out


def _last_above(grid: Floats, curve: Floats, spread: Floats, threshold: float) -> tuple[Floats, Floats]:
    """Last time above the threshold and its error, for curves of shape (..., T)."""
    # Times span decades; only a grid that starts at 0 has no logarithm.
    logarithmic = bool(grid[0] > 0)
    x = np.log(grid) if logarithmic else grid
    # A curve that falls below the threshold is one that rises above it with its sign changed.
    root, slope = smooth_crossing(x, -curve, np.nextafter(-threshold, np.inf))
    never, from_start = np.isinf(root), curve[..., 0] < threshold
    time = np.exp(root) if logarithmic else root
    error = np.array(
        [np.interp(r, x, e) for r, e in zip(root.ravel(), spread.reshape(-1, x.size), strict=True)]
    ).reshape(root.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.where(error == 0, 0.0, error / slope * (time if logarithmic else 1.0))
    above = (curve - DECIDED * spread >= threshold).all(axis=-1)
    below = curve[..., 0] + DECIDED * spread[..., 0] < threshold
    error = np.where(never, np.where(above, 0.0, np.inf), error)
    error = np.where(from_start, np.where(below, 0.0, np.inf), error)
    return np.where(from_start, 0.0, time), error


def _weights(dataset: xr.Dataset, weights: ArrayLike) -> Floats:
    validate(dataset, "speciation")
    n_classes = dataset.sizes["class"]
    limit = f"be {n_classes} positive numbers that sum to 1, one for each class of the dataset"
    fix = "give the weights of the mixture that was measured, in the dataset's order"
    try:
        pi = numbers("weights", weights)
    except InvalidInput:
        raise InvalidInput.of("weights", weights, limit, fix) from None
    if pi.shape != (n_classes,) or not (pi > 0).all() or abs(pi.sum() - 1) > 1e-9:
        raise InvalidInput.of("weights", weights, limit, fix)
    return pi


def _ordered(array: xr.DataArray, *own: str) -> Floats:
    """Values with the dimensions (seed,) own..., diffusion_time, in this order."""
    front = ("seed",) if "seed" in array.dims else ()
    return np.asarray(array.transpose(*front, *own, "diffusion_time").values, dtype=np.float64)


def _over_seeds(value: Floats) -> tuple[Floats, Floats]:
    if value.shape[0] < 2:
        raise InvalidInput.of(
            "dataset",
            f"{value.shape[0]} seed",
            "have at least two seeds for a standard error",
            "measure more seeds",
        )
    return value.mean(axis=0), value.std(axis=0, ddof=1) / np.sqrt(value.shape[0])


def _no_error(name: str) -> InvalidInput:
    return InvalidInput.of(
        "dataset",
        name,
        f"come with {name}_stderr, a seed dimension, or the attribute 'accuracy'",
        "say how accurate it is: nothing can be concluded otherwise",
    )


def _kept_attrs(dataset: xr.Dataset) -> dict[str, str | int | float]:
    """Provenance of what was read; the result is no longer of its kind."""
    return {str(k): v for k, v in dataset.attrs.items() if k not in ("schema", "schema_version")}
