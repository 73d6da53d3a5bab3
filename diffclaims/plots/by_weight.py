"""How the order of two classes moves with the weight of one of them, a line for each pair."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from diffclaims.plots.style import COLORS, _frame
from diffclaims.storage.schema import validate

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Frame


def draw_by_weight(ds: xr.Dataset, ax: Any = None) -> Frame:
    """Draw ln(tau_A/tau_B) of generalization against the weight of A, the class of higher variance.

    Parameters
    ----------
    ds : xarray.Dataset
        Kind "orders_by_weight". Lines join means over seeds; bars are 95 % limits, small dots seeds.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    SubjectInvalid
        For a dataset of another kind.
    """
    validate(ds, "orders_by_weight", who="plots.draw_by_weight")
    ax = _frame(ax, (6.4, 4.4))
    gen = ds.sel(milestone="gen")
    at = np.arange(gen.sizes["weight"], dtype=float)
    shift = np.linspace(-0.12, 0.12, gen.sizes["pair"])
    for k, name in enumerate(gen["pair"].values):
        one, color = gen.sel(pair=name), COLORS[k % len(COLORS)]
        middle, low, high = (one[f"measured{end}"].values for end in ("", "_low", "_high"))
        x = at + shift[k]
        ax.errorbar(
            x,
            middle,
            yerr=[middle - low, high - middle],
            fmt="o-",
            ms=5,
            lw=1.2,
            color=color,
            label=str(name),
        )
        for seeds in one["by_seed"].transpose("seed", "weight").values:
            ax.plot(x, seeds, ".", ms=3, color=color, alpha=0.5)
    ax.axhline(0, color="0.5", lw=0.8)
    ax.set_xticks(at, [f"{w:g}" for w in gen["weight"].values])
    ax.set_xlabel("weight of A, the class of higher variance")
    ax.set_ylabel(r"$\ln\,\tau_{gen}(A)/\tau_{gen}(B)$: above 0 A is later")
    ax.legend(title="A-B", frameon=False, fontsize=8, title_fontsize=8)
    return ax  # type: ignore[no-any-return]
