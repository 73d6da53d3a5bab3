"""The command ``diffclaims advise``: read arguments, advise, print."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np

from diffclaims.advice.compute import DIFFUSION_TIME, advise
from diffclaims.advice.measure import SHRINKAGES
from diffclaims.advice.page import page
from diffclaims.advice.show import shown
from diffclaims.errors import InvalidInput
from diffclaims.pages.render import check_target, write
from diffclaims.storage import netcdf as storage


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``diffclaims advise``."""
    data = (
        "FILE.npz with x and y; a folder with a subfolder of images for each class; fashion-mnist, digits or a "
        "name of torchvision.datasets; or package.module:OBJECT"
    )
    parser.add_argument("data", metavar="DATA", help=data)
    parser.add_argument("--root", default=None, help="folder of a named data set (default: $DIFFCLAIMS_DATA)")
    weights = "share of each class in the training, as 0.2,0.8 in the order of the classes, or balanced"
    parser.add_argument("--weights", default=None, help=f"{weights}; that of the data by default")
    parser.add_argument(
        "--time", type=float, default=DIFFUSION_TIME, help="diffusion time t (default: %(default)s)"
    )
    parser.add_argument("--parameters", type=float, default=None, help="number of your network's parameters")
    stop = "when you mean to stop, in units of the time at which the first class is learned"
    parser.add_argument("--stop", type=float, default=None, help=stop)
    parser.add_argument("--finite", action="store_true", help="train the finite-size model too (minutes)")
    parser.add_argument(
        "--shrinkage",
        choices=SHRINKAGES,
        default=SHRINKAGES[0],
        help="for classes with few samples (default: %(default)s)",
    )
    parser.add_argument("--resamples", type=int, default=None, help="data sets drawn anew for the scatter")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn")
    parser.add_argument("--out", type=Path, default=None, help="NetCDF file for what is advised")
    parser.add_argument("--html", type=Path, default=None, metavar="FILE", help="page for what is advised")
    parser.add_argument(
        "--overwrite", action="store_true", help="let the page replace a file that diffclaims did not make"
    )


def run(args: argparse.Namespace) -> int:
    """Run ``diffclaims advise``."""
    html = None if args.html is None else args.html.expanduser()
    if html is not None:
        check_target(html, overwrite=args.overwrite)
    found = advise(
        args.data,
        weights=_weights(args.weights),
        diffusion_time=args.time,
        parameters=args.parameters,
        stop=args.stop,
        finite=args.finite,
        shrinkage=args.shrinkage,
        resamples=args.resamples,
        root=args.root,
        seed=args.seed,
    )
    print(shown(found, int(os.environ.get("COLUMNS", 0)) or 110), end="")
    if args.out is not None:
        storage.write(args.out.expanduser(), found)
    if html is not None:
        write(html, page(found), overwrite=args.overwrite)
    return 0


def _weights(given: str | None) -> list[float] | str | None:
    if given is None or given == "balanced":
        return given
    try:
        weights = [float(v) for v in given.split(",")]
    except ValueError:
        raise InvalidInput.of(
            "--weights", given, "be numbers with commas between, or balanced", "as in --weights 0.2,0.8"
        ) from None
    total = float(np.sum(weights))
    # Proportions are meant; rounding of what is typed is no mistake.
    return [v / total for v in weights] if total > 0 and abs(total - 1) < 0.02 else weights
