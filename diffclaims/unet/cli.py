"""The command line."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from diffclaims.errors import DiffclaimsError
from diffclaims.unet.config import parse_setting
from diffclaims.unet.presets import PRESETS, runs


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m diffclaims.unet", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    train = commands.add_parser("train", help="train the runs of a preset, or what is left of them")
    _choice(train)
    train.add_argument("--download", action="store_true", help="fetch Fashion-MNIST first (torchvision)")
    train.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    train.add_argument("--threads", type=int, default=0, help="CPU threads (default: torch's own choice)")
    train.add_argument("--bf16", action="store_true", help="train in bfloat16 with fp32 weights")
    train.add_argument("--compile", action="store_true", help="compile the training step")
    train.add_argument(
        "--keep-snapshots", action="store_true", help="also keep the weights of every snapshot"
    )
    train.add_argument(
        "--stop-after", type=float, metavar="MINUTES", help="start no further run after this time"
    )
    train.add_argument("--dry-run", action="store_true", help="print the runs and stop")
    return parser


def _choice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", default="smoke", choices=list(PRESETS), help="default: smoke")
    parser.add_argument(
        "--results", type=Path, required=True, help="folder of the runs, shared by all processes"
    )
    parser.add_argument("--data-dir", help="folder of Fashion-MNIST (default: $DIFFCLAIMS_DATA)")
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="only this experiment (repeatable)"
    )
    parser.add_argument("--seeds", type=int, help="seeds of each experiment instead of the preset's")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings",
                        help="override one setting of every run (repeatable); tuples with commas")  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status."""
    args = _parser().parse_args(argv)
    try:
        chosen = runs(
            args.preset, only=args.only, seeds=args.seeds, overrides=dict(map(parse_setting, args.settings))
        )
        if args.command == "train":
            return _train(args, chosen)
        return 0
    except DiffclaimsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _train(args: argparse.Namespace, chosen: list) -> int:  # type: ignore[type-arg]
    if args.dry_run:
        for run in chosen:
            print(json.dumps({"run": run.folder, "key": run.key, **run.to_dict()}))
        return 0
    try:
        import torch
    except ImportError:
        print("error: training needs torch; install diffclaims[unet]", file=sys.stderr)
        return 2
    from diffclaims.unet.campaign import run_campaign
    from diffclaims.unet.data import load_fashion_mnist
    from diffclaims.unet.training import Compute

    if args.threads:
        torch.set_num_threads(args.threads)
    device = args.device
    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    if device.startswith("cuda") and not torch.cuda.is_available():
        print(f"error: --device {args.device}: torch finds no CUDA device; use --device cpu", file=sys.stderr)
        return 2
    compute = Compute(device=device, bf16=args.bf16, compile=args.compile, keep_snapshots=args.keep_snapshots)
    source = load_fashion_mnist(args.data_dir, download=args.download)
    done = run_campaign(chosen, source, args.results, compute=compute,
                        stop_after=None if args.stop_after is None else 60 * args.stop_after)  # fmt: skip
    print(f"{len(done)} of {len(chosen)} runs are done in {args.results}")
    return 0 if len(done) == len(chosen) else 1


__all__ = ["dataclasses", "main"]
