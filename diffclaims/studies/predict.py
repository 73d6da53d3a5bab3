"""What the theory of the images' moments predicts for recorded U-Nets: orders of pairs, and of many classes.

The theory is given what `GaussianMixture.from_samples` keeps of the images and the sizes of the run; it knows neither
convolutions nor what lies beyond second moments, and its unit of time is another. So orders are compared: of two
classes by ln(tau_A/tau_B), of many by Spearman's rank correlation. Once the centroids are left out, to see what they
do.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy import stats

from diffclaims.advice import forecast
from diffclaims.api.effects import GENERALIZED_FRACTIONS
from diffclaims.errors import InvalidInput
from diffclaims.problem.experiment import Experiment
from diffclaims.problem.names import by_name
from diffclaims.storage import netcdf as storage
from diffclaims.storage import paths as locate
from diffclaims.storage.provenance import provenance
from diffclaims.times.learning import learning_times
from diffclaims.unet import results

Floats = NDArray[np.float64]

#: Whether the theory is given the centroids of the images.
CENTROIDS = ("with centroids", "without centroids")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``diffclaims predict``."""
    parser.add_argument(
        "campaign", help="a recorded campaign of U-Nets, as in baselines/unet/recorded/CAMPAIGN"
    )
    parser.add_argument("--folder", type=Path, default=None, help="folder of the recordings, if elsewhere")
    parser.add_argument("--out", type=Path, default=None, help="NetCDF file for what was found")


def predicted(experiment: Experiment) -> Floats:
    """Return ln tau_gen of the theory for the moments and sizes of an experiment on images.

    Parameters
    ----------
    experiment : Experiment
        As a recording holds it: its mixture has the moments of the images.

    Returns
    -------
    ndarray, shape (2, n_thresholds, K)
        With centroids and without, at each threshold of `effects.GENERALIZED_FRACTIONS`; +inf if not reached.
    """
    m = experiment.mixture
    out = []
    for mixture in (m, m.replace(centroid_gram=None)):
        curves = forecast.curves(mixture, experiment.model)
        out.append(
            [learning_times(curves, generalization=g)["tau_gen"].values for g in GENERALIZED_FRACTIONS]
        )
    return np.log(out)


def _measured(curves: xr.Dataset) -> Floats:
    """ln tau_gen by each definition, (gen_definition, seed, class)."""
    order = ("gen_definition", "seed", "class")
    return np.log(curves["tau_gen_by_definition"].transpose(*order).values.astype(np.float64))


def compare_many(curves: xr.Dataset) -> xr.Dataset:
    """Compare the measured order of generalization of three classes or more with the predicted one.

    Parameters
    ----------
    curves : xarray.Dataset
        A recording.

    Returns
    -------
    xarray.Dataset
        By class ``measured`` (mean over seeds of ln tau_gen, main definition), ``measured_stderr``,
        ``class_variance``, ``effective_dimension``, and ``predicted(centroids, threshold, class)``. By
        ``centroids``, at the middle threshold, the rank ``correlation`` with ``correlation_low``,
        ``correlation_high`` (95 % from seeds and images) and ``p_value``; the same for
        ``variance_correlation``, with 1/variance as the prediction; and
        ``correlation_by_definition(centroids, gen_definition)``.
    """
    experiment, curves = _experiment(curves), _ordered(curves)
    m, measured, want = experiment.mixture, _measured(curves), predicted(experiment)
    middle = want[:, len(GENERALIZED_FRACTIONS) // 2]
    main, n = measured[0], measured.shape[1]
    found = [results.rank_agreement(curves, np.exp(p)) for p in middle]
    by_variance = results.rank_agreement(curves, 1 / m.class_variance)

    def field(name: str) -> tuple[str, list[float]]:
        return ("centroids", [getattr(f, name) for f in found])

    error = main.std(axis=0, ddof=1) / np.sqrt(n) if n > 1 else np.full(m.n_classes, np.inf)
    return xr.Dataset(
        {
            "measured": ("class", main.mean(axis=0), {"long_name": "mean over seeds of ln tau_gen"}),
            "measured_stderr": ("class", error),
            "predicted": (
                ("centroids", "threshold", "class"),
                want,
                {"long_name": "ln tau_gen of the theory"},
            ),
            "class_variance": ("class", m.class_variance),
            "effective_dimension": ("class", m.effective_dimension),
            "correlation": field("correlation"),
            "correlation_low": field("low"),
            "correlation_high": field("high"),
            "p_value": field("p_value"),
            "correlation_by_definition": (
                ("centroids", "gen_definition"),
                [[_spearman(d.mean(axis=0), p) for d in measured] for p in middle],
            ),
            "variance_correlation": by_variance.correlation,
            "variance_correlation_low": by_variance.low,
            "variance_correlation_high": by_variance.high,
        },
        {
            "class": list(m.classes),
            "centroids": list(CENTROIDS),
            "threshold": list(GENERALIZED_FRACTIONS),
            "gen_definition": curves["gen_definition"].values.astype(str),
        },
        {"seeds": str(list(map(int, curves["seed"].values))), "experiment": experiment.to_json()},
    )


def _spearman(a: Floats, b: Floats) -> float:
    """Rank correlation; 0 where a definition tells no class from another."""
    return float(stats.spearmanr(a, b).statistic) if np.ptp(stats.rankdata(a)) > 0 else 0.0


def compare_pairs(recorded: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Compare ln(tau_A/tau_B) of each pair of classes with the predicted one.

    Parameters
    ----------
    recorded : mapping of str to Dataset
        Recordings of two classes each, by name.

    Returns
    -------
    xarray.Dataset
        By ``experiment``: ``weight`` of the first class, ``measured`` (mean over seeds, main definition),
        ``measured_stderr``, ``n_seeds``, ``measured_by_definition``, and ``predicted(experiment, centroids,
        threshold)``, +inf or -inf where only one class is reached.
    """
    names = sorted(recorded, key=lambda k: (float(_experiment(recorded[k]).mixture.weights[0]), k))
    by_definition = [_measured(_ordered(recorded[n])) for n in names]
    ratios = [d[0, :, 0] - d[0, :, 1] for d in by_definition]
    want = np.stack([predicted(_experiment(recorded[n])) for n in names])
    with np.errstate(invalid="ignore"):
        each = [(d[..., 0] - d[..., 1]).mean(axis=1) for d in by_definition]
        difference = want[..., 0] - want[..., 1]
    first = recorded[names[0]]
    return xr.Dataset(
        {
            "weight": ("experiment", [_experiment(recorded[n]).mixture.weights[0] for n in names]),
            "n_seeds": ("experiment", [r.size for r in ratios]),
            "measured": ("experiment", [r.mean() for r in ratios]),
            "measured_stderr": (
                "experiment",
                [r.std(ddof=1) / np.sqrt(r.size) if r.size > 1 else np.inf for r in ratios],
            ),
            "measured_by_definition": (("experiment", "gen_definition"), each),
            # Neither reached: a tie.
            "predicted": (
                ("experiment", "centroids", "threshold"),
                np.where(np.isnan(difference), 0.0, difference),
            ),
        },
        {
            "experiment": names,
            "centroids": list(CENTROIDS),
            "threshold": list(GENERALIZED_FRACTIONS),
            "gen_definition": first["gen_definition"].values.astype(str),
        },
        {
            "classes": ", ".join(map(str, _experiment(first).mixture.classes)),
            "effect": "ln(tau_gen(A)/tau_gen(B))",
        },
    )


def _experiment(curves: xr.Dataset) -> Experiment:
    return Experiment.from_json(curves.attrs["experiment"])


def _ordered(curves: xr.Dataset) -> xr.Dataset:
    """The classes of a recording in the order of the mixture that the theory is asked about."""
    return by_name(curves, _experiment(curves).mixture.classes)


def run(args: argparse.Namespace) -> int:
    """Run ``diffclaims predict``."""
    folder = args.folder or locate.baselines_dir() / "unet" / "recorded" / args.campaign
    recorded = results.load(folder)
    pairs = {k: d for k, d in recorded.items() if d.sizes["class"] == 2}
    many = {k: d for k, d in recorded.items() if d.sizes["class"] > 2}
    kinds = {tuple(map(str, d["class"].values)) for d in pairs.values()}
    if len(kinds) > 1:
        raise InvalidInput.of(
            "campaign", args.campaign, "hold one pair of classes", f"it holds {sorted(kinds)}"
        )
    console = Console()
    groups: dict[str, xr.Dataset] = {}
    if pairs:
        groups["/pairs"] = compare_pairs(pairs)
        _show_pairs(groups["/pairs"], console)
    for name, curves in many.items():
        groups[f"/{name}"] = compare_many(curves)
        _show_many(name, groups[f"/{name}"], console)
    if args.out is not None:
        tree = xr.DataTree.from_dict(groups)
        tree.attrs = provenance(subject="unet", command=f"diffclaims predict {args.campaign}")
        storage.write(args.out, tree)
    return 0


def _show_pairs(found: xr.Dataset, console: Console) -> None:
    a, b = found.attrs["classes"].split(", ")
    levels = " ".join(f"{g:g}" for g in found["threshold"].values)
    table = Table(title=f"ln tau_gen({a})/tau_gen({b}): measured (seeds), and of the theory at {levels}")
    for head in ("experiment", f"w({a})", "measured", *CENTROIDS):
        table.add_column(head, no_wrap=head == "experiment")
    for name in found["experiment"].values:
        one = found.sel(experiment=name)
        table.add_row(
            str(name),
            f"{float(one['weight']):.2f}",
            f"{float(one['measured']):+.2f} +- {float(one['measured_stderr']):.2f} ({int(one['n_seeds'])})",
            *(" ".join(f"{v:+.2f}" for v in one["predicted"].sel(centroids=c).values) for c in CENTROIDS),
        )
    console.print(table)


def _show_many(name: str, found: xr.Dataset, console: Console) -> None:
    middle = found["predicted"].isel(threshold=found.sizes["threshold"] // 2)
    heads = ("class", "variance", "eff. dim.", "tau_gen")
    table = Table(*heads, *(f"theory {c}" for c in CENTROIDS), title=name)
    for k in np.argsort(found["measured"].values):
        one = found.isel({"class": int(k)})
        steps, error = float(np.exp(one["measured"])), float(one["measured_stderr"])
        table.add_row(
            str(one["class"].values),
            f"{float(one['class_variance']):.3f}",
            f"{float(one['effective_dimension']):.3f}",
            f"{steps:.0f} (+-{100 * error:.0f} %)",
            *(f"{float(np.exp(v)):.1f}" for v in middle.isel({"class": int(k)}).values),
        )
    console.print(table)
    lines = []
    for c in CENTROIDS:
        one = found.sel(centroids=c)
        lines.append(
            f"rank correlation with the theory {c}: {_correlation(one, '')}, p = {float(one['p_value']):.2g}"
        )
    lines.append("by each definition of tau_gen, with and without centroids:")
    for d in found["gen_definition"].values:
        both = ", ".join(f"{float(v):+.2f}" for v in found["correlation_by_definition"].sel(gen_definition=d))
        lines.append(f"  {d}: {both}")
    lines.append(f"with the order of total variance alone: {_correlation(found, 'variance_')}")
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def _correlation(found: xr.Dataset, prefix: str) -> str:
    value, low, high = (float(found[f"{prefix}correlation{end}"]) for end in ("", "_low", "_high"))
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"
