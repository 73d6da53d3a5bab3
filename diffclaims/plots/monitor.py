"""A watched training: losses of each class, and when it is learned and memorized."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Frame

    from diffclaims.monitor import Monitor, Record
from diffclaims.plots.style import COLORS, _frame

_MARKERS = {
    "learned_at": ("o", "learned"),
    "memorizing_at": ("^", "memorizing"),
    "memorized_at": ("s", "memorized"),
}


def draw_monitor(monitor: Monitor | Record, ax: Any = None, weights: str | None = None) -> Frame:
    """Draw the losses of each class as they were measured, with its times on the held-out loss.

    Parameters
    ----------
    monitor : Monitor or Record
        Solid lines are held-out losses, dashed ones training losses, each the geometric mean over noise levels.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    weights : {"raw", "ema"}, optional
        As `Record.status` has it.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    DiffclaimsError
        When nothing was measured, or matplotlib is not installed.
    """
    status = monitor.status(weights)
    losses = monitor.losses()[["train_loss", "held_out_loss"]].sel(weights=status.attrs["weights"])
    losses = xr.apply_ufunc(np.log, losses).mean("sigma")
    frame: Frame = _frame(ax, (6.4, 3.8))
    steps = 1 + losses["step"].values  # as times are found, in ln(1 + step)
    shown = set()
    for k, name in enumerate(status["class"].values):
        one, row = losses.isel({"class": k}), status.isel({"class": k})
        look: dict[str, Any] = {
            "color": COLORS[k % len(COLORS)],
            "alpha": 1.0 if k < len(COLORS) else 0.5,
            "ms": 3,
        }
        held_out = one["held_out_loss"].values
        label = f"{name}: {int(row['n_train'])}, {row['state'].item()}"
        frame.plot(steps, np.exp(held_out), ".-", lw=1.8, label=label, **look)
        frame.plot(steps, np.exp(one["train_loss"].values), ".--", lw=1.2, **look)
        for time, (marker, meaning) in _MARKERS.items():
            at = 1 + float(row[time])
            if np.isfinite(at):
                height = np.exp(np.interp(np.log(at), np.log(steps), held_out))
                frame.plot(at, height, marker, mec="white", **{**look, "ms": 8})
                shown.add((marker, meaning))
    for marker, meaning in _MARKERS.values():
        if (marker, meaning) in shown:
            frame.plot([], [], marker, color="0.4", label=meaning)
    frame.set_xscale("log")
    frame.set_yscale("log")
    frame.set_xlabel("1 + step")
    frame.set_ylabel("loss (solid: held-out, dashed: training)")
    frame.legend(
        title="class: images, state",
        frameon=False,
        fontsize=8,
        title_fontsize=8,
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
    )
    return frame
