"""Learning curves with the times at which each class is generalized, best and memorized."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from diffclaims.extras import need
from diffclaims.problem.names import by_name
from diffclaims.storage.schema import validate
from diffclaims.times.definitions import STATED
from diffclaims.times.learning import learning_times

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Frame
from diffclaims.plots.style import COLORS, _frame

#: Marker and meaning of each time.
_MARKERS = {"tau_gen": ("o", "generalized"), "tau_best": ("D", "best"), "tau_mem": ("s", "memorized")}
#: Finite-size points drawn of each curve; more would hide the curve.
N_POINTS = 14


def learning_curves(ds: xr.Dataset, finite: xr.Dataset | None = None, ax: Any = None) -> Frame:
    """Draw the curves of each class with their three times, and measured points on top.

    Parameters
    ----------
    ds : xarray.Dataset
        Kind "curves": solid lines are test losses, dashed ones training losses, a dotted one the Bayes
        loss; a band reaches from the least to the largest of several seeds. The times are marked on the test loss,
        at the default thresholds of `learning_times`, or as the dataset states them.
    finite : xarray.Dataset, optional
        Kind "curves" of the same experiment with a ``seed`` dimension: means over the seeds, with
        standard errors.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    DiffclaimsError
        When matplotlib is not installed.
    SubjectInvalid
        For a dataset of another kind.
    """
    validate(ds, "curves", who="plots.learning_curves")
    if finite is not None:
        validate(finite, "curves", who="plots.learning_curves")
        if "class" in ds.coords:
            finite = by_name(finite, ds["class"].values.tolist())
    ax = _frame(ax, (7.0, 4.4))
    times = _times(ds)
    mean = ds.mean("seed", keep_attrs=True) if "seed" in ds.dims else ds
    tau = mean["training_time"].values
    for k, label in enumerate(mean["class"].values):
        color = COLORS[k % len(COLORS)]
        one = mean.isel({"class": k})
        ax.plot(tau, one["test_loss"], color=color, lw=1.8, label=f"class {label}")
        ax.plot(tau, one["train_loss"], color=color, lw=1.2, ls="--")
        for loss in ("test_loss", "train_loss"):
            if ds.sizes.get("seed", 1) > 1 and "seed" in ds[loss].dims:
                each = ds[loss].isel({"class": k})
                ax.fill_between(tau, each.min("seed"), each.max("seed"), color=color, alpha=0.18, lw=0)
        ax.axhline(float(one["bayes_loss"]), color=color, lw=0.9, ls=":")
        for name, (marker, _) in _MARKERS.items():
            at = float(times[name].isel({"class": k}))
            if np.isfinite(at):
                height = np.interp(np.log(at), np.log(tau[tau > 0]), one["test_loss"].values[tau > 0])
                ax.plot(at, height, marker, color=color, ms=8, mec="white", mew=1.2, zorder=5)
        if finite is not None:
            _points(ax, finite.isel({"class": k}), color, (tau[tau > 0].min(), tau.max()))
    ax.set_xscale("log")
    steps = ds["training_time"].attrs.get("units") == "step"
    ax.set_xlabel("training time in optimizer steps" if steps else r"training time $\tau$")
    ax.set_ylabel("loss per dimension")
    low = min(float(mean["train_loss"].min()), float(mean["bayes_loss"].min()))
    # Late test losses leave the picture: in full they would press the three times into a corner.
    high = min(float(mean["test_loss"].max()), 1.0 + 0.6 * (1.0 - low))
    ax.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))
    # On real data the reference is the best linear denoiser, which a network can pass.
    real = "Wiener" in str(ds["bayes_loss"].attrs.get("long_name", ""))
    _legend(ax, finite, "Wiener filter" if real else "Bayes")
    return ax  # type: ignore[no-any-return]


def _times(ds: xr.Dataset) -> xr.Dataset:
    """The three times of each class: as the dataset states them, in its middle seed, else read off its mean."""
    stated = {name: STATED[name.removeprefix("tau_")] for name in _MARKERS}  # type: ignore[index]
    if not all(variable in ds for variable, _ in stated.values()):
        return learning_times(ds.mean("seed", keep_attrs=True) if "seed" in ds.dims else ds)
    main = {
        name: ds[variable].isel({dim: 0}) if dim else ds[variable] for name, (variable, dim) in stated.items()
    }
    return xr.Dataset({n: v.median("seed") if "seed" in v.dims else v for n, v in main.items()})


def _points(ax: Any, one: xr.Dataset, color: str, span: tuple[float, float]) -> None:
    tau = one["training_time"].values
    inside = np.flatnonzero((tau >= span[0]) & (tau <= span[1]))
    if inside.size == 0:
        return
    wanted = np.geomspace(tau[inside[0]], tau[inside[-1]], N_POINTS)
    at = np.unique([inside[np.argmin(np.abs(np.log(tau[inside] / w)))] for w in wanted])
    for name, filled in (("test_loss", True), ("train_loss", False)):
        values = one[name].isel(training_time=at)
        error = None
        if "seed" in values.dims:
            n = values.sizes["seed"]
            error = values.std("seed", ddof=1).values / np.sqrt(n) if n > 1 else None
            values = values.mean("seed")
        ax.errorbar(
            tau[at],
            values,
            yerr=error,
            fmt="o",
            ms=3.6,
            color=color,
            mfc=color if filled else "white",
            mew=0.9,
            elinewidth=0.9,
            capsize=2,
            zorder=4,
        )


def _legend(ax: Any, finite: xr.Dataset | None, reference: str) -> None:
    lines = need("matplotlib.lines", "plot", "pictures")
    handles, _ = ax.get_legend_handles_labels()
    gray = "0.35"
    handles += [
        lines.Line2D([], [], color=gray, lw=1.8, label="test"),
        lines.Line2D([], [], color=gray, lw=1.2, ls="--", label="training"),
        lines.Line2D([], [], color=gray, lw=0.9, ls=":", label=reference),
    ]
    handles += [
        lines.Line2D([], [], color=gray, marker=marker, ls="", ms=7, mec="white", label=text)
        for marker, text in _MARKERS.values()
    ]
    if finite is not None:
        n = finite.sizes.get("seed", 1)
        handles.append(
            lines.Line2D([], [], color=gray, marker="o", ls="", ms=3.6, label=f"finite size, {n} seeds")
        )
    ax.legend(handles=handles, frameon=False, fontsize=8.5, loc="upper left", bbox_to_anchor=(1.01, 1.0))
