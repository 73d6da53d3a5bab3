"""How often the verdict rule decides wrongly, beside the rule that it replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from scipy.stats import beta

from diffclaims.plots.style import COLORS, _pyplot
from diffclaims.storage.schema import validate

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Frame

#: Largest acceptable share, in percent.
_LIMIT = 1.0


def _interval(counts: np.ndarray, total: int) -> np.ndarray:
    """Clopper-Pearson limits of a share in percent, (2, ...)."""
    low = beta.ppf(0.025, counts, total - counts + 1)
    high = beta.ppf(0.975, counts + 1, total - counts)
    return np.asarray(100 * np.array([np.nan_to_num(low, nan=0.0), high]))


def draw_error_rates(ds: xr.Dataset) -> Frame:
    """Draw wrong decisions against the number of seeds at one look, and those at a look after every seed.

    Parameters
    ----------
    ds : xarray.Dataset
        Kind "error-rates".
    """
    validate(ds, "error-rates", who="plots.draw_error_rates")
    total = int(ds.attrs["repetitions"])
    names = [str(n) for n in ds["distribution"].values]
    _, (left, right) = _pyplot().subplots(
        1, 2, figsize=(9.6, 4.0), width_ratios=(1.2, 1), layout="constrained"
    )
    for i, name in enumerate(names):
        one = ds["one_look"].sel(distribution=name).max("verdict")
        color = COLORS[i % len(COLORS)] if i < len(COLORS) else "0.5"
        left.plot(ds["n_seeds"], 100 * one.sel(rule="sign") / total, color=color, lw=1.6)
        if int(one.sel(rule="student").min()) >= 0:
            left.plot(ds["n_seeds"], 100 * one.sel(rule="student") / total, color=color, lw=1.0, ls=":")
    left.plot([], [], color="0.2", lw=1.6, label="sign, as used")
    left.plot([], [], color="0.2", lw=1.0, ls=":", label="Student t, as before")
    left.set_xlabel("seeds, at one look")
    left.set_ylabel("wrong decisions of one kind, in %")
    left.legend(frameon=False, fontsize=9, loc="upper right")
    _every_look(right, ds, names, total)
    left.axhline(_LIMIT, color="0.6", lw=0.9, ls="--")
    left.set_yscale("symlog", linthresh=0.1)
    left.set_ylim(0, 30)
    left.set_yticks([0, 0.1, 1, 10], ["0", "0.1", "1", "10"])
    left.minorticks_off()
    return left  # type: ignore[no-any-return]


def _every_look(ax: Any, ds: xr.Dataset, names: list[str], total: int) -> None:
    """One row a distribution: the worse of the two wrong decisions, at any of the looks."""
    worst = ds["every_look"].max("verdict")
    rows = np.arange(len(names))[::-1]
    for rule, fill in (("student", "none"), ("sign", None)):
        counts = worst.sel(rule=rule).values
        known = counts >= 0
        share = 100 * counts[known] / total
        low, high = _interval(counts[known], total)
        colors = [COLORS[i] if i < len(COLORS) else "0.5" for i in np.flatnonzero(known)]
        for row, x, a, b, color in zip(rows[known], share, low, high, colors, strict=True):
            ax.errorbar(
                x, row, xerr=[[max(x - a, 0)], [max(b - x, 0)]], fmt="o", ms=6, color=color, mfc=fill or color
            )
    ax.axvline(_LIMIT, color="0.6", lw=0.9, ls="--")
    ax.set_yticks(rows, names)
    ax.set_xscale("log")
    ax.set_xlim(0.1, 40)
    ax.set_xticks([0.1, 1, 10], ["0.1", "1", "10"])
    ax.set_xlabel("a look after every seed from 3 to 24, in %\n(filled: sign, open: Student t)")
