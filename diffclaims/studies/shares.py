"""How large a share of points holds inside the regime of a claim, and how large a share outside it.

A claim that holds everywhere says nothing: its regime is then too narrow, or its effect follows from the
definitions. The points are drawn before anything is measured, from scrambled Sobol sequences with a fixed seed:

- *Inside*: the first coordinate chooses one of the boxes of `Space.regime`, each with the same weight; the others
  say where in the box, on each axis' own scale. Axes that a box leaves out stand at their defaults.
- *Outside*: the ranges of `Space.axes`, cut to `LIMITS` and `LIMITS_OF`, without the regime: a point of the sequence
  that lies in it is passed over, and so is one with a class further out than `FURTHEST`.

An axis that changes no case of the claim stands at its default in both. Coordinates have six digits. A point is
built by the claim's own space and judged by its own effects, on `theory`. The rules are ours.

The identities that answers of other subjects must obey are not asked for: they are read off where losses have
fallen by 0.001 and 0.003, and refuse right answers where the slope has changed by then: outside, and at 3 of the
first 60 points inside the regime of variance-order.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table
from scipy.stats import qmc

from diffclaims._version import __version__
from diffclaims.api import source as code
from diffclaims.api.case import Case
from diffclaims.api.claim import Claim, chosen_claims
from diffclaims.api.space import Axis, Space
from diffclaims.api.verdict import Outcome
from diffclaims.errors import InvalidInput, NotMeasured, SolveFailed, SubjectInvalid
from diffclaims.storage import netcdf as storage
from diffclaims.storage import paths as locate
from diffclaims.storage.provenance import _commit, provenance
from diffclaims.storage.schema import stamp
from diffclaims.studies.error_rates import interval
from diffclaims.studies.maps.checkpoint import Checkpoint
from diffclaims.studies.maps.pool import Pool, Task
from diffclaims.subjects.theory import SUBJECT
from diffclaims.suite.explore import weakest

#: Where the record lies, below the baselines.
FILE = "shares.nc"
#: Points of each claim in each region, and the seed of the sequences.
POINTS, SEED = 100, 0
REGIONS = ("inside", "outside")
#: Ranges outside the regime, narrower than those of the axes: where the theory is solved in a few seconds. Beyond
#: them it takes longer, and often stops short of its accuracy.
LIMITS: dict[str, tuple[float, float]] = {
    "variance_ratio": (0.05, 20.0),
    "minority_weight": (0.001, 0.999),
    "centroid_separation": (0.0, 5.0),
    "norm": (0.0, 3.6),
    "scale": (0.1, 10.0),
    "psi_p": (0.5, 256.0),
    "psi_n": (0.5, 256.0),
    "diffusion_time": (0.005, 1.0),
}
#: The same of single claims: with centroids apart a spectrum takes half a minute, and often its bulks do not hold
#: the mass that they must.
LIMITS_OF: dict[str, dict[str, tuple[float, float]]] = {"spectrum": {"centroid_separation": (0.0, 0.0)}}
#: Largest centroid norm over sqrt(d), outside the regime.
FURTHEST = 3.6
#: Digits of a coordinate, so that a point in a table is the one that was measured.
DIGITS = 6
#: Points of a sequence that are looked at until enough lie outside the regime, as a power of two.
_DEPTH = 13
#: Letters of the reason for which a point was not measured.
_REASON = 120

Values = dict[str, float]
Advance = Callable[[int, int], None]


# ---- points


def _case(space: Space, values: Mapping[str, float]) -> Case:
    return (space.explored or space.build)(values)


def live_axes(space: Space) -> tuple[Axis, ...]:
    """Return the axes that change the case of a claim; a claim with fixed sizes ignores some."""
    at = {a.name: a.default for a in space.axes}

    def asked(values: Values) -> list[tuple[str, str]]:
        return [(name, e.key) for name, e in _case(space, values).experiments.items()]

    usual = asked(at)
    return tuple(a for a in space.axes if any(asked({**at, a.name: end}) != usual for end in (a.low, a.high)))


def boxes(space: Space) -> list[dict[str, tuple[float, float]]]:
    """Return the boxes of a regime with all axes that matter; those that a box leaves out have their default."""
    live = live_axes(space)
    return [{a.name: limits.get(a.name, (a.default, a.default)) for a in live} for limits in space.regime]


def within(values: Mapping[str, float], limits: Mapping[str, tuple[float, float]]) -> bool:
    """Whether a point lies in a box."""
    return all(low <= values[name] <= high for name, (low, high) in limits.items())


def _at(axis: Axis, low: float, high: float, u: float) -> float:
    """The value at a fraction of the way on the axis' own scale, with `DIGITS` digits, never beyond the ends."""
    if low == high:
        return low
    value = low * math.exp(u * math.log(high / low)) if axis.scale == "log" else low + u * (high - low)
    return min(max(float(f"{value:.{DIGITS}g}"), low), high)


def _sequence(n_dims: int, n: int, seed: int) -> NDArray[np.float64]:
    """The first points of the scrambled Sobol sequence, at least n; the same ones whatever n is."""
    sampler = qmc.Sobol(n_dims, scramble=True, rng=np.random.default_rng(seed))
    return np.asarray(sampler.random_base2(max(0, (n - 1).bit_length())))


def points(claim: Claim, region: str, n: int = POINTS, seed: int = SEED) -> list[Values]:
    """Return the points of a claim in a region, the same every time.

    Parameters
    ----------
    claim : Claim
        One whose space states a regime.
    region : {"inside", "outside"}
        Of the regime.
    n : int
        How many. Fewer are the first ones of more.
    seed : int
        Of the Sobol sequence.

    Returns
    -------
    list of dict
        A value of every axis.

    Raises
    ------
    InvalidInput
        For a claim without a regime, fewer than 1 point, or a regime that leaves no room outside.
    """
    space = claim.space
    if space is None or not space.regime:
        raise InvalidInput.of("claim", claim.id, "state a regime", "add space=Space(regime=...) to its Claim")
    if n < 1:
        raise InvalidInput.of("points", n, "be 1 or more", f"{POINTS} is the default")
    rest = {a.name: float(a.default) for a in space.axes}
    draw = _inside(space, rest, n, seed) if region == "inside" else _outside(claim, rest, n, seed)
    found = list(draw)
    if len(found) < n:
        raise InvalidInput.of(
            "points", n, f"be at most {len(found)}, which lie outside the regime", "ask for fewer"
        )
    return found


def _inside(space: Space, rest: Values, n: int, seed: int) -> Iterator[Values]:
    live = live_axes(space)
    regime = boxes(space)
    for which, *unit in _sequence(1 + len(live), n, seed)[:n]:
        limits = regime[min(int(which * len(regime)), len(regime) - 1)]
        yield {**rest, **{a.name: _at(a, *limits[a.name], u) for a, u in zip(live, unit, strict=True)}}


def _outside(claim: Claim, rest: Values, n: int, seed: int) -> Iterator[Values]:
    assert claim.space is not None
    live, regime = live_axes(claim.space), boxes(claim.space)
    ranges = [outer(claim, a) for a in live]
    count = 0
    for unit in _sequence(len(live), max(n, 2**_DEPTH), seed):
        if count == n:
            return
        at = {a.name: _at(a, *ends, u) for a, ends, u in zip(live, ranges, unit, strict=True)}
        values = {**rest, **at}
        if any(within(values, limits) for limits in regime):
            continue
        if _furthest(_case(claim.space, values)) <= FURTHEST:
            count += 1
            yield values


def outer(claim: Claim, axis: Axis) -> tuple[float, float]:
    """Return the range of an axis outside the regime."""
    low, high = (LIMITS | LIMITS_OF.get(claim.id, {})).get(axis.name, (axis.low, axis.high))
    return max(low, axis.low), min(high, axis.high)


def _furthest(case: Case) -> float:
    """Largest centroid norm of a case, over sqrt(d)."""
    return max(math.sqrt(float(e.mixture.centroid_gram.diagonal().max())) for e in case.experiments.values())


# ---- measuring


@functools.lru_cache(maxsize=32)
def _claim(claim_id: str, claims_dir: str) -> Claim:
    return chosen_claims([claim_id], claims_dir or None)[0]


def evaluate(claim_id: str, claims_dir: str, values: Values) -> dict[str, Any]:
    """Measure and judge one point on `theory`; plain values, for a line of JSON and for other processes.

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
            result = claim.run(SUBJECT, _case(claim.space, values), identities=False, sizes=False)
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
                cost = _cost(claim, _case(claim.space, values))
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
            kept.add(key, record)
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


# ---- reading


@dataclass(frozen=True, kw_only=True)
class Share:
    """What came out of the points of one claim in one region.

    Attributes
    ----------
    points, measured, held : int
        Points drawn; those that could be measured; those of them in which the claim holds.
    low, high : float
        Clopper-Pearson interval of the share that holds among those measured, of coverage 0.95 or more.
    """

    claim: str
    region: str
    points: int
    measured: int
    held: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """Share that holds among those measured; NaN where none was."""
        return self.held / self.measured if self.measured else math.nan

    @property
    def text(self) -> str:
        """The share in percent with its interval, and of how many."""
        if not self.measured:
            return f"none of {self.points} measured"
        limits = f"[{100 * self.low:.1f}, {100 * self.high:.1f}]"
        return f"{100 * self.share:.0f} {limits} of {self.measured}"


def rows_of(dataset: xr.Dataset, claim: str, region: str) -> xr.Dataset:
    """Return the points of one claim in one region."""
    there = (dataset["claim"].values == claim) & (dataset["region"].values == region)
    return dataset.isel(point=np.flatnonzero(there))


def summary(dataset: xr.Dataset) -> list[Share]:
    """Return the shares of every claim inside and outside its regime."""
    found = []
    for claim in dict.fromkeys(map(str, dataset["claim"].values)):
        for region in REGIONS:
            verdicts = rows_of(dataset, claim, region)["verdict"].values
            measured = int((verdicts != str(Outcome.NOT_RUN)).sum())
            held = int((verdicts == str(Outcome.HOLDS)).sum())
            low, high = interval(held, measured) if measured else (0.0, 1.0)
            found.append(
                Share(
                    claim=claim,
                    region=region,
                    points=verdicts.size,
                    measured=measured,
                    held=held,
                    low=low,
                    high=high,
                )
            )
    return found


def extreme(dataset: xr.Dataset, claim: str, region: str) -> int | None:
    """Return the point of least margin inside, or of largest margin outside; nothing where none was measured."""
    rows = rows_of(dataset, claim, region)
    margin = rows["margin"].values
    if np.isnan(margin).all():
        return None
    at = np.nanargmin(margin) if region == "inside" else np.nanargmax(margin)
    return int(rows["point"].values[at])


def case_of(dataset: xr.Dataset, claim: Claim, point: int) -> Case:
    """Return the case at a recorded point."""
    assert claim.space is not None
    row = dataset["parameter"].sel(point=point)
    known = {str(a): float(v) for a, v in zip(row["axis"].values, row.values, strict=True) if v == v}
    return _case(claim.space, {**{a.name: a.default for a in claim.space.axes}, **known})


def report(dataset: xr.Dataset, claims: list[Claim], *, width: int = 120) -> str:
    """Return the shares as a table, with the weakest points inside and the strongest outside."""
    table = Table(
        box=box.SIMPLE_HEAD,
        title="points that hold, in % [95 % interval] of those measured",
        title_justify="left",
    )
    for head in ("claim", "inside its regime", "weakest margin", "outside", "strongest margin"):
        table.add_column(head)
    both = {(s.claim, s.region): s for s in summary(dataset)}
    lines = []
    for claim in claims:
        cells = [claim.id]
        for region in REGIONS:
            at = extreme(dataset, claim.id, region)
            shown = "-" if at is None else f"{float(dataset['margin'].sel(point=at)):+.3g}"
            cells += [both[claim.id, region].text, shown]
        table.add_row(*cells)
        lines += _told(dataset, claim)
    console = Console(width=max(60, width), highlight=False, legacy_windows=False)
    with console.capture() as capture:
        console.print(table)
    return "\n".join([capture.get(), *lines])


def _told(dataset: xr.Dataset, claim: Claim) -> list[str]:
    """What was not measured, and every point inside that does not hold, as code."""
    lines = []
    for region in REGIONS:
        rows = rows_of(dataset, claim.id, region)
        unmeasured = rows["reason"].values[rows["verdict"].values == str(Outcome.NOT_RUN)]
        if unmeasured.size:
            lines.append(
                f"{claim.id}: {unmeasured.size} points {region} not measured, one for: {unmeasured[0]}"
            )
        if region == "inside":
            for row in rows["point"].values[~np.isin(rows["verdict"].values, ["holds", "not run"])]:
                one = rows.sel(point=row)
                lines.append(
                    f"{claim.id}: {one['verdict'].item()} inside its regime, margin {one['margin'].item():+.4g} "
                    f"({one['decided_by'].item()}), at\n{code.of_case(case_of(dataset, claim, int(row)))}"
                )
    return lines


# ---- command


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
        default=Path(".diffclaims/shares.points.jsonl"),
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
        out = locate.baselines_dir() / FILE

    def told(done: int, total: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{done} of {total} points\033[K", end="\n" if done == total else "", file=sys.stderr)

    found = shares(
        claims,
        args.points,
        keep=args.keep,
        workers=args.workers,
        claims_dir=claims_dir,
        command=shlex.join(["diffclaims", *sys.argv[1:]]),
        advance=told,
    )
    if out is not None:
        storage.write(out, found)
    args.keep.unlink(missing_ok=True)
    print(report(found, claims))
    inside = [s for s in summary(found) if s.region == "inside"]
    return int(any(s.held < s.measured for s in inside))
