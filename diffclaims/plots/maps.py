"""Maps of a claim, with the boundary where its verdict changes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from diffclaims.extras import need

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Frame
from diffclaims.plots.style import COLORS, _frame

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
