"""Which of two classes is learned first against what was expected of the pair, for all pairs of many classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from diffclaims.extras import need
from diffclaims.plots.style import COLORS, _frame
from diffclaims.storage.schema import validate

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Frame

Floats = NDArray[np.float64]

#: How each predictor stands on the axis, pairs turned so that it is positive.
_LABELS = {
    "total variance": "ln ratio of total variances, A over B",
    "theory with centroids": r"ln $\tau_B/\tau_A$ of the theory with centroids",
    "theory without centroids": r"ln $\tau_B/\tau_A$ of the theory without centroids",
}


def draw_orders(
    ds: xr.Dataset, ax: Any = None, *, predictor: str = "total variance", definition: str | None = None
) -> Frame:
    """Draw ln(tau_A/tau_B) of each pair against a predictor; A is the class that it expects first.

    Parameters
    ----------
    ds : xarray.Dataset
        Kind "orders".
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    predictor : str
        One of the dataset's.
    definition : str, optional
        One of the dataset's; the main one of generalization by default.

    Notes
    -----
    A point is the mean over seeds, its bar has the 95 % limits from seeds and images where the dataset has them, else
    it reaches from the least to the largest seed. Pairs below the line are in the expected order. Infinite values, of
    which only one class was reached, are triangles at the edge.
    """
    validate(ds, "orders", who="plots.draw_orders")
    ax = _frame(ax, (6.4, 4.6))
    one = ds.isel(definition=0) if definition is None else ds.sel(definition=definition)
    expected = -ds["expected"].sel(predictor=predictor).values
    turn = np.where(expected < 0, -1.0, 1.0)
    x, y = np.abs(expected), turn * one["measured"].values
    each = turn[:, None] * _spread(one)
    ordered = np.isfinite(y) & (y != 0)
    edge = 1.15 * float(np.abs(y[ordered]).max(initial=0.1))
    for right, color, label in ((True, COLORS[0], "in order"), (False, COLORS[1], "against it")):
        chosen = ordered & ((y < 0) == right)
        if chosen.any():
            # A limit at infinity ends at the edge.
            limits = np.clip(each[chosen], -edge, edge)
            bars = [y[chosen] - np.nanmin(limits, axis=1), np.nanmax(limits, axis=1) - y[chosen]]
            ax.errorbar(
                x[chosen], y[chosen], yerr=np.abs(bars), fmt="o", ms=4.5, lw=0.9, color=color, label=label
            )
    for sign, marker in ((1, "^"), (-1, "v")):
        off = np.isinf(y) & (np.sign(y) == sign)
        ax.plot(x[off], np.full(off.sum(), sign * edge), marker, ms=6, color=COLORS[0 if sign < 0 else 1])
    ax.plot(x[y == 0], y[y == 0], "o", ms=4.5, mfc="white", color="0.5")
    ax.axhline(0, color="0.4", lw=0.9)
    ax.set_ylim(-1.1 * edge, 1.1 * edge)
    ax.set_xlabel(_LABELS.get(predictor, f"ln ratio of the {predictor}"))
    ax.set_ylabel(r"measured ln $\tau_A/\tau_B$")
    share = float(one["share"].sel(predictor=predictor))
    ax.legend(
        title=f"{100 * share:.0f} % of {x.size} pairs in order", frameon=False, fontsize=8, title_fontsize=8
    )
    return ax  # type: ignore[no-any-return]


def _spread(one: xr.Dataset) -> Floats:
    """What the bar of each pair covers, shape (n_pairs, n)."""
    if "measured_low" in one and np.isfinite(one["measured_low"]).any():
        return np.stack([one["measured_low"].values, one["measured_high"].values], axis=1)
    return np.asarray(one["by_seed"].values)


def draw_class_order(ds: xr.Dataset, ax: Any = None, *, centroids: str = "with centroids") -> Frame:
    """Draw the time at which each of many classes is generalized against that of the theory.

    Parameters
    ----------
    ds : xarray.Dataset
        What `diffclaims.studies.predict.compare_many` returns.
    ax : matplotlib Axes, optional
    centroids : {"with centroids", "without centroids"}
        Which theory.
    """
    ax = _frame(ax, (5.2, 4.6))
    middle = ds["predicted"].sel(centroids=centroids).isel(threshold=ds.sizes["threshold"] // 2)
    x, y = np.exp(middle.values), np.exp(ds["measured"].values)
    error = ds["measured_stderr"].values
    spread = [y - y * np.exp(-error), y * np.exp(error) - y]
    ax.errorbar(x, y, yerr=spread if np.isfinite(error).all() else None, fmt="o", ms=5, lw=1, color=COLORS[0])
    for name, a, b in zip(ds["class"].values, x, y, strict=True):
        ax.annotate(str(name), (a, b), xytext=(5, 4), textcoords="offset points", fontsize=8)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ticker = need("matplotlib.ticker", "plot", "pictures")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(ticker.MaxNLocator(5))
        axis.set_major_formatter(ticker.FormatStrFormatter("%g"))
        axis.set_minor_locator(ticker.NullLocator())
    one = ds.sel(centroids=centroids)
    value, low, high = (float(one[f"correlation{end}"]) for end in ("", "_low", "_high"))
    ax.set_title(
        f"rank correlation {value:+.2f} [{low:+.2f}, {high:+.2f}]", fontsize=9, loc="left", color="0.25"
    )
    ax.set_xlabel(rf"$\tau_{{gen}}$ of the theory {centroids}")
    ax.set_ylabel("measured: optimizer steps")
    return ax  # type: ignore[no-any-return]
