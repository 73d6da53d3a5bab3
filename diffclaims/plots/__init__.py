"""Pictures of what was measured."""

from diffclaims.plots.command import (
    COLORS,
    N_POINTS,
    draw_convergence,
    draw_map,
    draw_speciation,
    learning_curves,
    save,
)

__all__ = [
    "COLORS",
    "N_POINTS",
    "draw_convergence",
    "draw_map",
    "draw_speciation",
    "learning_curves",
    "save",
]
