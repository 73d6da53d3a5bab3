"""How far points lie from the threshold of a claim, inside its regime and outside it, and how many hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from diffclaims.plots.style import COLORS, _pyplot
from diffclaims.storage.schema import validate
from diffclaims.studies.points import REGIONS
from diffclaims.studies.share_report import Share, rows_of, summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Frame

#: Margins are drawn linearly up to here, logarithmically beyond, and at the edge where they are infinite.
_LINEAR, _EDGE = 0.1, 100.0
_COLOR = dict(zip(REGIONS, COLORS, strict=False))
#: Height of the points of one region, and how far the two lie from the middle of a claim's row.
_HEIGHT, _ASIDE = 0.28, 0.2


def draw_shares(ds: xr.Dataset) -> Frame:
    """Draw the margins of every claim at points inside and outside its regime, and the shares that hold.

    Parameters
    ----------
    ds : xarray.Dataset
        Kind "shares".
    """
    validate(ds, "shares", who="plots.draw_shares")
    found = summary(ds)
    claims = list(dict.fromkeys(s.claim for s in found))
    _, (left, right) = _pyplot().subplots(
        1,
        2,
        figsize=(10.0, 1.2 + 0.62 * len(claims)),
        width_ratios=(1.7, 1),
        sharey=True,
        layout="constrained",
    )
    for row, claim in enumerate(reversed(claims)):
        for share in (s for s in found if s.claim == claim):
            y = row + (_ASIDE if share.region == "inside" else -_ASIDE)
            _margins(left, rows_of(ds, claim, share.region), y, _COLOR[share.region])
            _share(right, share, y)
        if row:
            for ax in (left, right):
                ax.axhline(row - 0.5, color="0.9", lw=0.8)
    left.axvline(0, color="0.4", lw=0.9)
    left.set_xscale("symlog", linthresh=_LINEAR)
    left.set_xlim(-1.6 * _EDGE, 1.6 * _EDGE)
    ticks = [-10, -1, -0.1, 0, 0.1, 1, 10]
    left.set_xticks([-_EDGE, *ticks, _EDGE], ["never", *(f"{t:g}" for t in ticks), "always"])
    left.minorticks_off()
    left.set_xlabel(
        "least effect minus threshold: holds above 0\n(never, always: a time in it is not reached)"
    )
    left.set_yticks(np.arange(len(claims)), claims[::-1])
    left.set_ylim(-0.55, len(claims) - 0.45)
    left.tick_params(axis="y", length=0)
    right.tick_params(axis="y", length=0)
    right.set_xlim(-3, 131)
    right.set_xticks([0, 25, 50, 75, 100])
    right.set_xlabel("points that hold, in % of those measured")
    for region in REGIONS:
        right.plot([], [], "o", color=_COLOR[region], ms=6, label=f"{region} its regime")
    left.figure.legend(*right.get_legend_handles_labels(), loc="outside upper right", ncols=2, frameon=False)
    return left  # type: ignore[no-any-return]


def _margins(ax: Any, rows: xr.Dataset, y: float, color: str) -> None:
    """One point a margin, spread in height so that those at one place are seen; none where nothing was measured."""
    margin = rows["margin"].values
    margin = np.clip(margin[~np.isnan(margin)], -_EDGE, _EDGE)
    spread = np.random.default_rng(0).uniform(-0.5, 0.5, margin.size) * _HEIGHT
    ax.plot(margin, y + spread, "o", ms=2.6, color=color, alpha=0.55, mew=0)


def _share(ax: Any, share: Share, y: float) -> None:
    """The share with its interval, and the number beside it."""
    if not share.measured:
        return
    x, low, high = (100 * v for v in (share.share, share.low, share.high))
    color = _COLOR[share.region]
    ax.errorbar(x, y, xerr=[[x - low], [high - x]], fmt="o", ms=5, color=color, lw=1.4)
    ax.text(130, y, f"{share.held}/{share.measured}", ha="right", va="center", fontsize=8, color=color)
