"""Return probabilities of U-turns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from diffclaims.storage.schema import validate

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Frame
from diffclaims.plots.style import COLORS, _frame


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
