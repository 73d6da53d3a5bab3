"""What errors of a score do to the order of speciation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from diffclaims.storage.schema import validate
from diffclaims.studies import score_effects

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Frame
from diffclaims.plots.style import COLORS, _frame

_MARKERS = ("o", "s", "D", "^")


def draw_score_errors(ds: xr.Dataset, ax: Any = None, *, weight: float | None = None) -> Frame:
    """Draw by how much the minority speciates later against the error of the score.

    Parameters
    ----------
    ds : xarray.Dataset
        Kind "score-errors": lines for planted errors, from the exact score on; points for learned scores, in the case
        where those were measured. Bars are 95 % intervals over seeds.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    weight : float, optional
        Weight of the minority, one of the dataset's; the largest by default.
    """
    validate(ds, "score-errors", who="plots.draw_score_errors")
    ax = _frame(ax, (6.4, 4.4))
    i = -1 if weight is None else int(np.flatnonzero(np.isclose(ds["weight"].values, weight))[0])
    learned = np.flatnonzero(ds["kind"].values == "learned")
    case = str(ds["case"].values[learned[0] if learned.size else 0])
    later = score_effects.interval(score_effects.effects(ds)["later"].sel(reading="raw").isel(weight=i))
    error = np.sqrt(ds["axis_error"].isel(weight=i).mean(("class", "diffusion_time")).values)
    mean, half = later["mean"].values, (later["high"] - later["mean"]).values

    def bars(runs: Any, **style: Any) -> None:
        ax.errorbar(error[runs], mean[runs], half[runs], capsize=2, lw=1.2, **style)

    ax.axhline(0.0, color="0.7", lw=0.8)
    of_case = ds["case"].values == case
    kinds = dict.fromkeys(
        ds["kind"].values[of_case & ~np.isin(ds["kind"].values, ["exact", "learned"])].tolist()
    )
    for j, kind in enumerate(kinds):
        for sign in ("", "-") if kind == "scale" else ("",):
            runs, _ = score_effects.planted(ds, case, sign + kind)
            style = {"ls": "--"} if sign else {"label": kind}
            bars(runs, color=COLORS[j % len(COLORS)], marker=".", ms=5, **style)
    names = list(dict.fromkeys(ds["activation"].values[learned].tolist()))
    for which, activation in enumerate(names):
        for marker, r in zip(_MARKERS, learned[ds["activation"].values[learned] == activation], strict=False):
            n = float(ds["psi_n"].values[r])
            label = rf"{activation}, $\psi_n = {'infty' if np.isinf(n) else f'{n:g}'}$".replace(
                "infty", r"\infty"
            )
            bars([r], color="k", marker=marker, mfc="white" if which else "k", ms=6, ls="none", label=label)
    ax.set_xlabel("relative error of the score along the centroids")
    ax.set_ylabel("ln t(majority) / t(minority)")
    ax.legend(frameon=False, fontsize=7, ncols=2)
    return ax  # type: ignore[no-any-return]
