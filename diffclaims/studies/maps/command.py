"""``diffclaims map``: compute the map of a claim."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from pathlib import Path

import numpy as np
import xarray as xr

from diffclaims.api.claim import find_claim
from diffclaims.errors import InvalidInput
from diffclaims.studies.maps.plan import Plan, Range, parse_at
from diffclaims.studies.maps.run import checkpoint_of, run_map
from diffclaims.terminal import progress, tell

_LETTERS = ("x", "y", "z")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("claim", metavar="CLAIM", help="id of the claim")
    for letter in _LETTERS:
        parser.add_argument(
            f"--{letter}",
            metavar="NAME=LOW..HIGH",
            required=letter == "x",
            help="an axis and its range; :log or :linear may follow",
        )
        parser.add_argument(f"--n{letter}", type=int, metavar="N", help=f"values along {letter}")
    parser.add_argument(
        "--at", action="append", default=[], metavar="NAME=VALUE", help="fix another parameter"
    )
    parser.add_argument(
        "--along", default="", metavar="NAME", help="axis of the boundary search (default: the last)"
    )
    parser.add_argument(
        "--points", type=int, default=0, metavar="N", help="quasi-random points, besides the lines"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the quasi-random points")
    parser.add_argument("--subject", default="theory", metavar="NAME", help="what is asked (default: theory)")
    parser.add_argument("--accuracy", type=float, metavar="A", help="of the losses of theory (default: 1e-3)")
    parser.add_argument(
        "--claims", default="", metavar="FOLDER", help="folder of claims (default: the package's)"
    )
    parser.add_argument("--scheduler", default="", metavar="ADDRESS", help="dask scheduler to compute on")
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="local processes (default: one per core; 0: this process alone, without dask)",
    )
    parser.add_argument("--out", metavar="PATH", help="the file (default: CLAIM-map.nc)")


def plan_of(args: argparse.Namespace) -> Plan:
    """Return the plan that the arguments ask for.

    Raises
    ------
    InvalidInput
        For the first argument that cannot be used.
    """
    claims_dir = str(Path(args.claims).resolve()) if args.claims else ""
    axes = find_claim(args.claim, claims_dir).space
    if axes is None:
        raise InvalidInput.of("claim", args.claim, "have axes to map along", "choose another one")
    given = [(letter, getattr(args, letter)) for letter in _LETTERS if getattr(args, letter)]
    # Lines need more points in one dimension than in three.
    usual = {1: (64,), 2: (32, 32), 3: (16, 16, 8)}[len(given)]
    ranges = []
    for (letter, text), default in zip(given, usual, strict=True):
        n = getattr(args, f"n{letter}")
        ranges.append(Range.parse(text, default if n is None else n, axes))
    return Plan(
        claim=args.claim,
        ranges=tuple(ranges),
        at=parse_at(args.at),
        along=args.along,
        points=args.points,
        seed=args.seed,
        subject=args.subject,
        accuracy=args.accuracy,
        claims_dir=claims_dir,
    )


def run(args: argparse.Namespace) -> int:
    """Compute the map with a progress bar, and say what came out."""
    plan = plan_of(args)
    out = Path(args.out or f"{plan.claim}-map.nc")
    workers = len(os.sched_getaffinity(0)) if args.workers is None else args.workers
    started = time.perf_counter()
    try:
        with progress(plan.claim) as advance:
            dataset = run_map(
                plan,
                out,
                workers=workers,
                scheduler=args.scheduler,
                command=shlex.join(["diffclaims", *sys.argv[1:]]),
                advance=advance,
            )
    except KeyboardInterrupt:
        tell(f"stopped; {checkpoint_of(out)} keeps the finished points, the same command goes on")
        return 130
    for line in summary(dataset):
        print(line)
    print(f"written to {out} ({time.perf_counter() - started:.1f} s)")
    return 0


def summary(dataset: xr.Dataset) -> list[str]:
    """Return a few lines that say what a map holds."""
    verdicts, counts = np.unique(dataset["verdict"].values, return_counts=True)
    shown = ", ".join(f"{n} {v}" for v, n in zip(verdicts, counts, strict=True))
    lines = [
        f"{dataset.attrs['claim']} on {dataset.attrs['subject']}: {dataset['margin'].size} points, {shown}"
    ]
    margin = dataset["margin"].values
    if np.isfinite(margin).any():
        lines.append(
            f"margin ({dataset['margin'].attrs['long_name']}) {np.nanmin(margin):+.3g} to {np.nanmax(margin):+.3g}"
        )
    edge = dataset["boundary"].values
    n = int(np.isfinite(edge).any(axis=-1).sum())
    total = edge[..., 0].size
    text = f"boundary in {dataset.attrs['along']}: on {n} of {total} lines"
    if n:
        text += f", from {np.nanmin(edge):.4g} to {np.nanmax(edge):.4g}"
    return [*lines, text]
