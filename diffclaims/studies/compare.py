"""Real images at finite size beside the theory of their moments: `diffclaims compare`.

The theory knows a mixture with commuting covariances and the images' first two moments; the finite
model learns the images themselves. The difference is the error of that description, and is stated
per class.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from rich.console import Console
from rich.table import Table

from diffclaims import finite, theory
from diffclaims.errors import InvalidInput
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.problem.names import Name
from diffclaims.storage import netcdf as storage
from diffclaims.storage.provenance import provenance
from diffclaims.times.learning import learning_times
from diffclaims.unet.data.data_set import pixels
from diffclaims.unet.data.registry import DEFAULT, data_set

#: Training times of a comparison.
N_TIMES = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``diffclaims compare``."""
    parser.add_argument("classes", nargs="+", help="classes of the data set")
    parser.add_argument("--data-dir", type=Path, default=None, help="default: the variable DIFFCLAIMS_DATA")
    parser.add_argument("--dataset", default=DEFAULT, metavar="NAME", help=f"default: {DEFAULT}")
    parser.add_argument("--resolution", type=int, help="side of the images (default: that of the data set)")
    parser.add_argument("--psi-p", type=float, default=8.0)
    parser.add_argument("--psi-n", type=float, default=4.0)
    parser.add_argument("--diffusion-time", type=float, default=0.05)
    parser.add_argument("--types", type=int, default=14, help="direction types of the moment-matched mixture")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--no-centroids", action="store_true", help="give the theory no centroids (C = 0)")
    parser.add_argument("--out", type=Path, default=None, help="NetCDF file for the curves")


def compare(
    x: np.ndarray,
    labels: np.ndarray,
    model: RandomFeatures,
    *,
    n_types: int,
    seeds: int,
    centroids: bool = True,
    classes: Sequence[Name] | None = None,
) -> xr.DataTree:
    """Learn samples at finite size and solve the theory of their moments, at the same training times.

    Parameters
    ----------
    x : ndarray, shape (n, d)
        Samples.
    labels : ndarray, shape (n,)
        Integers or strings.
    model : RandomFeatures
    n_types : int
        Direction types of the mixture.
    seeds : int
        Repetitions at finite size, each with its own features and split.
    centroids : bool
        Whether the mixture keeps the centroids of the samples.
    classes : sequence of int or str, optional
        Labels to use, in this order; all, sorted, by default.

    Returns
    -------
    xarray.DataTree
        Groups ``finite``, ``theory`` (curves) and ``difference`` (theory minus the mean over seeds, per
        class and time, with the standard error of that mean).
    """
    mixture = GaussianMixture.from_samples(x, labels, n_types=n_types, classes=classes)
    said = dict(mixture.diagnostics)
    if not centroids:
        mixture = mixture.replace(centroid_gram=None)
    times = theory.default_training_times(mixture, model, N_TIMES)
    exact = theory.learning_curves(mixture, model, times, accuracy=1e-3)
    sampled = finite.learning_curves((mixture, model), times, seeds=seeds, x=x, labels=labels)
    parts = {}
    for name in ("test_loss", "train_loss"):
        runs = sampled[name].transpose("seed", "class", "training_time").values
        dims = ("class", "training_time")
        parts[name] = (dims, exact[name].transpose(*dims).values - runs.mean(axis=0))
        parts[f"{name}_stderr"] = (dims, runs.std(axis=0, ddof=1) / np.sqrt(seeds))
    difference = xr.Dataset(parts, coords={"class": sampled["class"].values, "training_time": times})
    tree = xr.DataTree.from_dict({"/finite": sampled, "/theory": exact, "/difference": difference})
    tree.attrs = {"diagnostics": json.dumps(said)}
    return tree


def run(args: argparse.Namespace) -> int:
    """Run ``diffclaims compare``."""
    data = data_set(args.dataset)
    if set(args.classes) - set(data.classes) or len(set(args.classes)) < 2:
        raise InvalidInput.of("classes", args.classes, f"be two or more of {data.classes}", "correct them")
    resolution = args.resolution or int(data.settings.get("resolution", data.side))
    if resolution not in data.resolutions:
        raise InvalidInput.of("--resolution", resolution, f"be one of {data.resolutions}", "choose one")
    if args.seeds < 2:
        raise InvalidInput.of("--seeds", args.seeds, "be 2 or more", "one seed has no standard error")
    source = data.load(args.data_dir)
    number = [data.label(c) for c in args.classes]
    keep = np.isin(source.train_labels, number)
    images = pixels(source.train_images[keep], resolution).reshape(int(keep.sum()), -1)
    word = dict(zip(number, args.classes, strict=True))
    labels = np.array([word[int(n)] for n in source.train_labels[keep]])
    model = RandomFeatures(psi_p=args.psi_p, psi_n=args.psi_n, diffusion_time=args.diffusion_time)
    tree = compare(
        images.astype(np.float64),
        labels,
        model,
        n_types=args.types,
        seeds=args.seeds,
        centroids=not args.no_centroids,
        classes=args.classes,
    )
    _show(tree, args.classes)
    if args.out is not None:
        options = f"--dataset {args.dataset} --resolution {resolution} --psi-p {args.psi_p:g} --psi-n {args.psi_n:g}"
        options += f" --diffusion-time {args.diffusion_time:g} --types {args.types} --seeds {args.seeds}"
        options += " --no-centroids" if args.no_centroids else ""
        command = f"diffclaims compare {' '.join(args.classes)} {options}"
        made = provenance(subject="finite", seeds=range(args.seeds), command=command)
        tree.attrs |= made | {"data": f"{data.name}, pixels in [-1, 1]"}
        storage.write(args.out, tree)
    return 0


def _show(tree: xr.DataTree, classes: list[str]) -> None:
    exact, sampled = tree["theory"].to_dataset(), tree["finite"].to_dataset()
    times = learning_times(exact), learning_times(sampled)
    table = Table("class", "tau_gen theory", "finite", "tau_mem theory", "finite", "rms test", "rms train")
    difference = tree["difference"].to_dataset()
    for name in classes:
        one = {"class": name}
        row = [name]
        for which in ("tau_gen", "tau_mem"):
            row.append(f"{float(times[0][which].sel(one)):.1f}")
            logs = np.log(times[1][which].sel(one).values)
            row.append(f"{np.exp(logs.mean()):.1f}" if np.isfinite(logs).all() else "inf in some seeds")
        own = difference.sel(one)
        row += [f"{float(np.sqrt((own[loss] ** 2).mean())):.4f}" for loss in ("test_loss", "train_loss")]
        table.add_row(*row)
    Console().print(table)
