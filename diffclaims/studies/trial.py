"""Train with the class weights that `diffclaims advise` names, and with a data set's own: does the safe window widen?

The protocol is docs/protocol-advice.md. Weights are numbers of images of each class among as many in all, drawn from
the same classes; no image is drawn more often than another, and no loss is weighted. What was trained is kept in a
folder and gone on with; torchrun spreads it over processes.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from diffclaims.advice import trial
from diffclaims.advice.trial import ADVISED, ARMS, BALANCED, OWN
from diffclaims.errors import InvalidInput
from diffclaims.storage import netcdf as storage
from diffclaims.storage.provenance import provenance
from diffclaims.storage.schema import stamp
from diffclaims.studies.trial_designs import DATASET, DESIGNS, Design, asked, chosen, counts_of, settings
from diffclaims.terminal import rendered, table
from diffclaims.times import definitions
from diffclaims.times.networks import EARLY
from diffclaims.unet.config import RunConfig
from diffclaims.unet.data.data_set import LabelledImages
from diffclaims.unet.data.registry import data_set
from diffclaims.unet.train.presets import PRESETS

if TYPE_CHECKING:
    from diffclaims.unet.record.raw import RawRun

Floats = NDArray[np.float64]

#: Seeds, none of which was used before, and optimizer steps.
FIRST_SEED, SEEDS, STEPS = 3000, 3, 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``diffclaims trial``."""
    parser.add_argument("--results", type=Path, default=None, help="folder of the trainings, gone on with")
    parser.add_argument("--choose", action="store_true", help="choose the designs anew, print them and stop")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED, help="default: %(default)s")
    parser.add_argument(
        "--seeds", type=int, default=SEEDS, help="seeds of each design (default: %(default)s)"
    )
    parser.add_argument("--steps", type=int, default=STEPS, help="of each training (default: %(default)s)")
    parser.add_argument(
        "--stop-after", type=float, default=None, metavar="MINUTES", help="start no further training then"
    )
    parser.add_argument("--out", type=Path, default=None, help="NetCDF file for what was found")


def run(args: argparse.Namespace) -> int:
    """Run ``diffclaims trial``."""
    if args.choose:
        for design, width, gain in chosen():
            more = f"ln of end over start {width:+.2f}, {gain:+.2f} more in another order"
            print(f"{design.name}: shares {design.shares}, {more}")
        return 0
    if args.results is None:
        raise InvalidInput.of("--results", None, "name a folder for the trainings", "add --results RUNS")
    if args.seeds < 1:
        raise InvalidInput.of("--seeds", args.seeds, "be at least 1", "give a number of repetitions")
    source = data_set(DATASET).load()
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    advice = {(d, s): _advised(d, s, source, args.results) for d, s in itertools.product(DESIGNS, seeds)}
    runs = {
        (d, s, arm): _run(d, s, counts_of(d, advice[d, s])[arm], args.steps)
        for arms in ((OWN, ADVISED), (BALANCED,))
        for d, s, arm in itertools.product(DESIGNS, seeds, arms)
    }
    _train(list(dict.fromkeys(runs.values())), source, args.results, args.stop_after)
    found = collected(runs, advice, source, args.results)
    print(shown(found), end="")
    if args.out is not None:
        storage.write(args.out, found)
    return 0


def _advised(design: Design, seed: int, source: LabelledImages, folder: Path) -> xr.Dataset:
    """Ask once, and keep the answer beside the trainings: those that go on are of the advice they began with."""
    path = folder / "advice" / f"{design.name}-{seed}.nc"
    if not path.exists():
        storage.write(path, asked(design, source, seed))
    return storage.read_dataset(path)


def _run(design: Design, seed: int, counts: NDArray[np.int64], steps: int) -> RunConfig:
    """One training, with the network and the measurements of the campaign `digits`.

    It is named by its numbers of images: where advice changes none, the training is the same one.
    """
    row = {**PRESETS["digits"]["settings"], **settings(design, counts), "steps": steps}
    return RunConfig.of(f"{design.name}-{'.'.join(map(str, counts))}", seed=seed, **row)


def _train(runs: Sequence[RunConfig], source: LabelledImages, folder: Path, stop_after: float | None) -> None:
    import torch

    from diffclaims.unet.model.options import Compute
    from diffclaims.unet.train.campaign import run_campaign

    # What a training gives does not depend on it, only how many fit beside each other.
    torch.set_num_threads(1)
    run_campaign(
        runs, source, folder, compute=Compute(), stop_after=None if stop_after is None else 60 * stop_after
    )


def _measured(raw: RawRun, source: LabelledImages) -> xr.Dataset:
    """What is kept of one training: progress at every snapshot, and times by every definition."""
    from diffclaims.unet.data.prepare import prepare
    from diffclaims.unet.record.analyse import run_datasets

    data = prepare(raw.config.data, source, seed=raw.config.seed, n_held_out=raw.config.probe.n_eval)
    made = run_datasets(raw, data, None, 0)
    curves, times = made["curves"], made["times"]
    late = curves.sel(training_time=curves["training_time"] > 0)
    low = late["low"].values.astype(bool)
    iso = (late["isotropic_loss"] - late["test_loss_by_noise"]) / (
        late["isotropic_loss"] - late["wiener_loss"]
    )
    gap = late["log_gap_by_noise"]
    gap = gap - gap.isel(training_time=slice(EARLY)).mean("training_time")
    steps = late["training_time"].values
    out = xr.Dataset(
        {
            "n_train": curves["n_train"],
            "learned": iso.isel(noise_level=low).mean("noise_level"),
            "gap": gap.isel(noise_level=low).mean("noise_level"),
            "tau_gen": times["tau_gen_by_definition"],
            "tau_mem": times["tau_mem_by_definition"],
            "tau_gen_ln_stderr": times["tau_gen_ln_stderr"],
            "tau_mem_ln_stderr": times["tau_mem_ln_stderr"],
        }
    ).transpose("class", ...)
    out = out.rename({"class": "place", "training_time": "snapshot"}).drop_vars(["place", "snapshot"])
    return out.assign(step=("snapshot", steps))


def collected(
    runs: dict[tuple[Design, int, str], RunConfig],
    advice: dict[tuple[Design, int], xr.Dataset],
    source: LabelledImages,
    folder: Path,
) -> xr.Dataset:
    """Put all trainings that have ended into one dataset, kind "trial"; NaN for the others.

    Parameters
    ----------
    runs : dict
        By design, seed and arm.
    advice : dict
        By design and seed.
    source : LabelledImages
    folder : Path
        Of the trainings.
    """
    from diffclaims.unet.record.raw import RawRun
    from diffclaims.unet.train.run import finished

    parts: list[xr.Dataset] = []
    for (design, seed, arm), config in runs.items():
        raw = finished(folder / config.folder, config)
        if raw is None:
            continue
        one = _measured(RawRun.read(raw), source)
        parts.append(one.expand_dims(design=[design.name], seed=[seed], arm=[arm]))
    if not parts:
        raise InvalidInput.of("--results", str(folder), "hold a training that has ended", "train longer")
    found = xr.combine_by_coords(parts, join="outer", data_vars="all").reindex(
        design=[d.name for d in DESIGNS if any(d.name in p["design"].values for p in parts)],
        arm=[a for a in ARMS if any(a in p["arm"].values for p in parts)],
    )
    assert isinstance(found, xr.Dataset)
    found = found.assign(step=("snapshot", parts[0]["step"].values.ravel()))
    names = {d.name: d for d in DESIGNS}
    designs, seeds = (found[c].values.tolist() for c in ("design", "seed"))
    cells = [[advice[names[d], s] for s in seeds] for d in designs]
    gen, mem = (definitions.of(m) for m in ("gen", "mem"))
    last = float(found["step"].values[-1])
    limits = next(iter(gen.values())).threshold, next(iter(mem.values())).threshold
    widths = trial.width(
        found["tau_gen"]
        .transpose("design", "seed", "arm", "gen_definition", "place")
        .values[:, :, :, :, None],
        found["tau_mem"].transpose("design", "seed", "arm", "mem_definition", "place").values[:, :, :, None],
        last,
    )
    each = ("design", "seed", "arm")
    learned, gap = (found[n].transpose(*each, "place", "snapshot").values for n in ("learned", "gap"))
    found = found.assign(
        width_by_definition=((*each, "gen_definition", "mem_definition"), widths),
        width=(each, widths[..., 0, 0]),
        depth=(each, trial.depth(learned, gap, limits)),
        class_name=(("design", "place"), [list(names[d].classes) for d in designs]),
        share=(("design", "place"), [list(names[d].shares) for d in designs]),
        weight_widest=(
            ("design", "seed", "place"),
            [[c["weight_widest"].values for c in row] for row in cells],
        ),
        theory_gain=(
            ("design", "seed"),
            [[c.attrs["window_widest"] - c.attrs["window"] for c in row] for row in cells],
        ),
        theory_width=(("design", "seed"), [[c.attrs["window"] for c in row] for row in cells]),
        weights_state=(("design", "seed"), [[c.attrs["weights_state"] for c in row] for row in cells]),
    )
    found = found.assign_coords(gen_definition=list(gen), mem_definition=list(mem))
    made = provenance(
        subject="unet",
        seeds=seeds,
        dtype="float32",
        command="diffclaims trial --results RUNS --out baselines/advice/trial.nc",
        advised_by=str(next(iter(advice.values())).attrs["commit"]),
        last_step=last,
        n_samples=int(sum(next(iter(runs.values())).data.counts())),
    )
    return stamp(found, "trial", made)


def shown(found: xr.Dataset) -> str:
    """Return what came out as text: every training, effects with limits, and the verdicts."""
    rows = table("classes", "seed", "arm", "images", "learned at", "memorized at", "ln end/start", "depth")
    for d, s, a in itertools.product(*(found[c].values for c in ("design", "seed", "arm"))):
        one = found.sel(design=d, seed=s, arm=a)
        if np.isnan(float(one["width"])):
            continue
        rows.add_row(
            str(d),
            str(s),
            str(a),
            " ".join(f"{n:.0f}" for n in one["n_train"].values),
            " ".join(f"{t:.0f}" for t in one["tau_gen"].isel(gen_definition=0).values),
            " ".join(f"{t:.0f}" for t in one["tau_mem"].isel(mem_definition=0).values),
            f"{float(one['width']):+.2f}",
            f"{float(one['depth']):+.3f}",
        )
    effects = table("effect", "wider", "narrower", "of", "median [95 %]", "depth, mean [95 %]", "verdict")
    for words, arm, against, one in _effects(found):
        if not {arm, against} <= set(found["arm"].values.tolist()):
            continue
        wider = trial.gain(one, arm, against).values.ravel()
        share = trial.Share.of(wider)
        effects.add_row(
            words,
            str(share.k),
            str(share.against),
            str(share.n),
            _limits(trial.median(wider), 2),
            _limits(trial.mean(trial.gain(one, arm, against, "depth").values.ravel()), 3),
            share.verdict,
        )
    parts: list[Any] = [rows, effects, *_opened(found), *_definitions(found)]
    if {OWN, ADVISED} <= set(found["arm"].values.tolist()):
        parts.append(trial.sentence(found))
    return rendered(*parts, width=130, soft_wrap=True)


def _effects(found: xr.Dataset) -> list[tuple[str, str, str, xr.Dataset]]:
    whole = [
        ("advised against own", ADVISED, OWN, found),
        ("balanced against own", BALANCED, OWN, found),
        ("advised against balanced", ADVISED, BALANCED, found),
    ]
    names = found["design"].values
    return whole + [(f"advised against own, {d}", ADVISED, OWN, found.sel(design=[d])) for d in names]


def _opened(found: xr.Dataset) -> list[str]:
    """Of the pairs that are closed with the data's own weights, how many are open with others."""
    if not {OWN, ADVISED} <= set(found["arm"].values.tolist()):
        return []
    share = trial.opened(found)
    widths = (found["width"].sel(arm=a).where(trial.gain(found).notnull()) for a in (OWN, ADVISED))
    before, after = (w.transpose("design", "seed").values for w in widths)
    shut = int(((before > 0) & (after <= 0)).sum())
    return [
        f"Closed before in {share.n}; of these open after in {share.k} [{share.low:.2f}, {share.high:.2f}]: "
        f"{share.verdict}. Open before and closed after: {shut}."
    ]


def _definitions(found: xr.Dataset) -> list[Any]:
    """The same by every two definitions of a time: wider, narrower."""
    if not {OWN, ADVISED} <= set(found["arm"].values.tolist()):
        return []
    rows = table("wider/narrower by", *map(str, found["mem_definition"].values))
    for g in found["gen_definition"].values:
        cells = []
        for m in found["mem_definition"].values:
            after, before = (
                found["width_by_definition"].sel(gen_definition=g, mem_definition=m, arm=a).values.ravel()
                for a in (ADVISED, OWN)
            )
            share = trial.Share.of(trial.difference(after, before))
            cells.append(f"{share.k}/{share.against}")
        rows.add_row(str(g), *cells)
    return [rows]


def _limits(found: tuple[float, float, float], digits: int) -> str:
    middle, low, high = (f"{v:+.{digits}f}" for v in found)
    return f"{middle} [{low}, {high}]"
