"""The order in which U-Nets learn many classes, beside the order that the theory of their moments predicts.

The theory is given what `GaussianMixture.from_samples` keeps of the images and the sizes of the run; it knows neither
convolutions nor what lies beyond second moments. Only the order is compared, by Spearman's rank correlation.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import xarray as xr
from rich.console import Console
from rich.table import Table
from scipy import stats

from diffclaims import locate, storage, theory
from diffclaims.errors import InvalidInput
from diffclaims.experiment import Experiment
from diffclaims.mixture import GaussianMixture
from diffclaims.provenance import provenance
from diffclaims.times import learning_times
from diffclaims.unet import results

#: Training times of a prediction, interpolated between.
N_TIMES = 80
#: Whether the theory is given the centroids of the images.
CENTROIDS = ("with centroids", "without centroids")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``diffclaims ranks``."""
    parser.add_argument(
        "campaign", help="a recorded campaign of U-Nets, as in baselines/unet/recorded/CAMPAIGN"
    )
    parser.add_argument("--experiment", default="", help="default: the one with most classes")
    parser.add_argument("--folder", type=Path, default=None, help="folder of the recordings, if elsewhere")
    parser.add_argument("--out", type=Path, default=None, help="NetCDF file for what was found")


def predicted_times(experiment: Experiment, *, centroids: bool, accuracy: float = 1e-3) -> xr.Dataset:
    """Return the learning times of the theory for the moments and sizes of an experiment on images.

    Parameters
    ----------
    experiment : Experiment
        As a recording holds it: its mixture has the moments of the images.
    centroids : bool
        Whether to keep the centroids, which span as many directions as there are classes less one.
    accuracy : float
        Asked of the losses.
    """
    m = experiment.mixture
    if not centroids:
        m = GaussianMixture(m.weights, m.variances, m.fractions)
    times = theory.default_training_times(m, experiment.model, N_TIMES)
    return learning_times(theory.learning_curves(m, experiment.model, times, accuracy=accuracy))


def compare_ranks(curves: xr.Dataset) -> xr.Dataset:
    """Compare the measured order of generalization with the predicted one.

    Parameters
    ----------
    curves : xarray.Dataset
        A recording of three classes or more.

    Returns
    -------
    xarray.Dataset
        By class ``measured`` (mean over seeds of ln tau_gen, main definition), ``measured_stderr``,
        ``class_variance``, ``effective_dimension``, and ``predicted(centroids, class)`` (ln tau_gen at 0.5). By
        ``centroids`` the rank ``correlation`` with ``correlation_low``, ``correlation_high`` (95 % from seeds and
        images) and ``p_value``; the same for ``variance_correlation``, with 1/variance as the prediction; and
        ``correlation_by_definition(centroids, gen_definition)``, where others than the main one stand beside it.
    """
    experiment = Experiment.from_json(curves.attrs["experiment"])
    m = experiment.mixture
    order = ("gen_definition", "seed", "class")
    measured = np.log(curves["tau_gen_by_definition"].transpose(*order).values.astype(np.float64))
    main, n = measured[0], measured.shape[1]
    predicted = [
        predicted_times(experiment, centroids=c == CENTROIDS[0])["tau_gen"].values for c in CENTROIDS
    ]
    found = [results.rank_agreement(curves, p) for p in predicted]
    by_variance = results.rank_agreement(curves, 1 / m.class_variance)

    def field(name: str) -> tuple[str, list[float]]:
        return ("centroids", [getattr(f, name) for f in found])

    error = main.std(axis=0, ddof=1) / np.sqrt(n) if n > 1 else np.full(m.n_classes, np.inf)
    unit = {"units": "1"}
    return xr.Dataset(
        {
            "measured": ("class", main.mean(axis=0), unit | {"long_name": "mean over seeds of ln tau_gen"}),
            "measured_stderr": ("class", error, unit),
            "predicted": (
                ("centroids", "class"),
                np.log(predicted),
                unit | {"long_name": "ln tau_gen of the theory"},
            ),
            "class_variance": ("class", m.class_variance),
            "effective_dimension": ("class", m.effective_dimension),
            "correlation": field("correlation"),
            "correlation_low": field("low"),
            "correlation_high": field("high"),
            "p_value": field("p_value"),
            "correlation_by_definition": (
                ("centroids", "gen_definition"),
                [[_spearman(d.mean(axis=0), p) for d in measured] for p in predicted],
            ),
            "variance_correlation": by_variance.correlation,
            "variance_correlation_low": by_variance.low,
            "variance_correlation_high": by_variance.high,
        },
        {
            "class": curves["class"].values.astype(str),
            "centroids": list(CENTROIDS),
            "gen_definition": curves["gen_definition"].values.astype(str),
        },
        provenance(subject="unet", experiment=experiment, seeds=list(map(int, curves["seed"].values))),
    )


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation; 0 where a definition tells no class from another."""
    return float(stats.spearmanr(a, b).statistic) if np.ptp(stats.rankdata(a)) > 0 else 0.0


def run(args: argparse.Namespace) -> int:
    """Run ``diffclaims ranks``."""
    folder = args.folder or locate.baselines_dir() / "unet" / "recorded" / args.campaign
    recorded = results.load(folder)
    name = args.experiment or max(recorded, key=lambda k: recorded[k].sizes["class"])
    if name not in recorded or recorded[name].sizes["class"] < 3:
        many = sorted(k for k, d in recorded.items() if d.sizes["class"] >= 3)
        raise InvalidInput.of(
            "--experiment", name, f"be one of {many}, which have three classes or more", "choose one"
        )
    found = compare_ranks(recorded[name])
    _show(name, found)
    if args.out is not None:
        chosen = f" --experiment {args.experiment}" if args.experiment else ""
        storage.write(args.out, found.assign_attrs(command=f"diffclaims ranks {args.campaign}{chosen}"))
    return 0


def _show(name: str, found: xr.Dataset) -> None:
    console = Console()
    table = Table(
        "class", "variance", "eff. dim.", "tau_gen", *(f"theory {c}" for c in CENTROIDS), title=name
    )
    for k in np.argsort(found["measured"].values):
        one = found.isel({"class": int(k)})
        steps, error = float(np.exp(one["measured"])), float(one["measured_stderr"])
        table.add_row(
            str(one["class"].values),
            f"{float(one['class_variance']):.3f}",
            f"{float(one['effective_dimension']):.3f}",
            f"{steps:.0f} (+-{100 * error:.0f} %)",
            *(f"{float(np.exp(v)):.1f}" for v in one["predicted"].values),
        )
    console.print(table)
    for c in CENTROIDS:
        one = found.sel(centroids=c)
        line = _correlation(one, "")
        console.print(
            f"rank correlation with the theory {c}: {line}, p = {float(one['p_value']):.2g}", highlight=False
        )
    console.print(
        f"with the order of total variance alone: {_correlation(found, 'variance_')}", highlight=False
    )


def _correlation(found: xr.Dataset, prefix: str) -> str:
    value, low, high = (float(found[f"{prefix}correlation{end}"]) for end in ("", "_low", "_high"))
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"
