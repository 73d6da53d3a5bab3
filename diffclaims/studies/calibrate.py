"""How often a claim is decided as the truth is, at the sizes and seeds in use, and how often where nothing differs.

Every case in a claim's regime, and its null case, in which the classes are alike, is measured once with a pool of
seeds by the subject `finite` as it is. The effects of each seed are kept. Seeds are independent, so that a
repetition of 8 seeds that must all agree is decided with the probability ``q^8``, q that of one seed whose effects
all lie on the side of the truth. Every seed of the pool counts once, and the Clopper-Pearson interval of q gives
that of the power. Nothing is dealt out twice. The truth is the side of the pool's medians. The null cases are ours.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from diffclaims.api.case import Case, CaseResult, Role
from diffclaims.api.claim import Claim, chosen_claims
from diffclaims.api.evidence import FEWEST_SEEDS
from diffclaims.api.subject import Subject
from diffclaims.errors import InvalidInput
from diffclaims.problem.experiment import Experiment
from diffclaims.storage import netcdf as storage
from diffclaims.storage import paths as locate
from diffclaims.storage.provenance import provenance
from diffclaims.storage.recordings import complete, path_of
from diffclaims.studies.pools import FOLDER, join, records, split
from diffclaims.studies.power_tables import render, too_often
from diffclaims.studies.record import changed_settings
from diffclaims.subjects import registry
from diffclaims.subjects.finite import SUBJECT, FiniteSubject
from diffclaims.subjects.memo import identity
from diffclaims.subjects.wrapper import Ask, Kind, Wrapper
from diffclaims.terminal import tell

Floats = NDArray[np.float64]

#: Settings of the subject that a pool depends on, by what is measured.
SETTINGS = {
    "learning_curves": ("n_dims", "seeds", "n_times", "reduced"),
    "speciation": (
        "speciation_dims",
        "speciation_seeds",
        "n_points",
        "n_steps",
        "scores_every",
        "mirrored",
        "sobol",
    ),
}
#: Largest difference between a recorded seed and the same seed measured anew: records are in single precision.
SAME = 1e-5


class Pool(Wrapper):
    """The subject with many seeds, from its recordings where they are of the same settings, else measured.

    One seed is always measured: it tells the time that a seed takes, and that a recording is what is measured today.
    What cases share is measured once, and its time counts in each of them.

    Parameters
    ----------
    subject : FiniteSubject
        With the seeds of the pool.
    folder : path, optional
        Recordings; without, everything is measured.
    """

    def __init__(self, subject: FiniteSubject, folder: Path | None = None) -> None:
        super().__init__(cast("Subject", subject))
        self.asked = subject
        self.one = dataclasses.replace(subject, seeds=1, speciation_seeds=1)
        self.folder = folder
        self._known: dict[tuple[object, ...], tuple[xr.Dataset, float, bool]] = {}
        self.begin()

    def begin(self) -> None:
        """Count from here: processor seconds of one seed, experiments that were recorded, and measured."""
        self.seconds = 0.0
        self.played = self.measured = 0

    def answer(self, kind: Kind, experiment: Experiment, ask: Ask, times: ArrayLike = ()) -> xr.Dataset:
        """As recorded, or as measured; `seconds` grows by the processor time of one seed."""
        key = (kind, identity(experiment), np.asarray(times, dtype=np.float64).tobytes())
        if key not in self._known:
            self._known[key] = self._find(kind, experiment, ask, times)
        found, seconds, recorded = self._known[key]
        self.seconds += seconds
        self.played += recorded
        self.measured += not recorded
        return found.copy(deep=True)

    def _find(
        self, kind: Kind, experiment: Experiment, ask: Ask, times: ArrayLike
    ) -> tuple[xr.Dataset, float, bool]:
        """The answer, the processor time of one seed, and whether it was recorded."""
        path = None if self.folder is None else path_of(self.folder, experiment, kind)
        recorded = complete(storage.read_dataset(path)) if path is not None and path.is_file() else None
        start = time.process_time()
        if recorded is not None and not changed_settings(recorded, self.one, kind, experiment):
            first = (
                self.one.speciation(experiment, times)
                if kind == "speciation"
                else self.one.learning_curves(experiment)
            )
            if _same(recorded, first):
                return recorded, time.process_time() - start, True
            start = time.process_time()
        found = ask(experiment)
        return found, (time.process_time() - start) / found.sizes["seed"], False


def _same(recorded: xr.Dataset, first: xr.Dataset) -> bool:
    """Whether the first seed of a recording is a fresh answer."""
    one = recorded.sel(seed=first["seed"].values)
    return all(
        one[name].shape == first[name].shape
        and np.allclose(one[name].values, first[name].values, rtol=0, atol=SAME)
        for name in first.data_vars
        if "seed" in first[name].dims
    )


def cases_of(claim: Claim) -> Iterator[tuple[str, Case]]:
    """Every case in the regime as ("regime", case), and the null as ("null", case)."""
    for case in claim.cases:
        if case.role is Role.REGIME:
            yield "regime", case
    if claim.null is not None:
        yield "null", claim.null_case()


def _name(role: str, case: Case) -> str:
    return case.name if role == "regime" else f"{case.name} (null)"


def measure(claim: Claim, role: str, case: Case, pool: Pool) -> xr.Dataset | None:
    """Return the effects of one case by seed, kind "calibration"; None where the subject cannot answer.

    Raises
    ------
    InvalidInput
        For an effect without values by seed.
    """
    pool.begin()
    result = claim.run(pool, case)
    if result.verdict is None:
        return None
    effects = result.verdict.effects
    n_seeds = max(len(e.samples) for e in effects)
    for e in effects:
        if len(e.samples) != n_seeds:
            raise InvalidInput.of(
                f"effect {e.name!r}",
                e,
                f"have values of all {n_seeds} seeds",
                "use Effect.from_samples in the claim",
            )
    about: dict[str, Any] = {
        "experiments": _experiments(case),
        "settings": settings(claim, pool.asked),
        "played": pool.played,
        "measured": pool.measured,
        "size": str(result.verdict.size),
        "commit": provenance(subject="finite")["commit"],
    }
    rows, by_seed = ("effect",), ("effect", "seed")
    gauged = {} if claim.gauge is None else {"gauge": (by_seed, _gauged(claim, case, result))}
    return xr.Dataset(
        {
            "samples": (by_seed, np.array([e.samples for e in effects], dtype=np.float32)),
            **gauged,
            "threshold": (rows, [e.threshold for e in effects]),
            "accuracy": (rows, [e.accuracy for e in effects]),
            "seconds": ((), pool.seconds),
        },
        coords={"effect": [e.name for e in effects]},
        attrs={"role": role, "about": json.dumps(about, sort_keys=True)},
    )


def _gauged(claim: Claim, case: Case, result: CaseResult) -> NDArray[np.float32]:
    """The effects on the claim's own scale, (effect, seed), which must have their signs."""
    assert claim.gauge is not None
    assert result.verdict is not None
    found = np.array(claim.gauge(case, result.data), dtype=np.float32)
    margins = np.array([np.array(e.samples) - e.threshold for e in result.verdict.effects])
    if found.shape != margins.shape or ((found > 0) != (margins > 0))[np.abs(found) > SAME].any():
        raise InvalidInput.of(
            f"gauge of {claim.id}", found, "have the signs of the effects, by effect and seed", "correct it"
        )
    return found


def settings(claim: Claim, subject: FiniteSubject) -> dict[str, Any]:
    """What of a subject the pools of a claim depend on."""
    return {
        name: getattr(subject, name) for kind in sorted(claim.measures) for name in SETTINGS.get(kind, ())
    }


def _experiments(case: Case) -> dict[str, Any]:
    return {name: json.loads(e.to_json()) for name, e in case.experiments.items()}


def calibrate(
    claim: Claim,
    *,
    subject: FiniteSubject = SUBJECT,
    folder: Path | None = None,
    kept: xr.Dataset | None = None,
    cases: Sequence[str] = (),
    command: str = "diffclaims calibrate",
    save: Callable[[xr.Dataset], None] = lambda record: None,
    progress: Callable[[str], None] = lambda line: None,
) -> xr.Dataset:
    """Measure the effects of every case in the regime of a claim, and of its null, by seed.

    Parameters
    ----------
    claim : Claim
    subject : FiniteSubject
        With as many seeds as the pool is to have.
    folder : path, optional
        Recordings of the subject, whose seeds are the pool where they are of the same settings.
    kept : Dataset, optional
        A record that was begun: cases in it with the same experiments and settings are not measured again.
    cases : sequence of str
        Only these are measured, and those that `kept` has beside them stay as they are; all by default.
    command : str
        Kept in the record.
    save : callable
        Given the record after each case that was measured.
    progress : callable
        Told how far it is.

    Returns
    -------
    xarray.Dataset
        Kind "calibration": ``samples`` (seed, effect) of all cases, of which ``of_case`` says the number;
        ``seconds`` (case), the processor time of one seed of all experiments of the case.

    Raises
    ------
    InvalidInput
        For too few seeds, an unknown case, or a claim of which the subject can answer no case.
    """
    asked = {_name(role, case): (role, case) for role, case in cases_of(claim)}
    for name in cases:
        if name not in asked:
            raise InvalidInput.of("case", name, f"be one of {', '.join(asked)}", "choose from these")
    least = min(subject.seeds, subject.speciation_seeds)
    if least < FEWEST_SEEDS:
        raise InvalidInput.of(
            "seeds", least, f"be {FEWEST_SEEDS} or more", f"{FEWEST_SEEDS} decide if all agree"
        )
    before = {} if kept is None else split(kept)
    found = {name: old for name, old in before.items() if cases and name not in cases}

    pool = Pool(subject, folder)

    def joined() -> xr.Dataset:
        return join(claim, {name: found[name] for name in asked if name in found}, command)

    for name, (role, case) in asked.items():
        if cases and name not in cases:
            continue
        old = before.get(name)
        about = {} if old is None else json.loads(old.attrs["about"])
        now = settings(claim, subject)
        # A record may state more than the claim depends on.
        then = {name: about.get("settings", {}).get(name) for name in now}
        if about.get("experiments") == _experiments(case) and then == now:
            assert old is not None
            found[name] = old
            continue
        one = measure(claim, role, case, pool)
        if one is None:
            progress(f"{claim.id} {name}: not answered by finite")
            continue
        found[name] = one
        progress(f"{claim.id} {name}: {one.sizes['seed']} seeds, {float(one['seconds']):.1f} s each")
        save(joined())
    if not found:
        raise InvalidInput.of("claim", claim.id, "have a case that finite answers", "choose another claim")
    return joined()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `diffclaims calibrate` takes."""
    parser.add_argument("--claim", action="append", metavar="ID", help="only this claim; may be repeated")
    parser.add_argument(
        "--case",
        action="append",
        default=[],
        metavar="NAME",
        help="of one claim, only this case: the others stay as they are recorded; may be repeated",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        default=SUBJECT.seeds,
        help=f"of the learning curves, in a pool ({SUBJECT.seeds})",
    )
    parser.add_argument(
        "--speciation-seeds",
        type=int,
        default=SUBJECT.speciation_seeds,
        help=f"of the U-turns, in a pool ({SUBJECT.speciation_seeds})",
    )
    parser.add_argument("--measure", action="store_true", help="measure also what recordings of finite hold")
    parser.add_argument("--out", type=Path, help="folder of the records (calibration, among the baselines)")


def run(args: argparse.Namespace) -> int:
    """Measure, record and print; 1 when a null is decided too often."""
    baselines = locate.baselines_dir()
    subject = dataclasses.replace(SUBJECT, seeds=args.seeds, speciation_seeds=args.speciation_seeds)
    folder = None if args.measure else baselines / subject.name / registry.RECORDED
    asked = [c for c in chosen_claims(args.claim) if args.claim or c.measures <= subject.tags.measures]
    if args.case and len(asked) != 1:
        raise InvalidInput.of("--case", args.case, "be of one claim", "name it by --claim")
    out = locate.to_record(FOLDER, given=args.out)
    before = records(out)
    found = {}
    for claim in asked:
        words = (
            f" --seeds {args.seeds} --speciation-seeds {args.speciation_seeds}"
            + "".join(f" --case '{name}'" for name in args.case)
            + " --measure" * args.measure
        )
        path = out / f"{claim.id}.nc"
        command = f"diffclaims calibrate --claim {claim.id}{words}"
        if args.case and claim.id in before:
            command = f"{before[claim.id].attrs['command']}; {command}"
        found[claim.id] = calibrate(
            claim,
            subject=subject,
            folder=folder,
            kept=before.get(claim.id),
            cases=args.case,
            command=command,
            save=functools.partial(storage.write, path),
            progress=tell,
        )
        storage.write(path, found[claim.id])
    print(render(found), end="")
    return int(bool(too_often(found)))
