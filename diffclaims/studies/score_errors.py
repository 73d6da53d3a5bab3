"""Minority speciation under scores with errors: which error reverses the claim, and how large it must be.

`minority-speciation` holds for the perfect score and fails for learned ones. Here the exact score gets errors of
known kind and size, and learned scores are measured by the same errors.

Written before the study was run
--------------------------------
Known by then: the recorded verdicts of `finite`; that its U-turns from large times end in either class about
equally often, whatever the weights; what one training costs, timed on seed 100.

1. *Parity.* A second layer on tanh features without a bias is odd in its input. The best odd score is that of the
   density with its mirror image, ``(p(y) + p(-y))/2``. The claim's centroids are opposite, so that this mixture has
   no imbalance between the two places. Then the error does not vanish as psi_n grows, U-turns from the largest time
   return with probability 1/2 into each class, and the balance is violated as by the planted ``mirror`` of size 1.
2. *The same model with tanh(x + 1)*, which is not odd, learns the imbalance: from population moments (psi_n = inf)
   the violation of balance is well below that of tanh, and the minority is later. At psi_n = 4 it is open.
3. *Reversal.* Where the minority has more variance, ``mirror`` and ``weights`` reverse the first sentence (minority
   later than majority) at a size between 0.1 and 1; ``scale`` and ``field`` do not below 0.3.
4. *The later the rarer*, the second sentence, survives all errors but ``mirror`` and ``weights`` near 1.
5. *Reading.* By log-odds beyond the prior the minority is earlier already under the exact score; it follows from
   detailed balance. The claim is one of raw probabilities.

*Stopping rule.* One run of the command with the seeds, sizes and thresholds below; none of them is changed after a
look at effects. Only mistakes of the code are mended, and each is named in docs/findings.md. An order is decided
where the 95 % interval over seeds (Student t) excludes 0. The size at which a mean effect crosses 0 is read between
two planted sizes by a straight line; its interval is the central 95 % of resampled seeds. All of this is ours.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from diffclaims import finite
from diffclaims.api.claim import find_claim
from diffclaims.errors import BaselineError, InvalidInput
from diffclaims.finite.draw import draw_gaussian
from diffclaims.finite.planted import PlantedError, score_error
from diffclaims.finite.scores import ScoreMaker
from diffclaims.problem.experiment import Experiment
from diffclaims.storage import netcdf as storage
from diffclaims.storage import paths as locate
from diffclaims.storage.provenance import provenance
from diffclaims.storage.schema import stamp
from diffclaims.studies import score_effects
from diffclaims.studies.learned_scores import Learned
from diffclaims.terminal import tell

Floats = NDArray[np.float64]

CLAIM = "minority-speciation"
FOLDER = "score-errors"
N_DIMS = 50
#: Turning times are all points of the backward grid but the last, equal in log signal-to-noise.
LATEST, END, N_STEPS = 2.6, 0.4, 11
CASES = ("equal-covariance", "minority-of-higher-variance", "minority-of-lower-variance")
#: What the claim calls such a case at all of its weights.
ALL_WEIGHTS = "-rarer"
#: The one that fails on `finite`: learned scores are measured there.
DECIDING = "minority-of-higher-variance"
#: From the rarest of the claim's weights to its largest.
WEIGHTS = (0.01, 0.05, 0.35)
SIZES: dict[str, tuple[float, ...]] = {
    "scale": (-0.3, -0.1, 0.1, 0.3),
    "field": (0.1, 0.3, 1.0),
    "responsibility": (0.1, 0.3, 0.9),
    "centroid": (0.1, 0.3, 0.6),
    "variance": (0.1, 0.3, 0.6),
    "weights": (0.1, 0.3, 1.0),
    "mirror": (0.1, 0.3, 1.0),
}
#: In the third case only these, and for equal covariances `mirror` is `weights`.
OF_LOWER = ("weights", "mirror")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One score: a case, the kind and size of a planted error, or sizes of a learned one."""

    case: str
    kind: str
    size: float = 0.0
    psi_n: float = 0.0
    psi_p: float = 0.0
    activation: str = ""
    #: Weights that are measured; all by default.
    weights: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured: runs, seeds and points a class, U-turn and seed."""

    runs: tuple[Run, ...]
    seeds: tuple[int, ...]
    n_points: int


def full_plan() -> Plan:
    """Return the study: planted errors in every case, learned scores in the deciding one."""
    runs = [Run(case=c, kind="exact") for c in CASES]
    left_out = {CASES[0]: ("mirror",), CASES[1]: (), CASES[2]: tuple(k for k in SIZES if k not in OF_LOWER)}
    runs += [
        Run(case=c, kind=kind, size=e)
        for c in CASES
        for kind, sizes in SIZES.items()
        for e in sizes
        if kind not in left_out[c]
    ]
    learned = [("tanh", n) for n in (4.0, 16.0, 64.0, np.inf)] + [("tanh(x + 1)", n) for n in (4.0, np.inf)]
    runs += [
        Run(case=DECIDING, kind="learned", psi_n=n, psi_p=8.0, activation=activation)
        for activation, n in learned
    ]
    return Plan(runs=tuple(runs), seeds=tuple(range(12)), n_points=150)


def quick_plan() -> Plan:
    """Return a few runs with few points, of other seeds: for tests, and to see that all is in place."""
    runs = [Run(case=DECIDING, kind="exact")]
    runs += [Run(case=DECIDING, kind="weights", size=e) for e in (0.5, 1.0)]
    runs += [
        Run(case=DECIDING, kind="learned", psi_n=n, psi_p=2.0, activation=a, weights=(0.05, 0.35))
        for n, a in ((4.0, "tanh"), (np.inf, "tanh(x + 1)"))
    ]
    return Plan(runs=tuple(runs), seeds=(100, 101, 102), n_points=60)


def turning_times() -> Floats:
    """Return the diffusion times at which U-turns turn, increasing, shape (`N_STEPS`,)."""
    first, last = (float(-np.log(np.expm1(2 * t))) for t in (LATEST, END))
    grid = 0.5 * np.log1p(np.exp(-np.linspace(first, last, N_STEPS + 1)))
    return np.asarray(grid[-2::-1])


def measure(
    run: Run, plan: Plan, experiments: Sequence[Experiment], weights: Sequence[float]
) -> dict[str, Floats]:
    """Measure one run at all its weights; NaN at the others.

    Returns
    -------
    dict of str to ndarray
        The variables of kind "score-errors" without the dimension ``run``: ``log_time`` (weight, reading, seed,
        class), ``return_probability``, ``score_error``, ``axis_error`` (weight, class, diffusion_time; means
        over seeds), ``balance`` (weight, seed), ``cpu_seconds`` ().
    """
    started = time.process_time()
    chosen = [i for i, w in enumerate(weights) if not run.weights or w in run.weights]
    learned = None
    if run.kind == "learned":
        mixtures = [experiments[i].mixture for i in chosen]
        learned = Learned(mixtures, run.psi_n, run.psi_p, run.activation, n_dims=N_DIMS)
    turns, n = turning_times(), len(plan.seeds)
    curves = np.full((len(weights), 2, turns.size), np.nan)
    out = {name: curves.copy() for name in ("return_probability", "score_error", "axis_error")}
    out["log_time"] = np.full((len(weights), len(score_effects.READINGS), n, 2), np.nan)
    out["balance"] = np.full((len(weights), n), np.nan)
    for j, i in enumerate(chosen):
        mixture, model = experiments[i].mixture, experiments[i].model
        maker: ScoreMaker = learned.at(j) if learned else PlantedError(kind="scale", size=0.0)
        if run.kind in SIZES:
            maker = PlantedError(kind=run.kind, size=run.size)
        turned = finite.speciation(
            experiments[i],
            turns,
            n_dims=N_DIMS,
            seeds=plan.seeds,
            n_points=plan.n_points,
            n_steps=N_STEPS,
            end=END,
            score=maker,
        )
        models = [dataclasses.replace(model, diffusion_time=float(t)) for t in turns]
        errors = np.zeros((2, n, 2, turns.size))
        for s, seed in enumerate(plan.seeds):
            draw = draw_gaussian(mixture, model, n_dims=N_DIMS, seed=seed)
            scores = [maker(draw, m) for m in models]
            errors[0, s], errors[1, s] = score_error(draw, models, scores, n_points=plan.n_points)
        out["score_error"][i], out["axis_error"][i] = errors.mean(axis=1)
        out["return_probability"][i] = turned["return_probability"].mean("seed").values
        out["log_time"][i] = score_effects.log_times(turned, mixture.weights)
        out["balance"][i] = score_effects.balance(turned, mixture.weights)
    out["cpu_seconds"] = np.array(time.process_time() - started)
    return out


def _measured(
    plan: Plan,
    cases: Mapping[str, Sequence[Experiment]],
    weights: Sequence[float],
    processes: int,
    progress: Callable[[str], None],
) -> list[dict[str, Floats]]:
    """Measure all runs, the long ones at the end of the plan first where there are several processes."""
    tasks = [(run, plan, cases[run.case], weights) for run in plan.runs]
    if processes == 1:
        found = []
        for task in tasks:
            progress(score_effects.name_of(vars(task[0])))
            found.append(measure(*task))
        return found
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(measure, *task) for task in reversed(tasks)]
        for future, task in zip(futures, reversed(tasks), strict=True):
            future.result()
            progress(score_effects.name_of(vars(task[0])))
    return [future.result() for future in reversed(futures)]


def study(
    plan: Plan, progress: Callable[[str], None] = lambda line: None, *, processes: int = 1
) -> xr.Dataset:
    """Measure a plan; kind "score-errors" (see `diffclaims.storage.schema`)."""
    claim = find_claim(CLAIM)
    cases = {
        name: [
            e
            for e in claim.case(f"{name}{ALL_WEIGHTS}").experiments.values()
            if float(e.mixture.weights[0]) in WEIGHTS
        ]
        for name in CASES
    }
    weights = [float(e.mixture.weights[0]) for e in cases[DECIDING]]
    found = _measured(plan, cases, weights, processes, progress)
    curve = ("run", "weight", "class", "diffusion_time")
    dims = dict.fromkeys(("return_probability", "score_error", "axis_error"), curve) | {
        "log_time": ("run", "weight", "reading", "seed", "class"),
        "balance": ("run", "weight", "seed"),
        "cpu_seconds": ("run",),
    }
    # Five digits are far below the scatter of seeds, and compress well.
    data: dict[str, Any] = {k: (d, _digits(np.stack([f[k] for f in found]))) for k, d in dims.items()}
    coords: dict[str, Any] = {c: ("run", [getattr(r, c) for r in plan.runs]) for c in score_effects.COLUMNS}
    coords |= {"weight": weights, "class": [0, 1], "seed": list(plan.seeds)}
    coords |= {"diffusion_time": turning_times(), "reading": list(score_effects.READINGS)}
    models = {name: [json.loads(e.to_json()) for e in group] for name, group in cases.items()}
    attrs = provenance(
        subject="finite",
        seeds=plan.seeds,
        claim=CLAIM,
        experiments=json.dumps(models, sort_keys=True),
        n_dims=N_DIMS,
        n_points=plan.n_points,
        n_steps=N_STEPS,
        end=END,
    )
    return stamp(xr.Dataset(data, coords), "score-errors", attrs)


def _digits(x: Floats) -> Floats:
    """Keep five significant digits."""
    size = np.where(np.isfinite(x) & (x != 0), np.abs(x), 1.0)
    power = 10.0 ** (4 - np.floor(np.log10(size)))
    return np.asarray(np.round(x * power) / power)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``diffclaims score-errors``."""
    parser.add_argument("--quick", action="store_true", help="a few runs in seconds; kept only with --out")
    parser.add_argument("--processes", type=int, default=1, help="the numbers do not depend on it (1)")
    parser.add_argument("--out", type=Path, help=f"the record ({FOLDER}/{CLAIM}.nc, among the baselines)")


def run(args: argparse.Namespace) -> int:
    """Run ``diffclaims score-errors``: measure, record and print."""
    started = time.monotonic()
    plan = quick_plan() if args.quick else full_plan()
    if args.processes < 1:
        raise InvalidInput.of("--processes", args.processes, "be 1 or more", "give a number of processes")
    if not (args.quick or args.out) and provenance(subject="finite")["dirty"]:
        raise BaselineError("the checkout has changes: commit them first, or write elsewhere with --out FILE")
    out = args.out if args.quick else locate.to_record(FOLDER, f"{CLAIM}.nc", given=args.out)
    found = study(plan, tell, processes=args.processes)
    words = " --quick" if args.quick else ""
    seconds = time.monotonic() - started
    found = found.assign_attrs(command=f"diffclaims score-errors{words}", seconds=round(seconds))
    if out is not None:
        storage.write(out, found)
    print(score_effects.render(found), end="")
    return 0
