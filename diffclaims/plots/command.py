"""Pictures: learning curves with the three times of each class, and maps with their boundary.

matplotlib is imported only when something is drawn.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from diffclaims.errors import BaselineError, DiffclaimsError, InvalidInput
from diffclaims.extras import need
from diffclaims.storage import netcdf as storage
from diffclaims.storage.schema import validate
from diffclaims.times.definitions import STATED
from diffclaims.times.learning import learning_times

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Frame

#: One colour a class; tell them apart without seeing red and green.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
#: Marker and meaning of each time.
_MARKERS = {"tau_gen": ("o", "generalized"), "tau_best": ("D", "best"), "tau_mem": ("s", "memorized")}
#: Finite-size points drawn of each curve; more would hide the curve.
N_POINTS = 14
_NAMES = {
    "variance_ratio": "variance ratio",
    "minority_weight": "weight of class 0",
    "centroid_separation": r"centroid separation $|\mu_0-\mu_1|/\sqrt{d}$",
    "norm_ratio": r"norm ratio $|\mu_0|/|\mu_1|$",
    "norm": r"$|\mu_1|/\sqrt{d}$",
    "psi_n": r"$\psi_n = n/d$",
    "psi_p": r"$\psi_p = p/d$",
    "diffusion_time": "diffusion time $t$",
}


def _pyplot() -> Any:
    matplotlib = need("matplotlib", "plot", "pictures")
    matplotlib.rcParams["axes.spines.top"] = matplotlib.rcParams["axes.spines.right"] = False
    return need("matplotlib.pyplot", "plot", "pictures")


def _frame(ax: Any, size: tuple[float, float]) -> Any:
    if ax is not None:
        return ax
    return _pyplot().subplots(figsize=size, layout="constrained")[1]


def learning_curves(ds: xr.Dataset, finite: xr.Dataset | None = None, ax: Any = None) -> Frame:
    """Draw the curves of each class with their three times, and measured points on top.

    Parameters
    ----------
    ds : xarray.Dataset
        Kind "curves": solid lines are test losses, dashed ones training losses, a dotted one the Bayes
        loss. The times are marked on the test loss, at the default thresholds of `learning_times`.
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
    ax = _frame(ax, (7.0, 4.4))
    times = _times(ds)
    mean = ds.mean("seed", keep_attrs=True) if "seed" in ds.dims else ds
    tau = mean["training_time"].values
    for k, label in enumerate(mean["class"].values):
        color = COLORS[k % len(COLORS)]
        one = mean.isel({"class": k})
        ax.plot(tau, one["test_loss"], color=color, lw=1.8, label=f"class {label}")
        ax.plot(tau, one["train_loss"], color=color, lw=1.2, ls="--")
        ax.axhline(float(one["bayes_loss"]), color=color, lw=0.9, ls=":")
        for name, (marker, _) in _MARKERS.items():
            at = float(times[name].isel({"class": k}))
            if np.isfinite(at):
                height = np.interp(np.log(at), np.log(tau[tau > 0]), one["test_loss"].values[tau > 0])
                ax.plot(at, height, marker, color=color, ms=8, mec="white", mew=1.2, zorder=5)
        if finite is not None:
            _points(ax, finite.isel({"class": k}), color, (tau[tau > 0].min(), tau.max()))
    ax.set_xscale("log")
    ax.set_xlabel(r"training time $\tau$")
    ax.set_ylabel("loss per dimension")
    low = min(float(mean["train_loss"].min()), float(mean["bayes_loss"].min()))
    # Late test losses leave the picture: in full they would press the three times into a corner.
    high = min(float(mean["test_loss"].max()), 1.0 + 0.6 * (1.0 - low))
    ax.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))
    _legend(ax, finite)
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


def _legend(ax: Any, finite: xr.Dataset | None) -> None:
    lines = need("matplotlib.lines", "plot", "pictures")
    handles, _ = ax.get_legend_handles_labels()
    gray = "0.35"
    handles += [
        lines.Line2D([], [], color=gray, lw=1.8, label="test"),
        lines.Line2D([], [], color=gray, lw=1.2, ls="--", label="training"),
        lines.Line2D([], [], color=gray, lw=0.9, ls=":", label="Bayes"),
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


# ---- maps


def draw_map(ds: xr.Dataset, ax: Any = None) -> Frame:
    """Draw a map with its boundary on top.

    Parameters
    ----------
    ds : xarray.Dataset
        As `diffclaims.studies.maps.read_map` gives it. One axis: the margin as a line. Two: the margin as
        colours, hatched where undecided, with the boundary and its uncertainty. Three: the boundary
        as colours over the other two axes, blank where there is none. Quasi-random points: as dots.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes
    """
    ax = _frame(ax, (6.6, 4.6))
    plan = json.loads(ds.attrs["plan"])
    ranges = {r["name"]: r for r in plan["ranges"]}
    along = plan["along"]
    others = [name for name in ranges if name != along]
    if len(others) == 2:
        _surface(ax, ds, along, others)
        names = others
    elif len(others) == 1:
        _plane(ax, ds, others[0], along)
        names = [others[0], along]
    else:
        _line(ax, ds, along)
        names = [along]
    for name, which in zip(names, ("x", "y"), strict=False):
        axis = getattr(ax, f"{which}axis")
        getattr(ax, f"set_{which}label")(_label(name, ds))
        if ranges[name]["scale"] == "log":
            getattr(ax, f"set_{which}scale")("log")
            _plain_ticks(axis, ranges[name])
        getattr(ax, f"set_{which}lim")(ranges[name]["low"], ranges[name]["high"])
    ax.set_title(_title(ds), fontsize=9, loc="left", color="0.25")
    return ax  # type: ignore[no-any-return]


def _label(name: str, ds: xr.Dataset) -> str:
    if name == "minority_weight":
        for coordinate in (name, f"line_{name}"):
            if coordinate in ds.coords:
                return str(ds[coordinate].attrs["long_name"])
    return _NAMES.get(name, name.replace("_", " "))


def _title(ds: xr.Dataset) -> str:
    fixed = json.loads(ds.attrs["fixed"])
    shown = ", ".join(
        f"{k.replace('_', ' ')} {v:g}" if isinstance(v, float | int) else f"{k} {v}" for k, v in fixed.items()
    )
    return f"{ds.attrs['claim']} on {ds.attrs['subject']}\n{shown}"


def _plain_ticks(axis: Any, span: dict[str, Any]) -> None:
    """Write numbers instead of powers of ten where an axis spans little more than one."""
    ticker = need("matplotlib.ticker", "plot", "pictures")
    decades = np.log10(span["high"] / span["low"])
    if decades <= 0.5:
        nice = ticker.MaxNLocator(8, steps=[1, 2, 2.5, 5, 10]).tick_values(span["low"], span["high"])
        axis.set_major_locator(ticker.FixedLocator(nice))
        axis.set_minor_locator(ticker.NullLocator())
    elif decades <= 1.2:
        axis.set_major_locator(ticker.LogLocator(base=10, subs=(1, 1.25, 1.5, 2, 3, 4, 5, 6, 8)))
        axis.set_minor_locator(ticker.NullLocator())
    elif decades <= 2.5:
        axis.set_major_locator(ticker.LogLocator(base=10, subs=(1, 2, 5)))
    axis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f"{v:g}"))
    axis.set_minor_formatter(ticker.NullFormatter())


def _scale(margin: np.ndarray) -> tuple[np.ndarray, float]:
    """Margins as drawn: infinite ones at the end of the colour scale, symmetric about zero."""
    finite = np.abs(margin[np.isfinite(margin)])
    top = float(np.quantile(finite, 0.98)) if finite.size else 1.0
    top = top or 1.0
    return np.clip(np.where(np.isnan(margin), np.nan, margin), -top, top), top


def _plane(ax: Any, ds: xr.Dataset, x: str, y: str) -> None:
    margin, top = _scale(ds["margin"].values)
    style = {"cmap": "RdBu", "vmin": -top, "vmax": top}
    if "point" in ds.dims:
        mesh = ax.scatter(ds[x], ds[y], c=margin, s=22, edgecolors="0.4", linewidths=0.3, **style)
        line_x = ds[f"line_{x}"].values
    else:
        shown = ds.assign(margin=(ds["margin"].dims, margin)).transpose(..., y, x)
        mesh = ax.pcolormesh(ds[x], ds[y], shown["margin"], shading="gouraud", rasterized=True, **style)
        undecided = np.argwhere((shown["verdict"] == "inconclusive").values)
        if undecided.size:
            at = ds[x].values[undecided[:, 1]], ds[y].values[undecided[:, 0]]
            ax.plot(*at, "x", color="0.3", ms=4, mew=0.8, label="inconclusive", clip_on=False)
        line_x = ds[x].values
        ticker = need("matplotlib.ticker", "plot", "pictures")
        levels = [v for v in ticker.MaxNLocator(6).tick_values(-top, top) if abs(v) > 1e-9 * top]
        lines = ax.contour(ds[x], ds[y], shown["margin"], levels=levels, colors="0.4", linewidths=0.5)
        ax.clabel(lines, fmt="%.2g", fontsize=7)
    bar = ax.figure.colorbar(mesh, ax=ax, extend="both" if not np.isfinite(ds["margin"]).all() else "neither")
    bar.set_label(ds["margin"].attrs["long_name"])
    for j in range(ds.sizes["crossing"]):
        edge = ds["boundary"].values[:, j]
        known = np.isfinite(edge)
        if not known.any():
            continue
        error = ds["boundary_uncertainty"].values[:, j]
        ax.fill_between(line_x, edge - error, edge + error, where=known, color="k", alpha=0.18, lw=0)
        label = "boundary (roots)" if j == 0 else None
        ax.plot(line_x, edge, "o-", color="k", ms=2.6, lw=1.4, label=label)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=True, framealpha=0.85, fontsize=8.5, loc="best")


def _surface(ax: Any, ds: xr.Dataset, along: str, others: list[str]) -> None:
    x, y = others
    prefix = "line_" if "point" in ds.dims else ""
    xs, ys = ds[f"{prefix}{x}"].values, ds[f"{prefix}{y}"].values
    edge = ds["boundary"].isel(crossing=0).transpose(f"{prefix}{y}", f"{prefix}{x}").values
    ax.set_facecolor("0.9")
    colors = need("matplotlib.colors", "plot", "pictures")
    ranges = {r["name"]: r for r in json.loads(ds.attrs["plan"])["ranges"]}
    log = ranges[along]["scale"] == "log"
    norm = colors.LogNorm if log else colors.Normalize
    span = norm(vmin=ranges[along]["low"], vmax=ranges[along]["high"])
    shown = np.ma.masked_invalid(edge)
    mesh = ax.pcolormesh(xs, ys, shown, shading="nearest", cmap="viridis", norm=span, rasterized=True)
    bar = ax.figure.colorbar(mesh, ax=ax)
    bar.set_label(f"boundary in {_label(along, ds)}")
    if log:
        _plain_ticks(bar.ax.yaxis, ranges[along])
    known = np.isfinite(edge)
    if known.sum() > 3:
        low, high = np.nanmin(edge), np.nanmax(edge)
        levels: Any = 5
        if log:
            levels = [v for v in (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4) if low < v < high]
            # Next to the blank part a contour needs some cells on its other side to be one.
            levels = [v for v in levels if (edge[known] < v).sum() >= 0.1 * known.sum()]
        lines = ax.contour(xs, ys, shown, levels=levels, colors="white", linewidths=1.1)
        ax.clabel(lines, fmt="%g", fontsize=8)
    if not known.all():
        ax.text(
            0.97,
            0.04,
            "gray: no boundary in range",
            transform=ax.transAxes,
            fontsize=8,
            color="0.35",
            ha="right",
        )


def _line(ax: Any, ds: xr.Dataset, x: str) -> None:
    sorted_ds = ds.sortby(x)
    margin, bar = sorted_ds["margin"].values, sorted_ds["uncertainty"].values
    ax.fill_between(sorted_ds[x], margin - bar, margin + bar, color=COLORS[0], alpha=0.2, lw=0)
    ax.plot(sorted_ds[x], margin, "o-", color=COLORS[0], ms=3)
    ax.axhline(0, color="0.5", lw=0.8)
    for edge in ds["boundary"].values[np.isfinite(ds["boundary"].values)]:
        ax.axvline(edge, color="k", lw=1.2, ls="--")
    ax.set_ylabel(ds["margin"].attrs["long_name"])


def draw_speciation(ds: xr.Dataset, ax: Any = None) -> Frame:
    """Draw how often U-turns return to their class, by noise level or diffusion time.

    Parameters
    ----------
    ds : xarray.Dataset
        Kind "speciation": points with standard errors, over seeds where there are seeds; where the dataset has
        the exact answer of Gaussian classes, it is a dashed line; U-turns late in training are open points.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    """
    validate(ds, "speciation", who="plots.draw_speciation")
    ax = _frame(ax, (6.0, 4.0))
    by_noise = "noise_level" in ds.coords
    x = ds["noise_level" if by_noise else "diffusion_time"].values
    for k, label in enumerate(ds["class"].values):
        color = COLORS[k % len(COLORS)]
        one = ds.isel({"class": k})
        for name, marker, fill in (
            ("return_probability", "o", color),
            ("late_return_probability", "s", "white"),
        ):
            if name in one:
                mean, error = _over_seeds(one, name)
                late = ", late in training" if name.startswith("late") else ""
                ax.errorbar(
                    x, mean, error, fmt=marker, color=color, mfc=fill, ms=5, capsize=2, label=f"{label}{late}"
                )
        if "oracle_return_probability" in one:
            exact, _ = _over_seeds(one, "oracle_return_probability")
            ax.plot(x, exact, color=color, lw=1.2, ls="--", label=f"{label}, Gaussian classes")
    ax.set_xscale("log")
    ticks = [v for v in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if x[0] <= v <= x[-1]]
    ax.set_xticks(ticks, [f"{v:g}" for v in ticks])
    ax.minorticks_off()
    ax.set_xlabel(r"noise level $\sigma$" if by_noise else "diffusion time $t$")
    ax.set_ylabel("return probability")
    ax.set_ylim(-0.03, 1.03)
    ax.legend(frameon=False, fontsize=8)
    return ax  # type: ignore[no-any-return]


def _over_seeds(ds: xr.Dataset, name: str) -> tuple[np.ndarray, np.ndarray]:
    values = ds[name]
    if "seed" in values.dims:
        n = values.sizes["seed"]
        error = (
            values.std("seed", ddof=1).values / np.sqrt(n)
            if n > 1
            else np.zeros(values.sizes["diffusion_time"])
        )
        return values.mean("seed").values, error
    return values.values, ds[f"{name}_stderr"].values if f"{name}_stderr" in ds else np.zeros(values.size)


def draw_convergence(ds: xr.Dataset, ax: Any = None) -> Frame:
    """Draw the bias of finite size against dimension, with the fitted powers.

    Parameters
    ----------
    ds : xarray.Dataset
        Kind "convergence".
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    """
    validate(ds, "convergence", who="plots.draw_convergence")
    ax = _frame(ax, (5.0, 3.8))
    d = ds["n_dims"].values.astype(np.float64)
    span = np.geomspace(0.9 * d[0], 1.1 * d[-1], 50)
    for i, variable in enumerate(ds["variable"].values):
        one, color = ds.sel(variable=variable), COLORS[i]
        label = (
            f"{str(variable).replace('_', ' ')}: "
            f"$d^{{-{float(one['exponent']):.2f} \\pm {float(one['exponent_stderr']):.2f}}}$"
        )
        ax.errorbar(d, one["rms"], one["rms_stderr"], fmt="o", color=color, ms=5, capsize=3, label=label)
        ax.plot(span, float(one["amplitude"]) / span ** float(one["exponent"]), color=color, lw=1.2)
    ax.plot(span, float(ds["amplitude_of_one"].max()) / span, color="0.6", lw=0.9, ls="--", label="$1/d$")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xticks(d, [f"{v:.0f}" for v in d])
    ax.minorticks_off()
    ax.set_xlabel("dimension $d$")
    ax.set_ylabel("bias of the losses (rms)")
    ax.legend(frameon=False, fontsize=9)
    return ax  # type: ignore[no-any-return]


# ---- command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "file", metavar="FILE", help="a map, recorded learning curves or U-turns, or a convergence"
    )
    parser.add_argument("--finite", metavar="FILE", help="curves of a finite size, drawn on top as points")
    parser.add_argument("--out", required=True, metavar="PNG", help="the picture; .svg and .pdf work as well")
    parser.add_argument("--dpi", type=int, default=150, help="dots per inch (default: 150)")


def run(args: argparse.Namespace) -> int:
    """Draw what the file holds."""
    matplotlib = need("matplotlib", "plot", "pictures")
    matplotlib.use("agg")
    if args.dpi < 10:
        raise InvalidInput.of("dpi", args.dpi, "be 10 or more", "try 150")
    ds = storage.read_dataset(Path(args.file))
    kind = ds.attrs.get("schema")
    if kind == "map":
        from diffclaims.studies.maps.result import read_map

        ax = draw_map(read_map(Path(args.file)))
    elif kind == "speciation":
        ax = draw_speciation(ds)
    elif kind == "convergence":
        ax = draw_convergence(ds)
    elif kind == "curves":
        ax = learning_curves(ds, storage.read_dataset(Path(args.finite)) if args.finite else None)
    else:
        raise BaselineError(
            f"{args.file} has schema {kind!r}; 'plot' draws a 'map', 'curves' or a 'convergence'"
        )
    save(ax.figure, Path(args.out), dpi=args.dpi)
    print(f"drawn to {args.out}")
    return 0


def save(figure: Any, path: Path, *, dpi: int = 150) -> None:
    """Write a figure, whole or not at all.

    Raises
    ------
    DiffclaimsError
        For a folder that cannot be written or a format that is not known.
    """

    part = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(part, dpi=dpi)
        os.replace(part, path)
    except (OSError, ValueError) as error:
        raise DiffclaimsError(
            f"cannot draw to {path}: {error}; name a .png file in a folder of yours"
        ) from error
    finally:
        part.unlink(missing_ok=True)
        _pyplot().close(figure)
