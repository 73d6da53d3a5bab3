"""How fast finite size approaches the theory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from diffclaims.storage.schema import validate

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Frame
from diffclaims.plots.style import COLORS, _frame


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
