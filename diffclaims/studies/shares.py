"""How large a share of points holds inside the regime of a claim, and how large a share outside it.

A claim that holds everywhere says nothing: its regime is then too narrow, or its effect follows from the
definitions. The points are those of `diffclaims.studies.points`, drawn before anything was measured. Each is built
by the claim's own space and judged by its own effects, on `theory`; the identities that answers of subjects must obey
are not asked for, since these points judge the sentence and not the subject.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import shlex
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from diffclaims._version import __version__
from diffclaims.api import source as code
from diffclaims.api.case import Case
from diffclaims.api.claim import Claim, chosen_claims, find_claim
from diffclaims.api.outcome import Outcome
from diffclaims.errors import InvalidInput, NotMeasured, SolveFailed, SubjectInvalid
from diffclaims.storage import netcdf as storage
from diffclaims.storage import paths as locate
from diffclaims.storage.provenance import _commit, provenance
from diffclaims.storage.schema import stamp
from diffclaims.studies.maps.checkpoint import SUFFIX, Checkpoint
from diffclaims.studies.maps.pool import Pool, Task
from diffclaims.studies.points import (
    DIGITS,
    FURTHEST,
    LIMITS,
    LIMITS_OF,
    POINTS,
    REGIONS,
    SEED,
    Values,
    case_at,
    live_axes,
    points,
)
from diffclaims.studies.share_report import case_of, extreme, report, summary
from diffclaims.subjects.theory import SUBJECT
from diffclaims.suite.explore import weakest
from diffclaims.terminal import Advance, progress

#: Where the record lies, below the baselines.
FILE = "shares.nc"
#: Letters of the reason for which a point was not measured.
_REASON = 120


_claim = functools.lru_cache(maxsize=32)(find_claim)


def evaluate(claim_id: str, claims_dir: str, values: Values) -> dict[str, Any]:
    """Measure and judge one point on `theory`; plain values, as JSON and other processes take them.

    Parameters
    ----------
    claim_id, claims_dir : str
        The claim, and its folder; the package's own where it is empty.
    values : dict
        A value of every axis.

    Returns
    -------
    dict
        ``margin``, the least of all effects; ``verdict``; ``effect``, the name of the one with that margin;
        ``seconds``; ``reason``, why nothing was measured: the verdict is then "not run", never "holds".
    """
    claim = _claim(claim_id, claims_dir)
    assert claim.space is not None
    start = time.perf_counter()
    least, outcome = None, Outcome.NOT_RUN
    try:
        # A claim that divides by nothing gets no number, which is no effect: not measured.
        with np.errstate(divide="ignore", invalid="ignore"):
            result = claim.run(SUBJECT, case_at(claim.space, values), identities=False, sizes=False)
        least, outcome, reason = weakest(result), result.outcome, result.reason
    except (NotMeasured, SolveFailed, SubjectInvalid, InvalidInput) as error:
        reason = f"{type(error).__name__}: {error}"
    return {
        "margin": least.margin if least else math.nan,
        "verdict": str(outcome),
        "effect": least.name if least else "",
        "reason": reason.partition(";")[0][:_REASON],
        "seconds": time.perf_counter() - start,
    }


def _cost(claim: Claim, case: Case) -> float:
    """Centroids make neurons differ, which takes time; a spectrum takes more."""
    cost = sum(3.0 if e.mixture.centroid_gram.any() else 1.0 for e in case.experiments.values())
    return cost * (0.1 if claim.measures == {"speciation"} else 5.0 if "spectrum" in claim.measures else 1.0)


def _tasks(claims: list[Claim], n: int, seed: int, claims_dir: str) -> list[Task]:
    """Every point by its key, the cheap ones first."""
    found = []
    for claim in claims:
        for region in REGIONS:
            for i, values in enumerate(points(claim, region, n, seed)):
                assert claim.space is not None
                cost = _cost(claim, case_at(claim.space, values))
                found.append((cost, (f"{claim.id} {region} {i}", (claim.id, claims_dir, values))))
    return [task for _, task in sorted(found, key=lambda one: one[0])]


def shares(
    claims: list[Claim],
    n: int = POINTS,
    *,
    seed: int = SEED,
    keep: Path | None = None,
    workers: int = 0,
    claims_dir: str = "",
    command: str = "",
    advance: Advance | None = None,
) -> xr.Dataset:
    """Measure every claim at points inside and outside its regime, or go on where it was stopped.

    Parameters
    ----------
    claims : list of Claim
        Each with a regime.
    n : int
        Points of each claim in each region.
    seed : int
        Of the Sobol sequences.
    keep : path, optional
        File of finished points, which another call goes on with; none by default.
    workers : int
        Local processes; 0 for this one alone.
    claims_dir : str
        Folder of the claims; the package's own by default.
    command : str
        Stored: what computes it again.
    advance : callable ``(done, total)``, optional
        Told after each point.

    Returns
    -------
    xarray.Dataset
        Kind "shares", along ``point``: ``claim``, ``region``, ``margin``, ``verdict``, ``decided_by``, ``reason``
        and ``parameter`` by ``axis``, NaN where the claim has no such axis or does not depend on it.

    Raises
    ------
    InvalidInput
        For a claim without a regime, too few points, or kept points of another question.
    """
    tasks = _tasks(claims, n, seed, claims_dir)
    with ExitStack() as stack:
        pool = stack.enter_context(Pool(workers))
        kept = stack.enter_context(_kept(keep, n, seed, claims_dir)) if keep else None
        records = _measured(tasks, pool, kept, advance or (lambda done, total: None))
    attrs = provenance(
        subject=SUBJECT.name,
        command=command,
        sobol_seed=seed,
        points=n,
        limits=json.dumps({**LIMITS, **LIMITS_OF, "furthest": FURTHEST}),
    )
    return _assemble(claims, tasks, records, attrs)


def _kept(keep: Path, n: int, seed: int, claims_dir: str) -> Checkpoint:
    """The file of finished points, with everything that decides their numbers."""
    config = {
        "method": json.dumps([n, seed, DIGITS, FURTHEST, LIMITS, LIMITS_OF], sort_keys=True),
        "claims": claims_dir,
        "version": __version__,
        "commit": _commit()[0],
    }
    return Checkpoint(keep, config, study="shares")


def _measured(
    tasks: list[Task], pool: Pool, kept: Checkpoint | None, advance: Advance
) -> dict[str, dict[str, Any]]:
    """What came out of every point by its key; those that are kept are not measured again."""
    records = {t[0]: kept.records[t[0]] for t in tasks if kept and t[0] in kept.records}
    for key, record in pool.run(evaluate, [t for t in tasks if t[0] not in records]):
        if kept:
            kept.add({key: record})
        records[key] = record
        advance(len(records), len(tasks))
    return records


def _assemble(
    claims: list[Claim],
    tasks: list[Task],
    records: Mapping[str, Mapping[str, Any]],
    attrs: Mapping[str, str | int | float],
) -> xr.Dataset:
    """The dataset, in the order of the claims, whatever the order of measuring was."""
    live = {c.id: [a.name for a in live_axes(c.space)] for c in claims if c.space is not None}
    axes = list(dict.fromkeys(name for names in live.values() for name in names))
    order = {f"{c.id} {region}": (i, j) for i, c in enumerate(claims) for j, region in enumerate(REGIONS)}
    keys = sorted((t[0].rpartition(" ") for t in tasks), key=lambda k: (order[k[0]], int(k[2])))
    found = [records["".join(key)] for key in keys]
    places = [key.split(" ") for key, *_ in keys]
    values = {key: arguments[2] for key, arguments in tasks}
    parameter = [
        [values["".join(key)][a] if a in live[claim] else math.nan for a in axes]
        for key, (claim, _) in zip(keys, places, strict=True)
    ]

    def words(column: list[Any]) -> tuple[str, NDArray[np.str_]]:
        return "point", np.array(column, dtype=np.str_)

    dataset = xr.Dataset(
        {
            "claim": words([claim for claim, _ in places]),
            "region": words([region for _, region in places]),
            "margin": ("point", np.array([r["margin"] for r in found])),
            "verdict": words([r["verdict"] for r in found]),
            "decided_by": words([r["effect"] for r in found]),
            "reason": words([r["reason"] for r in found]),
            "parameter": (("point", "axis"), np.array(parameter)),
        },
        coords={"point": np.arange(len(keys)), "axis": axes},
    )
    extremes = {c.id: _extremes(dataset, c) for c in claims}
    seconds = sum(float(r["seconds"]) for r in found)
    return stamp(dataset, "shares", {**attrs, "seconds": round(seconds), "extremes": json.dumps(extremes)})


def _extremes(dataset: xr.Dataset, claim: Claim) -> dict[str, str]:
    """The weakest point inside and the strongest outside, as code."""
    return {
        region: code.of_case(case_of(dataset, claim, at))
        for region in REGIONS
        if (at := extreme(dataset, claim.id, region)) is not None
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``diffclaims shares``."""
    parser.add_argument("--claim", action="append", metavar="ID", help="only this claim; may be repeated")
    parser.add_argument(
        "--points",
        type=int,
        default=POINTS,
        metavar="N",
        help=f"of each claim, inside and outside ({POINTS})",
    )
    parser.add_argument(
        "--workers", type=int, default=0, metavar="N", help="local processes (0: this one alone)"
    )
    parser.add_argument(
        "--claims", default="", metavar="FOLDER", help="folder of claims (default: the package's)"
    )
    parser.add_argument(
        "--keep",
        type=Path,
        default=Path(f".diffclaims/shares{SUFFIX}"),
        metavar="FILE",
        help="finished points, which the same command goes on with",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help=f"file of the record ({FILE} among the baselines, for all claims)",
    )


def run(args: argparse.Namespace) -> int:
    """Measure, record and print; 1 where a claim does not hold at a point inside its regime."""
    claims_dir = str(Path(args.claims).resolve()) if args.claims else ""
    claims = chosen_claims(args.claim, claims_dir or None)
    out = args.out
    if out is None and not args.claim and not claims_dir:
        out = locate.to_record(FILE, given=None)

    with progress("points") as advance:
        found = shares(
            claims,
            args.points,
            keep=args.keep,
            workers=args.workers,
            claims_dir=claims_dir,
            command=shlex.join(["diffclaims", *sys.argv[1:]]),
            advance=advance,
        )
    if out is not None:
        storage.write(out, found)
    args.keep.unlink(missing_ok=True)
    print(report(found, claims))
    inside = [s for s in summary(found) if s.region == "inside"]
    return int(any(s.held < s.measured for s in inside))
