"""Pictures of what was measured."""

from diffclaims.plots.by_weight import draw_by_weight
from diffclaims.plots.convergence import draw_convergence
from diffclaims.plots.curves import N_POINTS, learning_curves
from diffclaims.plots.error_rates import draw_error_rates
from diffclaims.plots.maps import draw_map
from diffclaims.plots.monitor import draw_monitor
from diffclaims.plots.orders import draw_class_order, draw_orders
from diffclaims.plots.score_errors import draw_score_errors
from diffclaims.plots.shares import draw_shares
from diffclaims.plots.speciation import draw_speciation
from diffclaims.plots.style import COLORS, save

__all__ = [
    "COLORS",
    "N_POINTS",
    "draw_by_weight",
    "draw_class_order",
    "draw_convergence",
    "draw_error_rates",
    "draw_map",
    "draw_monitor",
    "draw_orders",
    "draw_score_errors",
    "draw_shares",
    "draw_speciation",
    "learning_curves",
    "save",
]
