"""How often a check says "holds" where nothing differs, and how often where something does.

The verdict rule promises few false "holds" from a handful of seeds, under assumptions on how the seeds
scatter. Here the promise is tested on a subject that really scatters: the random-features model at small
size, trained once for each seed. A null case, in which the classes are alike, is measured with fresh seeds
in every repetition and judged by the claim's own effects and the verdict rule; nothing is used twice. The
choice of null cases is ours.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from rich import box
from rich.console import Console
from rich.table import Table
from scipy.stats import binomtest

from diffclaims import finite
from diffclaims.api.case import Case
from diffclaims.api.claim import Claim, chosen_claims, load_claims
from diffclaims.api.subject import Tags
from diffclaims.api.verdict import Effect, Outcome, Verdict
from diffclaims.errors import InvalidInput, NotMeasured
from diffclaims.problem.experiment import Experiment
from diffclaims.storage import netcdf as storage
from diffclaims.storage import paths as locate
from diffclaims.storage import schema
from diffclaims.storage.provenance import provenance
from diffclaims.theory.curves import default_training_times

#: Most false "holds" that are acceptable, as a share of the repetitions.
LIMIT = 0.01
#: Numbers of seeds at which the power is measured.
POWER_SEEDS = (2, 3, 4, 6, 8)
#: Coverage of the intervals (Clopper-Pearson).
COVERAGE = 0.95
#: Folder of the records, below the baselines.
FOLDER = "calibration"
#: Seeds measured in one go, between two lines of progress.
_BATCH = 240
_CODE = {Outcome.HOLDS: 1, Outcome.INCONCLUSIVE: 0, Outcome.FAILS: -1}


@dataclass(frozen=True, kw_only=True)
class SeededModel:
    """A stochastic subject with given seeds: the random-features model at small size.

    Parameters
    ----------
    seeds : tuple of int
        One training run each; every experiment is measured with the same seeds, as by `finite`.
    n_dims : int
        Dimension d of the learning curves.
    speciation_dims, n_points : int
        Dimension and points a class of the U-turns. Their score is the exact one of the mixture, so that
        thousands of seeds are affordable: they scatter by sampling, not by learning.
    """

    seeds: tuple[int, ...]
    n_dims: int
    speciation_dims: int
    n_points: int

    name = "finite"
    tags = Tags(exact=False, stochastic=True, measures=frozenset({"learning_curves", "speciation"}))

    def learning_curves(self, experiment: Experiment) -> xr.Dataset:
        """Losses by seed, with noise averaged exactly."""
        times = default_training_times(experiment.mixture, experiment.model)
        return finite.learning_curves(experiment, times, n_dims=self.n_dims, seeds=self.seeds)

    def speciation(self, experiment: Experiment, diffusion_times: ArrayLike) -> xr.Dataset:
        """Return probabilities by seed, under the exact score."""
        return finite.speciation(
            experiment,
            diffusion_times,
            n_dims=self.speciation_dims,
            seeds=self.seeds,
            n_points=self.n_points,
            score="exact",
        )

    def spectrum(self, experiment: Experiment) -> xr.Dataset:
        """Not measured."""
        raise NotMeasured("the spectrum is not measured by seed")


def repetitions(
    claim: Claim,
    case: Case,
    pool: Callable[[tuple[int, ...]], SeededModel],
    n_seeds: Sequence[int],
    total: int,
) -> Iterator[tuple[int, Verdict]]:
    """Judge one case again and again, with fresh seeds.

    Parameters
    ----------
    claim : Claim
    case : Case
    pool : callable ``(seeds) -> SeededModel``
    n_seeds : sequence of int
        Seeds of one repetition; for each number, the seeds are dealt out anew, and each once.
    total : int
        Seeds in all, 0 to ``total - 1``.

    Yields
    ------
    n_seeds : int
    verdict : Verdict
    """
    size = int(np.lcm.reduce(list(n_seeds)))
    batch = size * max(1, _BATCH // size)
    for start in range(0, total, batch):
        seeds = tuple(range(start, min(start + batch, total)))
        effects = claim.judge(case, claim.measure(pool(seeds), case))
        for n in n_seeds:
            for low in range(0, len(seeds) - n + 1, n):
                yield n, Verdict([among(e, slice(low, low + n)) for e in effects])


def among(effect: Effect, seeds: slice) -> Effect:
    """Return an effect as some of its seeds alone give it.

    The claims here compute an effect for each seed before they summarize, so that this is what judging
    those seeds alone would give, at a fraction of the time.
    """
    if not effect.samples:
        raise InvalidInput.of(
            f"effect {effect.name!r}", effect, "have values by seed", "use Effect.from_samples in the claim"
        )
    return Effect.from_samples(effect.name, effect.samples[seeds], effect.threshold, effect.accuracy)


def calibrate(
    claim: Claim,
    *,
    n_repetitions: int = 500,
    n_seeds: int = 4,
    power_total: int = 480,
    n_dims: int = 20,
    speciation_dims: int = 16,
    n_points: int = 10,
    progress: Callable[[str], None] = lambda line: None,
) -> xr.Dataset:
    """Measure the rate of false "holds" of one claim, and its power.

    Parameters
    ----------
    claim : Claim
        One that states a null.
    n_repetitions, n_seeds : int
        Repetitions of the null case, and seeds of each; no seed is in two of them.
    power_total : int
        Seeds of the canonical effect, dealt out to repetitions of 2, 3, 4, 6 and 8.
    n_dims, speciation_dims, n_points : int
        As in `SeededModel`.
    progress : callable
        Told how far it is.

    Returns
    -------
    xarray.Dataset
        Kind "calibration": the outcome of each repetition under the null, in all and for each effect alone,
        and for each number of seeds how many repetitions hold where the claim is true.

    Raises
    ------
    InvalidInput
        For a claim without a null case, fewer than 2 seeds, or no repetition.
    """
    null = claim.null_case()
    assert claim.null is not None
    if n_seeds < 2:
        raise InvalidInput.of("seeds", n_seeds, "be 2 or more", "one seed has no standard error")
    if n_repetitions < 1:
        raise InvalidInput.of("repetitions", n_repetitions, "be 1 or more", "500 is the default")
    if power_total < max(POWER_SEEDS):
        raise InvalidInput.of(
            "power seeds", power_total, f"be {max(POWER_SEEDS)} or more", "480 is the default"
        )
    true = claim.case(claim.null.power)

    def pool(seeds: tuple[int, ...]) -> SeededModel:
        return SeededModel(seeds=seeds, n_dims=n_dims, speciation_dims=speciation_dims, n_points=n_points)

    outcomes: list[int] = []
    effects: list[list[int]] = []
    names: list[str] = []
    for _, verdict in repetitions(claim, null, pool, (n_seeds,), n_seeds * n_repetitions):
        outcomes.append(_CODE[verdict.outcome])
        effects.append([_CODE[e.outcome] for e in verdict.effects])
        names = [e.name for e in verdict.effects]
        if len(outcomes) % 20 == 0:
            progress(f"{claim.id}: {len(outcomes)} of {n_repetitions} null repetitions")
    held = dict.fromkeys(POWER_SEEDS, 0)
    tried = dict.fromkeys(POWER_SEEDS, 0)
    for n, verdict in repetitions(claim, true, pool, POWER_SEEDS, power_total):
        tried[n] += 1
        held[n] += verdict.outcome is Outcome.HOLDS
        if n == max(POWER_SEEDS) and tried[n] % 10 == 0:
            progress(f"{claim.id}: {n * tried[n]} of {power_total} seeds of {true.name}")
    dataset = xr.Dataset(
        {
            "outcome": ("repetition", np.array(outcomes, dtype=np.int8)),
            "effect_outcome": (("effect", "repetition"), np.array(effects, dtype=np.int8).T),
            "holds": ("n_seeds", np.array([held[n] for n in POWER_SEEDS])),
            "repetitions": ("n_seeds", np.array([tried[n] for n in POWER_SEEDS])),
        },
        coords={"effect": names, "n_seeds": list(POWER_SEEDS)},
    )
    attrs = provenance(
        subject="finite",
        seeds=(),
        claim=claim.id,
        null_case=null.name,
        null_why=claim.null.why,
        null_experiments=_json(null),
        power_case=true.name,
        power_experiments=_json(true),
        seeds_per_repetition=n_seeds,
        seeds_used=f"null: 0 to {n_seeds * n_repetitions - 1}; {true.name}: 0 to {power_total - 1}; each once",
        n_dims=speciation_dims if "speciation" in claim.measures else n_dims,
        n_points=n_points if "speciation" in claim.measures else "exact averages",
        score="exact" if "speciation" in claim.measures else "none",
        command=(
            f"diffclaims calibrate --claim {claim.id} --repetitions {n_repetitions} --seeds {n_seeds} "
            f"--power-seeds {power_total} --n-dims {n_dims} --speciation-dims {speciation_dims} "
            f"--points {n_points}"
        ),
    )
    return schema.stamp(dataset, "calibration", attrs)


def _json(case: Case) -> str:
    return json.dumps({name: json.loads(e.to_json()) for name, e in case.experiments.items()}, sort_keys=True)


def interval(count: int, total: int) -> tuple[float, float]:
    """Clopper-Pearson interval of a proportion, of coverage `COVERAGE` or more."""
    low, high = binomtest(count, total).proportion_ci(COVERAGE, method="exact")
    return float(low), float(high)


def false_holds(dataset: xr.Dataset) -> tuple[int, int]:
    """Return how many repetitions under the null hold, and of how many."""
    outcome: NDArray[np.int8] = dataset["outcome"].values
    return int((outcome == 1).sum()), int(outcome.size)


def nullable() -> dict[str, Claim]:
    """Return the claims that state where nothing differs, by id."""
    return {c.id: c for c in load_claims() if c.null is not None}


def records(folder: Path | None = None) -> dict[str, xr.Dataset]:
    """Return what was recorded, by claim; empty where nothing was."""
    where = (locate.baselines_dir() / FOLDER) if folder is None else folder
    found = {}
    for claim in nullable():
        path = where / f"{claim}.nc"
        if path.is_file():
            found[claim] = schema.validate(storage.read_dataset(path), "calibration", who=str(path))
    return found


def _rate(count: int, total: int) -> str:
    low, high = interval(count, total)
    return f"{count}/{total} = {100 * count / total:.2g} % [{100 * low:.2g}, {100 * high:.2g}]"


def render(found: Mapping[str, xr.Dataset], *, width: int = 120) -> str:
    """Return the tables of calibrations as text.

    Parameters
    ----------
    found : mapping of str to Dataset
        Kind "calibration", by claim.
    width : int
        In characters.
    """
    ascii_only = "utf" not in (getattr(sys.stdout, "encoding", None) or "").lower()
    style = box.ASCII if ascii_only else box.SIMPLE_HEAD
    null = Table(box=style, title='"holds" where the classes are alike', title_justify="left")
    heads = ("claim", "null case", "seeds", f"false holds (limit {100 * LIMIT:g} %)", "false fails")
    for head in (*heads, "worst null effect alone"):
        null.add_column(head, overflow="fold", no_wrap=head == "claim")
    power = Table(box=style, title='power: "holds" where the claim is true', title_justify="left")
    for head in ("claim", "case", "seeds in all", *(f"{n} seeds" for n in POWER_SEEDS)):
        power.add_column(head, overflow="fold", no_wrap=head == "claim")
    claims = nullable()
    for claim, dataset in found.items():
        count, total = false_holds(dataset)
        null_of = claims[claim].null if claim in claims else None
        alone = [null_of is None or null_of.effects in str(name) for name in dataset["effect"].values]
        worst = int((dataset["effect_outcome"].values[alone] == 1).sum(axis=1).max())
        null.add_row(
            claim,
            f"{dataset.attrs['null_case']}, d = {dataset.attrs['n_dims']}",
            str(dataset.attrs["seeds_per_repetition"]),
            _rate(count, total) + ("" if count <= LIMIT * total else " ABOVE THE LIMIT"),
            _rate(int((dataset["outcome"].values == -1).sum()), total),
            _rate(worst, total),
        )
        rates = zip(dataset["holds"].values.tolist(), dataset["repetitions"].values.tolist(), strict=True)
        used = int((dataset["repetitions"] * dataset["n_seeds"]).max())
        case = str(dataset.attrs["power_case"])
        power.add_row(claim, case, str(used), *(_short(h, r) for h, r in rates))
    console = Console(width=max(60, width), highlight=False, legacy_windows=False)
    with console.capture() as capture:
        console.print(null)
        console.print(power)
        console.print(
            f"in brackets: {100 * COVERAGE:g} % Clopper-Pearson intervals, in %; fails: one effect is enough, where "
            "all must hold; worst null effect alone: of the effects that are zero there, the one that would hold "
            "most often by itself; no seed is in two repetitions of one size",
            markup=False,
        )
    return capture.get()


def _short(count: int, total: int) -> str:
    low, high = interval(count, total)
    return f"{100 * count / total:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `diffclaims calibrate` takes."""
    parser.add_argument("--claim", action="append", metavar="ID", help="only this claim; may be repeated")
    parser.add_argument("--repetitions", type=int, default=500, help="of the null case (500)")
    parser.add_argument("--seeds", type=int, default=4, help="of one repetition (4)")
    parser.add_argument("--power-seeds", type=int, default=480, help="in all, for the power (480)")
    parser.add_argument("--n-dims", type=int, default=20, help="dimension of the learning curves (20)")
    parser.add_argument("--speciation-dims", type=int, default=16, help="dimension of the U-turns (16)")
    parser.add_argument("--points", type=int, default=10, help="points a class of a U-turn, by seed (10)")
    parser.add_argument("--out", type=Path, help="folder of the records (calibration, among the baselines)")


def run(args: argparse.Namespace) -> int:
    """Measure, record and print; 1 when a claim holds too often under the null."""
    claims = nullable()
    asked = [c.id for c in chosen_claims(args.claim) if args.claim or c.null is not None]
    for name in asked:
        if name not in claims:
            raise InvalidInput.of(
                "--claim", name, f"be one of {', '.join(claims)}", "choose a claim that states a null"
            )
    folder = args.out or locate.baselines_dir() / FOLDER
    found = {}
    for name in asked:
        found[name] = calibrate(
            claims[name],
            n_repetitions=args.repetitions,
            n_seeds=args.seeds,
            power_total=args.power_seeds,
            n_dims=args.n_dims,
            speciation_dims=args.speciation_dims,
            n_points=args.points,
            progress=lambda line: print(f"\r{line}", end="", file=sys.stderr, flush=True),
        )
        storage.write(folder / f"{name}.nc", found[name])
        print(file=sys.stderr)
    print(render(found), end="")
    return int(any(count > LIMIT * total for count, total in map(false_holds, found.values())))
