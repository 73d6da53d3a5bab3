"""Ask a denoiser of a user whether it denoises, and which convention its network seems to have.

Data are those of the training, from a file or an object. Without data, the questions are asked of samples that the
denoiser makes itself: a wrong convention fails there too, but neither its name nor a wrong scale of data can be told.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diffclaims.errors import InvalidInput
from diffclaims.extras import object_of
from diffclaims.terminal import rendered, table

if TYPE_CHECKING:
    from diffclaims.denoisers import Denoiser, Report

#: Names under which files hold samples, and labels.
SAMPLES, LABELS = ("x", "images", "arr_0"), ("y", "labels", "arr_1")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``diffclaims denoiser``."""
    parser.add_argument("action", choices=["check"], help="what to do")
    parser.add_argument("model", metavar="MODEL", help="what an adapter returned, as package.module:OBJECT")
    data = (
        "samples, and labels: FILE.npy, FILE.npz with x and y, or package.module:OBJECT (x, or a pair x, y)"
    )
    parser.add_argument("--data", default=None, help=data)
    shape = "shape of one sample, as 1,28,28, where there are no data; that of the network's configuration by default"
    parser.add_argument("--shape", default=None, help=shape)
    parser.add_argument("--seed", type=int, default=0, help="of the noise")


def run(args: argparse.Namespace) -> int:
    """Run ``diffclaims denoiser check``; 1 when a question failed."""
    from diffclaims.denoisers import Denoiser, check

    sys.path.insert(0, os.getcwd())
    denoiser = object_of("model", args.model)
    if not isinstance(denoiser, Denoiser):
        fix = "wrap the network: denoisers.from_eps(network, alphas_cumprod), or another adapter"
        raise InvalidInput.of("model", type(denoiser).__name__, "be what an adapter returned", fix)
    x, labels = _data(args.data) if args.data else _own(denoiser, args.shape, args.seed)
    report = check(denoiser, x, labels, seed=args.seed, guess=bool(args.data))
    print(shown(report, args.model, own=not args.data), end="")
    return 0 if report.ok else 1


def _data(given: str) -> tuple[Any, Any]:
    """Return samples and labels, or None for these."""
    if ":" in given and not Path(given).exists():
        found = object_of("data", given)
        return found if isinstance(found, tuple) else (found, None)
    path = Path(given)
    if path.suffix not in (".npy", ".npz") or not path.is_file():
        raise InvalidInput.of(
            "data", given, "be a .npy or .npz file, or package.module:OBJECT", "check the path"
        )
    loaded = np.load(path)
    if path.suffix == ".npy":
        return loaded, None
    x = next((loaded[name] for name in SAMPLES if name in loaded), None)
    if x is None:
        raise InvalidInput.of(
            "data", sorted(loaded), f"hold one of {', '.join(SAMPLES)}", "name the samples x"
        )
    return x, next((loaded[name] for name in LABELS if name in loaded), None)


def _own(denoiser: Denoiser, shape: str | None, seed: int) -> tuple[Any, Any]:
    """Return samples of the denoiser, and their labels."""
    from diffclaims.denoisers.probe import own_samples

    one = _shape(shape) if shape else _configured(denoiser.network.module)
    if one is None:
        fix = "add --data FILE.npz, or --shape 1,28,28"
        raise InvalidInput.of("data", None, "be given, or the shape of a sample", fix)
    classes = denoiser.options.num_classes
    labels = None if classes is None else np.arange(64) % classes
    return own_samples(denoiser, one, labels, seed=seed), labels


def _shape(given: str) -> tuple[int, ...]:
    try:
        shape = tuple(int(n) for n in given.split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise InvalidInput.of(
            "shape", given, "be positive integers with commas between", "as in --shape 1,28,28"
        )
    return shape


def _configured(module: Any) -> tuple[int, ...] | None:
    """Return the shape of a sample that a network's configuration states, as diffusers and EDM have it."""
    config = getattr(module, "config", module)
    channels = getattr(config, "in_channels", getattr(config, "img_channels", None))
    size = getattr(config, "sample_size", getattr(config, "img_resolution", None))
    if channels is None or size is None:
        return None
    return (int(channels), *((size, size) if isinstance(size, int) else map(int, size)))


def shown(report: Report, name: str, *, own: bool) -> str:
    """Return a report as text.

    Parameters
    ----------
    report : Report
    name : str
        Of the denoiser.
    own : bool
        Whether the samples are the denoiser's.
    """
    rows = table("question", "", "found", title=f"{name}, read as {report.convention}")
    for answer in report.answers:
        word = {True: "yes", False: "NO", None: "-"}[answer.passed]
        fix = f"\n{answer.fix}" if answer.passed is False else ""
        rows.add_row(answer.question, word, f"{answer.found}{fix}")
    last = [f"It seems to be {report.seems}."] if report.seems else []
    if own:
        last.append(
            "Asked of its own samples; --data FILE.npz asks of yours, their scale, and other conventions."
        )
    width = int(os.environ.get("COLUMNS", 0)) or 110
    return rendered(rows, *last, width=width, soft_wrap=False)
