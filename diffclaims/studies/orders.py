"""What orders the classes of recorded U-Nets: all pairs of many classes beside what may predict their order.

For each predictor: the share of pairs that it puts in the measured order, and its rank correlation with
ln(tau_A/tau_B). Partial rank correlations say what variance, centroid distance and effective dimension explain, each
beside the others. Limits come from resampled classes and seeds (`diffclaims.api.pairs`), the same draws for all
figures, so that differences have limits too.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from rich.table import Table
from scipy import stats

from diffclaims.api.pairs import Draws, Estimate, Pairs, select
from diffclaims.errors import DiffclaimsError, InvalidInput
from diffclaims.problem.experiment import Experiment
from diffclaims.storage import netcdf as storage
from diffclaims.storage import paths as locate
from diffclaims.storage.provenance import provenance
from diffclaims.storage.schema import stamp
from diffclaims.studies import predictors
from diffclaims.terminal import rendered, table, tell
from diffclaims.times.definitions import STATED
from diffclaims.unet import results

Floats = NDArray[np.float64]

#: Draws of seeds and images behind the limits of one pair.
N_RESAMPLED = 1000
#: Of what is printed, in characters.
WIDTH = 100
#: Beside each other in the partial correlations.
EXPLAINED_BY = (predictors.VARIANCE, predictors.DISTANCE, predictors.PARTICIPATION)
#: Milestones whose definitions a recording of U-Nets states.
MILESTONES: tuple[results.Milestone, ...] = ("gen", "mem")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``diffclaims orders``."""
    parser.add_argument(
        "campaign", help="a recorded campaign of U-Nets, as in baselines/unet/recorded/CAMPAIGN"
    )
    parser.add_argument("--folder", type=Path, default=None, help="folder of the recordings, if elsewhere")
    parser.add_argument(
        "--data-dir", type=Path, default=None, help="folder of the data set (default: $DIFFCLAIMS_DATA)"
    )
    parser.add_argument("--seeds", default="", help="use only these, separated by commas")
    parser.add_argument("--out", type=Path, default=None, help="folder for what was found, a file each")


def compare(
    experiments: Mapping[str, Experiment],
    recorded: Mapping[str, xr.Dataset],
    images: Mapping[str, predictors.OfImages],
) -> xr.Dataset:
    """Compare the measured order of all pairs with each predictor.

    Parameters
    ----------
    experiments, recorded : mapping
        One experiment of all classes, or one of each pair, and its learning curves.
    images : mapping of str to OfImages
        Empty where the data set is not at hand.

    Returns
    -------
    xarray.Dataset
        Kind "orders". By ``definition`` of a time, as ``gen: iso_0.8``, the first of each kind the main one:
        ``measured(definition, pair)`` with ``_low`` and ``_high`` (95 %, from seeds and images; main definitions
        only), ``by_seed`` and ``n_without_order``; by ``predictor`` also ``share`` and
        ``correlation``, and ``gain``, the correlation less that with total variance, each with ``_low`` and
        ``_high`` (95 %); ``partial(definition, explained_by)``; and ``separation_correlation``, of the distance
        between the classes with the size of ln(tau_A/tau_B). ``expected(predictor, pair)`` is what was predicted.
    """
    names: list[str] = []
    columns: list[xr.Dataset] = []
    expected: dict[str, Floats] = {}
    for milestone in MILESTONES:
        _, dim = STATED[milestone]
        for level in next(iter(recorded.values()))[dim].values.astype(str):
            pairs = Pairs.of(experiments, recorded, milestone, str(level))
            expected = expected or predictors.of_pairs(pairs, experiments, recorded, images)
            main = not any(n.startswith(milestone) for n in names)
            limits = _limits(pairs, recorded, milestone if main else None)
            names.append(f"{milestone}: {level}")
            columns.append(_column(pairs, expected, images).assign(limits))
    found = xr.concat(columns, dim="definition")
    pair_names = [
        f"{pairs.classes[i]}-{pairs.classes[j]}" for i, j in zip(pairs.first, pairs.second, strict=True)
    ]
    found = found.assign(expected=(("predictor", "pair"), list(expected.values()))).assign_coords(
        definition=names, pair=pair_names, predictor=list(expected), seed=list(pairs.seeds)
    )
    first = next(iter(experiments.values()))
    made = provenance(subject="unet", seeds=pairs.seeds, data=first.data, model=repr(first.model))
    return stamp(found, "orders", made)


def _limits(
    pairs: Pairs, recorded: Mapping[str, xr.Dataset], milestone: results.Milestone | None
) -> dict[str, tuple[str, Floats]]:
    """95 % limits of each pair from its seeds and images; NaN by other definitions than the main ones."""
    found = np.full((len(pairs.first), 2), np.nan)
    for number, (name, i, j) in enumerate(pairs.asked):
        curves = recorded[name]
        if milestone is not None and f"tau_{milestone}_resampled" in curves:
            classes = Experiment.from_json(curves.attrs["experiment"]).classes
            found[number] = results.joint_interval(
                curves.sel(seed=list(pairs.seeds)), classes[i], classes[j], milestone, n=N_RESAMPLED
            )
    return {"measured_low": ("pair", found[:, 0]), "measured_high": ("pair", found[:, 1])}


def _column(
    pairs: Pairs, expected: Mapping[str, Floats], images: Mapping[str, predictors.OfImages]
) -> xr.Dataset:
    """Everything about one definition of a time."""
    draws = Draws.of(pairs)
    correlation = draws.rank_correlations(pairs, list(expected.values()))[:, 0, 1:]
    drawn = {
        "share": np.stack([draws.share(pairs, x) for x in expected.values()], axis=1),
        "correlation": correlation,
        "gain": correlation - correlation[:, :1],
    }
    data: dict[str, tuple[tuple[str, ...], object]] = {
        "measured": (("pair",), pairs.values),
        "by_seed": (("pair", "seed"), pairs.ratios),
        "n_without_order": ((), pairs.n_without_order),
        "n_seeds": ((), pairs.ratios.shape[1]),
    }
    for name, values in drawn.items():
        data |= _with_limits(name, "predictor", values)
    if images:
        among = draws.partial_correlations(pairs, [expected[x] for x in EXPLAINED_BY])
        data |= _with_limits("partial", "explained_by", among)
        finite = np.abs(pairs.values)
        apart = (
            stats.spearmanr(finite, predictors.separations(pairs, images)).statistic
            if finite.min() < finite.max()
            else 0.0
        )
        data["separation_correlation"] = ((), float(apart))
    return xr.Dataset(data, {"explained_by": list(EXPLAINED_BY)} if images else {})


def _with_limits(name: str, dim: str, drawn: Floats) -> dict[str, tuple[tuple[str, ...], object]]:
    each = [Estimate.of(column) for column in drawn.T]
    return {
        name: ((dim,), [e.value for e in each]),
        f"{name}_low": ((dim,), [e.low for e in each]),
        f"{name}_high": ((dim,), [e.high for e in each]),
    }


def run(args: argparse.Namespace) -> int:
    """Run ``diffclaims orders``."""
    folder = args.folder or locate.baselines_dir() / "unet" / "recorded" / args.campaign
    recorded = {k: _chosen(d, args.seeds) for k, d in results.load(folder).items()}
    experiments = {k: Experiment.from_json(d.attrs["experiment"]) for k, d in recorded.items()}
    cases = select(experiments)
    if not cases:
        raise InvalidInput.of(
            "campaign",
            args.campaign,
            "hold balanced experiments of three classes or more, or all pairs of them",
            "train the pairs that are missing, or judge single pairs with pytest claims",
        )
    for case in cases:
        those = {k: recorded[k] for k in case.experiments}
        try:
            images = {k: predictors.of_images(d, args.data_dir) for k, d in those.items()}
        except DiffclaimsError as error:
            images = {}
            tell(f"without predictors from the images: {error}")
        found = compare(case.experiments, those, images)
        _show(case.name, found)
        if args.out is not None:
            seeds = f" --seeds {args.seeds}" if args.seeds else ""
            found.attrs["command"] = f"diffclaims orders {args.campaign}{seeds} --out {args.out}"
            storage.write(args.out / f"{args.campaign}-{case.name}.nc", found)
    return 0


def _chosen(curves: xr.Dataset, seeds: str) -> xr.Dataset:
    if not seeds:
        return curves
    there = curves["seed"].values.tolist()
    wanted = [s.strip() for s in seeds.split(",")]
    if not all(s.isdigit() and int(s) in there for s in wanted):
        raise InvalidInput.of("--seeds", seeds, f"be among the recorded seeds {there}", "choose among them")
    return curves.sel(seed=[int(s) for s in wanted])


def _show(name: str, found: xr.Dataset) -> None:
    for milestone in MILESTONES:
        those = [str(d) for d in found["definition"].values if str(d).startswith(milestone)]
        main = found.sel(definition=those[0])
        n, without = found.sizes["pair"], int(main["n_without_order"])
        by = those[0].split(": ")[1]
        head = f"{name}: order of {n} pairs by tau_{milestone}, {by}, {int(main['n_seeds'])} seed(s)"
        lines: list[Table | str] = []
        if without < n:
            lines += [_table(head, main), *_in_words(main)]
            lines.append(f"pairs without an order: {without}")
        else:
            lines.append(f"{head}: no pair has an order")
        for d in those[1:]:
            other = found.sel(definition=d)
            if int(other["n_without_order"]) < n:
                each = (
                    f"{p} {float(other['share'].sel(predictor=p)):.2f}" for p in found["predictor"].values
                )
                lines.append(f"share in order by {d.split(': ')[1]}: {'; '.join(each)}")
        print(rendered(*lines, width=WIDTH, soft_wrap=True), end="")


def _table(title: str, main: xr.Dataset) -> Table:
    rows = table("predictor", "share in order", "rank correlation", title=title)
    for predictor in main["predictor"].values:
        one = main.sel(predictor=predictor)
        rows.add_row(str(predictor), _shown(one, "share", ""), _shown(one, "correlation"))
    return rows  # type: ignore[no-any-return]


def _in_words(main: xr.Dataset) -> list[str]:
    lines = [
        f"rank correlation of {p} less that of {predictors.VARIANCE}: {_shown(main.sel(predictor=p), 'gain')}"
        for p in (predictors.THEORY, predictors.THEORY_ALONE)
    ]
    if "partial" in main:
        each = (f"{w} {_shown(main.sel(explained_by=w), 'partial')}" for w in main["explained_by"].values)
        lines.append(f"partial rank correlations: {'; '.join(each)}")
        apart = float(main["separation_correlation"])
        lines.append(f"distance between the classes and size of the effect, rank correlation: {apart:+.2f}")
    return lines


def _shown(one: xr.Dataset, name: str, sign: str = "+") -> str:
    value, low, high = (float(one[f"{name}{end}"]) for end in ("", "_low", "_high"))
    return f"{value:{sign}.2f} [{low:{sign}.2f}, {high:{sign}.2f}]"
