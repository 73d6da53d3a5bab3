"""When each class is generalized, best, and memorized: three times read off its curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from diffclaims.errors import InvalidInput, SubjectInvalid
from diffclaims.problem.arguments import checked
from diffclaims.problem.validate import Limit
from diffclaims.storage.schema import stamp, validate
from diffclaims.times.crossing import smooth_crossing, smooth_crossings
from diffclaims.times.definitions import Milestone

Floats = NDArray[np.float64]

#: A level that a curve would reach within so many further factors of e of the time, at the rate of its last one,
#: lies beyond the end of the curve; any other is never reached. Ours.
FURTHER = 10.0


@checked
def learning_times(
    curves: xr.Dataset,
    generalization: Annotated[float, Limit("lie in (0, 1]", lambda v: 0 < v <= 1, "try 0.5")] = 0.5,
    memorization: Annotated[float, Limit("be above 0", lambda v: v > 0, "try 0.1")] = 0.1,
) -> xr.Dataset:
    """Return the learning times of each class, by interpolation in the logarithm of time.

    Parameters
    ----------
    curves : xarray.Dataset
        Kind "curves", with or without a ``seed`` dimension.
    generalization : float
        Threshold on the generalized fraction ``(1 - test_loss)/(1 - bayes_loss)``, in (0, 1].
    memorization : float
        Threshold on the memorized gap ``(test_loss - train_loss)/(1 - bayes_loss)``, above 0.

    Returns
    -------
    xarray.Dataset
        Kind "times": ``tau_gen``, ``tau_best`` and ``tau_mem`` of each class (and seed), in the units of
        ``training_time``. ``tau_gen`` and ``tau_mem`` are the first times at which the thresholds are
        reached, ``tau_best`` is the time of least test loss. A time that is not reached within the
        curves is ``+inf``: for ``tau_best`` that is a test loss that still falls at the end. A threshold
        met from the start gives the first training time, an upper bound. For curves that state an
        ``accuracy``, ``tau_gen_accuracy`` and so on bound the error of ``ln tau``.

    Raises
    ------
    InvalidInput
        For thresholds out of range, or a class whose Bayes loss leaves nothing to learn.

    Notes
    -----
    These definitions are ours, not those of arXiv:2605.06367.
    """
    validate(curves, "curves", who="learning_times")
    curves = curves.sel(training_time=curves.training_time > 0)
    if curves.sizes["training_time"] < 6:
        raise InvalidInput.of(
            "curves",
            curves.training_time.values.tolist(),
            "have at least 6 positive training times to interpolate between",
            "measure at more times",
        )
    learnable = 1 - curves.bayes_loss
    if (learnable <= 0).any():
        raise InvalidInput.of(
            "bayes_loss", curves.bayes_loss.values.tolist(), "be below 1", "drop the classes with no signal"
        )
    log_time = np.log(curves.training_time.values)
    order = (..., "training_time")
    test = curves.test_loss.transpose(*order)
    train = curves.train_loss.transpose(*test.dims)
    rest = learnable.broadcast_like(test.isel(training_time=0, drop=True)).transpose(*test.dims[:-1])
    accuracy = float(curves.attrs["accuracy"]) if "accuracy" in curves.attrs else None
    out = xr.Dataset()
    frame = test.isel(training_time=0, drop=True)
    levels: dict[Milestone, Sequence[float]] = {"gen": [generalization], "best": [0.0], "mem": [memorization]}
    found = _read(levels, log_time, test.values, train.values, rest.values, accuracy)
    for milestone, (at, bound) in found.items():
        out[f"tau_{milestone}"] = frame.copy(data=np.exp(at[0]))
        if bound is not None:
            out[f"tau_{milestone}_accuracy"] = frame.copy(data=bound[0])
    for variable in out.data_vars.values():
        variable.attrs = {}
    keep = {k: v for k, v in curves.attrs.items() if k not in ("schema", "schema_version", "accuracy")}
    return stamp(out, "times", {**keep, "generalization": generalization, "memorization": memorization})


def log_times(
    curves: xr.Dataset, thresholds: Mapping[Milestone, Sequence[float]], which: Sequence[int]
) -> dict[Milestone, tuple[Floats, Floats | None]]:
    """Return ``ln tau`` of milestones, each at several thresholds, of several classes, and bounds of their errors.

    The array core of `learning_times`, for readers of a few numbers out of valid curves: many take about as long
    as one.

    Parameters
    ----------
    curves : xarray.Dataset
        Kind "curves", valid.
    thresholds : mapping of {"gen", "best", "mem"} to sequence of float
        As in `learning_times`; "best" has none, so that all are alike.
    which : sequence of int
        Positions of the classes.

    Returns
    -------
    dict
        Of each milestone the values, of shape (n_thresholds, n_which) or (n_thresholds, n_which, n_seeds), and
        bounds of that shape, or None where the curves state no accuracy.

    See Also
    --------
    beyond_end : Which of the values that are +inf may lie beyond the end of the curves.
    """
    x, test, train, rest = _arrays(curves, which)
    accuracy = float(curves.attrs["accuracy"]) if "accuracy" in curves.attrs else None
    return _read(thresholds, x, test, train, rest, accuracy)


def beyond_end(
    curves: xr.Dataset, milestone: Milestone, thresholds: Sequence[float], which: Sequence[int]
) -> NDArray[np.bool_]:
    """Return which thresholds a curve has not reached at its end but still nears.

    A curve that is flat at its end, as that of a solver which covers all of learning, never reaches them. One that
    still rises may: by its mean slope over the last factor e of time (or over the last two points, where they
    are farther apart), it would take up to `FURTHER` more of them.

    Parameters
    ----------
    curves : xarray.Dataset
        Kind "curves", valid.
    milestone : {"gen", "best", "mem"}
        The least loss has no level, so that of "best" it cannot be said: never.
    thresholds, which
        As in `log_times`.

    Returns
    -------
    ndarray of bool, shape (n_thresholds, n_which) or (n_thresholds, n_which, n_seeds)
    """
    x, test, train, rest = _arrays(curves, which)
    levels = np.asarray(thresholds).reshape(-1, *(1,) * rest.ndim)
    if milestone == "best":
        return np.zeros((len(levels), *rest.shape), dtype=bool)
    curve = _height(milestone, test, train) / rest[..., None]
    start = min(int(np.searchsorted(x, x[-1] - 1.0)), x.size - 2)
    slope = (curve[..., -1] - curve[..., start]) / (x[-1] - x[start])
    missing = levels - curve[..., -1]
    reached = curve.max(axis=-1) >= levels
    nears: NDArray[np.bool_] = ~reached & (slope * FURTHER >= missing)
    return nears


def _height(milestone: Milestone, test: Floats, train: Floats) -> Floats:
    return 1 - test if milestone == "gen" else test - train


def _arrays(curves: xr.Dataset, which: Sequence[int]) -> tuple[Floats, Floats, Floats, Floats]:
    """Log times, and the test losses, training losses and learnable losses of these classes, classes first."""
    # Variables without their coordinates: a reader of one number asks a thousand times.
    bare = curves.variables
    times = bare["training_time"].values
    classes = np.asarray(which, dtype=np.intp)
    test, train = (
        np.moveaxis(_last(bare[name], "class", "training_time")[..., classes, :][..., times > 0], -2, 0)
        for name in ("test_loss", "train_loss")
    )
    bayes = np.moveaxis(_last(bare["bayes_loss"], "class")[..., classes], -1, 0)
    if not all(np.isfinite(v).all() for v in (test, train, bayes)):
        raise SubjectInvalid(
            f"the curves of {curves.attrs.get('subject', 'a subject')} have losses that are not finite numbers; "
            "nothing can be read off them"
        )
    rest = (1 - bayes).reshape(*bayes.shape, *(1,) * (test.ndim - 1 - bayes.ndim))
    return np.log(times[times > 0]), test, train, np.broadcast_to(rest, test.shape[:-1])


def _last(variable: xr.Variable, *dims: str) -> Floats:
    """Values with these dimensions last; a transposition of none costs as much as what follows."""
    ordered = variable if variable.dims[-len(dims) :] == dims else variable.transpose(..., *dims)
    return np.asarray(ordered.values)


def _read(
    levels: Mapping[Milestone, Sequence[float]],
    x: Floats,
    test: Floats,
    train: Floats,
    learnable: Floats,
    accuracy: float | None,
) -> dict[Milestone, tuple[Floats, Floats | None]]:
    """Log time of each milestone at each level, shape (n_levels, ...), and the bound of its error.

    The losses' last axis is that of x. All crossings are found at once: one takes as long as a hundred.
    """
    found: dict[Milestone, tuple[Floats, Floats | None]] = {}
    crossed: list[Milestone] = []
    for milestone, some in levels.items():
        if milestone == "best":
            found[milestone] = _best(x, np.broadcast_to(test, (len(some), *test.shape)), accuracy)
        else:
            crossed.append(milestone)
    if not crossed:
        return found
    counts = [len(levels[milestone]) for milestone in crossed]
    curve = np.concatenate(
        [
            np.broadcast_to(_height(milestone, test, train) / learnable[..., None], (count, *test.shape))
            for milestone, count in zip(crossed, counts, strict=True)
        ]
    )
    level = np.concatenate([levels[milestone] for milestone in crossed]).reshape(-1, *(1,) * learnable.ndim)
    ends = np.cumsum(counts)[:-1]
    bounds: list[Floats | None] = [None] * len(crossed)
    if accuracy is None:
        at = smooth_crossing(x, curve, level)[0]
    else:
        halves = [(x[i::2], curve[..., i::2]) for i in (0, 1)]
        (at, slope), *other = smooth_crossings([(x, curve), *halves], level)
        # The gap is a difference of two losses, each as accurate as stated.
        share = np.repeat([1 if milestone == "gen" else 2 for milestone in crossed], counts)
        error = accuracy * share.reshape(level.shape) / learnable
        bound = _bound(at, error / np.maximum(np.abs(slope), 1e-300), np.stack([half for half, _ in other]))
        bounds = list(np.split(bound, ends))
    found.update(zip(crossed, zip(np.split(at, ends), bounds, strict=True), strict=True))
    return {milestone: found[milestone] for milestone in levels}


def _best(x: Floats, test: Floats, accuracy: float | None) -> tuple[Floats, Floats | None]:
    at, bend = _vertex(x, test)
    if accuracy is None:
        return at, None
    coarse = np.stack([_vertex(x[i::2], test[..., i::2])[0] for i in (0, 1)])
    # Two losses closer than the accuracy cannot be told apart: half the width of that valley.
    return at, _bound(at, np.sqrt(2 * accuracy / np.maximum(bend, 1e-300)), coarse)


def _bound(at: Floats, error: Floats, coarse: Floats) -> Floats:
    """Error of a log time: what the losses' accuracy moves it, and what interpolation does.

    `coarse` holds the time from either half of the points, because one of them alone may agree by chance.
    """
    known = np.isfinite(at) & np.isfinite(coarse)
    moved = np.abs(np.subtract(at, coarse, out=np.zeros_like(coarse), where=known)).max(axis=0)
    return np.where(np.isfinite(at), error + moved, 0.0)


def _vertex(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Place of least value by a parabola, and the second derivative there."""
    index = np.argmin(y, axis=-1)
    middle = np.clip(index, 1, x.size - 2)
    x0, x1, x2 = x[middle - 1], x[middle], x[middle + 1]
    y0, y1, y2 = (np.take_along_axis(y, (middle + s)[..., None], axis=-1)[..., 0] for s in (-1, 0, 1))
    first, second = (y1 - y0) / (x1 - x0), (y2 - y1) / (x2 - x1)
    bend = 2 * (second - first) / (x2 - x0)
    with np.errstate(divide="ignore", invalid="ignore"):
        vertex = (x0 + x1) / 2 - first / bend
    at = np.where(bend > 0, np.clip(vertex, x0, x2), x1)
    at = np.where(index == 0, x[0], np.where(index == x.size - 1, np.inf, at))
    return at, np.where(np.isfinite(at), bend, np.inf)
