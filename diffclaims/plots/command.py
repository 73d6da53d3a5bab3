"""Pictures: learning curves with the three times of each class, and maps with their boundary.

matplotlib is imported only when something is drawn.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from diffclaims.errors import BaselineError, InvalidInput
from diffclaims.extras import need
from diffclaims.plots.convergence import draw_convergence
from diffclaims.plots.curves import learning_curves
from diffclaims.plots.error_rates import draw_error_rates
from diffclaims.plots.maps import draw_map
from diffclaims.plots.shares import draw_shares
from diffclaims.plots.speciation import draw_speciation
from diffclaims.plots.style import save
from diffclaims.storage import netcdf as storage


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "file", metavar="FILE", help="a map, recorded curves or U-turns, a convergence, error rates or shares"
    )
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
    kind = ds.attrs.get("schema")
    if kind == "map":
        from diffclaims.studies.maps.result import read_map

        ax = draw_map(read_map(Path(args.file)))
    elif kind == "speciation":
        ax = draw_speciation(ds)
    elif kind == "error-rates":
        ax = draw_error_rates(ds)
    elif kind == "shares":
        ax = draw_shares(ds)
    elif kind == "convergence":
        ax = draw_convergence(ds)
    elif kind == "curves":
        ax = learning_curves(ds, storage.read_dataset(Path(args.finite)) if args.finite else None)
    else:
        raise BaselineError(
            f"{args.file} has schema {kind!r}; 'plot' draws a 'map', 'curves', 'speciation', a 'convergence', "
            "'error-rates' or 'shares'"
        )
    save(ax.figure, Path(args.out), dpi=args.dpi)
    print(f"drawn to {args.out}")
    return 0
