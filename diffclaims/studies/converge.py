"""Theory against finite size: how fast the curves of the random-features model approach their limit.

In named cases the bias of the mean over seeds is measured at several dimensions and fitted by c/d^a. Both sides
have to answer for the result: a theory with a mistake leaves a bias that does not vanish, a simulation with one an
exponent that is not 1.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray as xr
from rich.console import Console
from scipy import stats

from diffclaims import finite, theory
from diffclaims.errors import InvalidInput
from diffclaims.problem.experiment import Experiment
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.storage import netcdf as storage
from diffclaims.storage import paths as locate
from diffclaims.storage.provenance import provenance
from diffclaims.storage.schema import stamp

#: Two isotropic classes, two classes in different directions, two with centroids of their own, and two of unequal
#: weight whose centroids are far apart, as where imbalance reverses the order.
CASES: dict[str, Experiment] = {
    "isotropic": Experiment(
        mixture=GaussianMixture([0.5, 0.5], [1.5, 0.5]),
        model=RandomFeatures(psi_p=8, psi_n=4, diffusion_time=0.01),
    ),
    "two-direction-types": Experiment(
        mixture=GaussianMixture([0.3, 0.7], [[2.8, 0.2], [0.1, 0.9]], (0.5, 0.5)),
        model=RandomFeatures(psi_p=8, psi_n=4, diffusion_time=0.01),
    ),
    "centroids": Experiment(
        mixture=GaussianMixture([0.25, 0.75], [1.2, 0.6], centroid_gram=[[1.0, 0.3], [0.3, 2.0]]),
        model=RandomFeatures(psi_p=4, psi_n=3, diffusion_time=0.1),
    ),
    "far-centroids": Experiment(
        mixture=GaussianMixture([0.2, 0.8], [1.0, 0.8], centroid_gram=[[4.0, 0.0], [0.0, 4.0]]),
        model=RandomFeatures(psi_p=8, psi_n=4, diffusion_time=0.05),
    ),
}
#: Seeds by dimension: more where one is cheap. Half as many (6 at d = 400) left room for a fluctuation of 3.7
#: standard errors in one case, which fresh seeds did not confirm.
SEEDS = {50: 256, 100: 128, 200: 48, 400: 16}
TRAINING_TIMES = np.geomspace(1.0, 1e4, 17)
VARIABLES = ("test_loss", "train_loss")
#: Folder of the records, below the baselines.
FOLDER = "converge"


def converge(
    experiment: Experiment, seeds: Mapping[int, int] | None = None, *, accuracy: float = 1e-6
) -> xr.Dataset:
    """Measure the bias of finite size at several dimensions and fit its power.

    Parameters
    ----------
    experiment : Experiment
        Gaussian.
    seeds : mapping of int to int, optional
        Number of seeds by dimension; three dimensions or more, two seeds or more.
    accuracy : float
        Asked of the theory.

    Returns
    -------
    xarray.Dataset
        Kind "convergence": ``bias`` and ``stderr`` (variable, n_dims, class, training_time), theory taken from the
        mean over seeds; its root mean square over classes and times, ``rms`` and ``rms_stderr``
        (variable, n_dims); by variable the fit c/d^a of that (``exponent``, ``amplitude``, their errors,
        ``chi2``) and of c/d (``amplitude_of_one``, ``chi2_of_one``); ``chi2_pointwise`` (variable, class,
        training_time) of c/d fitted to the bias of each loss alone.
    """
    counts = dict(SEEDS if seeds is None else seeds)
    if len(counts) < 3 or min(counts.values()) < 2:
        raise InvalidInput.of(
            "seeds", counts, "name three dimensions or more with two seeds or more", "measure more"
        )
    exact = theory.learning_curves(experiment.mixture, experiment.model, TRAINING_TIMES, accuracy=accuracy)
    dims = sorted(counts)
    sampled = {d: finite.learning_curves(experiment, TRAINING_TIMES, n_dims=d, seeds=counts[d]) for d in dims}
    parts = {v: [finite.bias_against(sampled[d], exact, variable=v) for d in dims] for v in VARIABLES}

    def stacked(name: str) -> np.ndarray:
        return np.array([[p[name].values for p in parts[v]] for v in VARIABLES])

    rms = {
        v: {d: (float(p["rms"]), float(p["rms_stderr"])) for d, p in zip(dims, parts[v], strict=True)}
        for v in VARIABLES
    }
    free = [finite.fit_power(rms[v]) for v in VARIABLES]
    one = [finite.fit_power(rms[v], exponent=1.0) for v in VARIABLES]
    bias, stderr = stacked("bias"), stacked("stderr")
    inverse = 1.0 / np.array(dims, dtype=np.float64)[:, None, None]
    # Weighted least squares of bias = c/d, for every loss alone.
    weight = 1.0 / np.maximum(stderr, exact.attrs["accuracy"]) ** 2
    c = (weight * bias * inverse).sum(axis=1) / (weight * inverse**2).sum(axis=1)
    chi2 = (weight * (bias - c[:, None] * inverse) ** 2).sum(axis=1)
    by_loss = ("variable", "n_dims", "class", "training_time")
    dataset = xr.Dataset(
        {
            "bias": (by_loss, bias, {"units": "1", "long_name": "mean over seeds minus theory"}),
            "stderr": (by_loss, stderr, {"units": "1"}),
            "rms": (("variable", "n_dims"), stacked("rms"), {"units": "1"}),
            "rms_stderr": (("variable", "n_dims"), stacked("rms_stderr"), {"units": "1"}),
            "exponent": ("variable", [f.exponent for f in free]),
            "exponent_stderr": ("variable", [f.exponent_stderr for f in free]),
            "amplitude": ("variable", [f.amplitude for f in free]),
            "amplitude_stderr": ("variable", [f.amplitude_stderr for f in free]),
            "chi2": ("variable", [f.chi2 for f in free], {"dof": len(dims) - 2}),
            "amplitude_of_one": ("variable", [f.amplitude for f in one]),
            "chi2_of_one": ("variable", [f.chi2 for f in one], {"dof": len(dims) - 1}),
            "chi2_pointwise": (("variable", "class", "training_time"), chi2, {"dof": len(dims) - 1}),
            "n_seeds": ("n_dims", [counts[d] for d in dims]),
        },
        {
            "variable": list(VARIABLES),
            "n_dims": dims,
            "class": exact["class"].values,
            "training_time": TRAINING_TIMES,
        },
    )
    most = max(counts.values())
    attrs = provenance(subject="finite", experiment=experiment, seeds=range(most))
    return stamp(dataset, "convergence", attrs | {"theory_accuracy": float(exact.attrs["accuracy"])})


def report(name: str, found: xr.Dataset) -> str:
    """Say what was found, in a few lines."""
    lines = [name]
    for v in VARIABLES:
        one = found.sel(variable=v)
        values = ", ".join(
            f"{float(r):.2g} at {int(d)}" for r, d in zip(one["rms"], one["n_dims"].values, strict=True)
        )
        free = int(found["chi2_of_one"].attrs["dof"])
        tail = float(stats.chi2.sf(float(one["chi2_of_one"]), free))
        dof = int(found["chi2_pointwise"].attrs["dof"])
        beyond = int((one["chi2_pointwise"] > stats.chi2.isf(0.001, dof)).sum())
        lines += [
            f"  {v}: rms bias {values}",
            f"    c/d^a: a = {float(one['exponent']):.3f} +- {float(one['exponent_stderr']):.3f}, "
            f"c = {float(one['amplitude']):.2g} +- {float(one['amplitude_stderr']):.2g}; "
            f"c/d: chi2 = {float(one['chi2_of_one']):.1f} for {free}, p = {tail:.2g}",
            f"    each loss alone by c/d: {beyond} of {one['chi2_pointwise'].size} beyond the 99.9 % point of chi2",
        ]
    return "\n".join(lines)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``diffclaims converge``."""
    parser.add_argument("case", nargs="*", help=f"{', '.join(CASES)} (default: all)")
    parser.add_argument(
        "--seeds", action="append", default=[], metavar="D=N", help=f"N seeds at dimension D; default {SEEDS}"
    )
    parser.add_argument("--folder", type=Path, default=None, help=f"default: {FOLDER}/ beside the baselines")


def _seeds(words: list[str]) -> dict[int, int]:
    try:
        return {int(d): int(n) for d, n in (w.split("=") for w in words)} or dict(SEEDS)
    except ValueError:
        raise InvalidInput.of("--seeds", words, "have the form D=N", "write --seeds 50=100, say") from None


def run(args: argparse.Namespace) -> int:
    """Run ``diffclaims converge``."""
    unknown = [c for c in args.case if c not in CASES]
    if unknown:
        raise InvalidInput.of("case", unknown, f"be out of {list(CASES)}", "correct its name")
    seeds = _seeds(args.seeds)
    folder = locate.to_record(FOLDER, given=args.folder, option="--folder")
    console = Console()
    for name in args.case or CASES:
        started = time.monotonic()
        found = converge(CASES[name], seeds)
        words = "".join(f" --seeds {d}={n}" for d, n in seeds.items()) if seeds != SEEDS else ""
        command = f"diffclaims converge {name}{words}"
        storage.write(
            folder / f"{name}.nc", found.assign_attrs(command=command, seconds=time.monotonic() - started)
        )
        console.print(report(name, found), highlight=False)
    return 0
