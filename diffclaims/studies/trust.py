"""How far recorded U-Nets support what `diffclaims advise` says: its orders beside those that were measured.

`advise` is asked of the very images that each network was trained on, as a user would before training, and its orders
are compared with the measured ones over all pairs of classes, as `diffclaims orders` does. In which direction
coverage is read was written down before (`diffclaims.advice.coverage`), and is not turned where it is wrong.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from diffclaims.advice import trust
from diffclaims.advice.compute import advise
from diffclaims.api.pairs import Draws, Estimate, Pairs, select
from diffclaims.errors import InvalidInput
from diffclaims.problem.experiment import Experiment
from diffclaims.storage import netcdf as storage
from diffclaims.storage import paths as locate
from diffclaims.storage.provenance import provenance
from diffclaims.storage.schema import stamp
from diffclaims.studies import predictors
from diffclaims.terminal import rendered, table, tell
from diffclaims.times.definitions import Milestone
from diffclaims.unet import results

Floats = NDArray[np.float64]

#: Campaigns that are read, and in words; one that is not recorded is left out.
CAMPAIGNS = {
    "cpu": "ten classes, 14 x 14",
    "gpu": "ten classes, 28 x 28",
    "pairs": "45 pairs trained alone, 14 x 14",
    "digits": "digits, 8 x 8",
}
PREDICTORS = (
    trust.THEORY,
    trust.THEORY_SIZED,
    trust.THEORY_BARE,
    trust.THEORY_SHRUNK,
    trust.COVERAGE,
    trust.VARIANCE,
)
MILESTONES: tuple[Milestone, ...] = ("gen", "mem")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``diffclaims trust``."""
    parser.add_argument(
        "--data-dir", type=Path, default=None, help="folder of the data set (default: $DIFFCLAIMS_DATA)"
    )
    parser.add_argument(
        "--folder", type=Path, default=None, help="folder of the campaigns (default: baselines/unet/recorded)"
    )
    parser.add_argument("--out", type=Path, default=None, help="NetCDF file for what was found")


def expected(curves: xr.Dataset, folder: Path | None) -> dict[str, dict[str, Floats]]:
    """Return what advice on the training images of a recording expects: ln of times, or what stands for them.

    Parameters
    ----------
    curves : xarray.Dataset
        A recording, which states its configuration.
    folder : path, optional
        Of the data set.

    Returns
    -------
    dict
        By milestone and predictor an array of shape (K,), in the order of the experiment's classes; the mean over the
        seeds, each of which has images of its own.
    """
    experiment = Experiment.from_json(curves.attrs["experiment"])
    sized = experiment.model.psi_p
    rows: dict[str, dict[str, list[Floats]]] = {m: {p: [] for p in PREDICTORS} for m in MILESTONES}
    for seed in map(int, curves["seed"].values):
        x, y = predictors.training_images(curves, folder, seed)
        ask = functools.partial(advise, x, y, classes=experiment.classes, resamples=0, weights_search=False)
        usual = ask()
        bare, shrunk = ask(shrinkage="none"), ask(shrinkage="oas")
        with_size = ask(parameters=sized * usual.attrs["n_dims"] ** 2)
        for milestone in MILESTONES:
            sign = 1 if milestone == "gen" else -1
            for name, values in (
                (trust.THEORY, np.log(usual[f"tau_{milestone}"].values)),
                (trust.THEORY_SIZED, np.log(with_size[f"tau_{milestone}"].values)),
                (trust.THEORY_BARE, np.log(bare[f"tau_{milestone}"].values)),
                (trust.THEORY_SHRUNK, np.log(shrunk[f"tau_{milestone}"].values)),
                (trust.COVERAGE, sign * np.log(usual["coverage"].values)),
                (trust.VARIANCE, -np.log(usual["variance"].values)),
            ):
                rows[milestone][name].append(values)
    return {m: {p: np.mean(v, axis=0) for p, v in of.items()} for m, of in rows.items()}


def compare(recorded: Mapping[str, xr.Dataset], folder: Path | None) -> list[xr.Dataset]:
    """Compare advice with one campaign: a dataset for each set of classes that were judged together.

    Parameters
    ----------
    recorded : mapping of str to Dataset
    folder : path, optional
        Of the data set.
    """
    experiments = {k: Experiment.from_json(d.attrs["experiment"]) for k, d in recorded.items()}
    found = []
    for case in select(experiments):
        those = {k: _complete(recorded, k, len(case.experiments)) for k in case.experiments}
        asked = {k: expected(d, folder) for k, d in those.items()}
        columns = [_column(Pairs.of(case.experiments, those, m), asked, m) for m in MILESTONES]
        found.append(xr.concat(columns, dim="milestone"))
    return found


def _complete(recorded: Mapping[str, xr.Dataset], name: str, n: int) -> xr.Dataset:
    """The seeds that all experiments of a campaign of pairs have."""
    curves = recorded[name]
    if n == 1:
        return curves
    common = set.intersection(*(set(map(int, d["seed"].values)) for d in recorded.values()))
    return curves.sel(seed=sorted(common))


def _column(
    pairs: Pairs, asked: Mapping[str, dict[str, dict[str, Floats]]], milestone: Milestone
) -> xr.Dataset:
    """Share in order and rank correlation of each predictor, with 95 % limits."""
    draws = Draws.of(pairs)
    ratios = []
    for name in PREDICTORS:
        with np.errstate(invalid="ignore"):
            ratio = np.array(
                [asked[e][milestone][name][i] - asked[e][milestone][name][j] for e, i, j in pairs.asked]
            )
        # Neither reached: a tie.
        ratios.append(np.where(np.isnan(ratio), 0.0, ratio))
    drawn = {
        "share": np.stack([draws.share(pairs, r) for r in ratios], axis=1),
        "correlation": draws.rank_correlations(pairs, ratios)[:, 0, 1:],
    }
    data: dict[str, object] = {
        "n_pairs": len(pairs.first),
        "n_without_order": pairs.n_without_order,
        "n_seeds": pairs.ratios.shape[1],
    }
    for name, values in drawn.items():
        each = [Estimate.of(column) for column in values.T]
        for end, which in (("", "value"), ("_low", "low"), ("_high", "high")):
            data[f"{name}{end}"] = ("predictor", [getattr(e, which) for e in each])
    return xr.Dataset(data, {"predictor": list(PREDICTORS), "milestone": milestone})


def run(args: argparse.Namespace) -> int:
    """Run ``diffclaims trust``."""
    folder = args.folder or locate.baselines_dir() / "unet" / "recorded"
    names, columns = [], []
    for campaign, words in CAMPAIGNS.items():
        if not (folder / campaign).is_dir():
            tell(f"{words}: nothing was recorded")
            continue
        for found in compare(results.load(folder / campaign), args.data_dir):
            names.append(words)
            columns.append(found)
    if not columns:
        raise InvalidInput.of(
            "--folder", str(folder), "hold a campaign of three classes or more", "train one, or name another"
        )
    whole = xr.concat(columns, dim="recording").assign_coords(recording=names)
    made = provenance(subject="unet", command="diffclaims trust --out baselines/advice/trust.nc")
    whole = stamp(whole, "trust", made)
    print(shown(whole), end="")
    if args.out is not None:
        storage.write(args.out, whole)
    return 0


def shown(found: xr.Dataset) -> str:
    """Return the agreement of all predictors with all recordings as text."""
    parts: list[object] = []
    for milestone in found["milestone"].values:
        rows = table("recording", "predictor", "share in order", "rank correlation", title=f"tau_{milestone}")
        for recording in found["recording"].values:
            for predictor in found["predictor"].values:
                one = found.sel(milestone=milestone, recording=recording, predictor=predictor)
                rows.add_row(
                    str(recording), str(predictor), _limits(one, "share"), _limits(one, "correlation")
                )
            rows.add_section()
        parts.append(rows)
    parts += [
        trust.verdict(found, str(p), str(m))[1]
        for m in found["milestone"].values
        for p in found["predictor"].values
    ]
    return rendered(*parts, width=110, soft_wrap=True)


def _limits(one: xr.Dataset, name: str) -> str:
    if int(one["n_without_order"]) == int(one["n_pairs"]):
        return "no order"
    return f"{float(one[name]):+.2f} [{float(one[f'{name}_low']):+.2f}, {float(one[f'{name}_high']):+.2f}]"
