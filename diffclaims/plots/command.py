"""Pictures: learning curves with the three times of each class, and maps with their boundary.

matplotlib is imported only when something is drawn.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from diffclaims.errors import BaselineError, InvalidInput
from diffclaims.extras import need
from diffclaims.plots.by_weight import draw_by_weight
from diffclaims.plots.convergence import draw_convergence
from diffclaims.plots.curves import learning_curves
from diffclaims.plots.error_rates import draw_error_rates
from diffclaims.plots.maps import draw_map
from diffclaims.plots.orders import draw_orders
from diffclaims.plots.score_errors import draw_score_errors
from diffclaims.plots.shares import draw_shares
from diffclaims.plots.speciation import draw_speciation
from diffclaims.plots.style import save
from diffclaims.storage import netcdf as storage

#: What is drawn, by the kind of the dataset.
DRAWN: Mapping[str, Callable[[xr.Dataset], Any]] = {
    "convergence": draw_convergence,
    "curves": learning_curves,
    "error-rates": draw_error_rates,
    "map": draw_map,
    "orders": draw_orders,
    "orders_by_weight": draw_by_weight,
    "score-errors": draw_score_errors,
    "shares": draw_shares,
    "speciation": draw_speciation,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("file", metavar="FILE", help=f"a record of kind {', '.join(DRAWN)}")
    parser.add_argument("--finite", metavar="FILE", help="curves of a finite size, drawn on top as points")
    parser.add_argument("--out", required=True, metavar="PNG", help="the picture; .svg and .pdf work as well")
    parser.add_argument("--dpi", type=int, default=150, help="dots per inch (default: 150)")


def run(args: argparse.Namespace) -> int:
    """Draw what the file holds."""
    matplotlib = need("matplotlib", "plot", "pictures")
    matplotlib.use("agg")
    if args.dpi < 10:
        raise InvalidInput.of("dpi", args.dpi, "be 10 or more", "try 150")
    ds = storage.read_dataset(Path(args.file))
    kind = str(ds.attrs.get("schema", ""))
    if kind not in DRAWN:
        raise BaselineError(f"{args.file} has schema {kind!r}; 'plot' draws {', '.join(DRAWN)}")
    if kind == "map":
        from diffclaims.studies.maps.result import read_map

        ds = read_map(Path(args.file))
    if kind == "curves":
        ax = learning_curves(ds, storage.read_dataset(Path(args.finite)) if args.finite else None)
    else:
        ax = DRAWN[kind](ds)
    save(ax.figure, Path(args.out), dpi=args.dpi)
    print(f"drawn to {args.out}")
    return 0
