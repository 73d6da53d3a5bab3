"""The smallest wrongness of each kind that each claim sees.

A family of wrong subjects has a size, from 1 (strong) down: the theory, but its speciation knows the centroids
shrunk by that share, its classes are nearer to each other by that share of ln tau, and so on. Each claim is asked
with ever smaller sizes until it passes. It sees a wrong subject when a case does not come out as it should, or the
answer is refused because it breaks an identity of the model.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from diffclaims.api.claim import Claim, chosen_claims
from diffclaims.api.subject import MEASURES, Subject
from diffclaims.errors import DiffclaimsError, InvalidInput
from diffclaims.storage import netcdf as storage
from diffclaims.storage import paths as locate
from diffclaims.storage.provenance import provenance
from diffclaims.storage.schema import stamp
from diffclaims.studies.case_by_case import asked_case_by_case, cheapest_first
from diffclaims.studies.families import FAMILIES
from diffclaims.studies.mutations import Mutant
from diffclaims.subjects.memo import Memo
from diffclaims.terminal import rendered, table, tell

#: Where the record lies, below the baselines.
FILE = "wrongness.nc"


def seen_by(claim: Claim, subject: Subject, honest: Subject) -> str:
    """Say what sees that a subject is wrong: "identity", "size", "effect", or nothing.

    Parameters
    ----------
    claim : Claim
    subject, honest : Subject
        The wrong one, and the one that it wraps: what that does not pass shows nothing.
    """
    for case in cheapest_first(claim.cases_for(honest)):
        try:
            result = claim.run(asked_case_by_case(subject, case), case)
        except DiffclaimsError:
            return "identity"
        if result.as_expected or not claim.run(asked_case_by_case(honest, case), case).as_expected:
            continue
        return "size" if str(result.verdict and result.verdict.size) == "fails" else "effect"
    return ""


def smallest(
    claim: Claim, name: str, subject: Subject, progress: Callable[[str], None] = lambda line: None
) -> tuple[float, float, str]:
    """Return the smallest size of a family that a claim sees, the largest that passes, and what sees the smallest.

    NaN where no size is seen, or where none passes.
    """
    family = FAMILIES[name]
    found, by = math.nan, ""
    for size in family.sizes:
        mutant = Mutant(subject, f"{name}-{size:g}", family.make(size))
        seen = seen_by(claim, mutant, subject)
        progress(f"{claim.id}, {name} {size:g}: {seen or 'passes'}")
        if not seen:
            return found, size, by
        found, by = size, seen
    return found, math.nan, by


def wrongness(
    claims: Sequence[Claim],
    families: Iterable[str],
    subject: Subject,
    progress: Callable[[str], None] = lambda line: None,
) -> xr.Dataset:
    """Find the smallest wrongness of each family that each claim sees.

    Parameters
    ----------
    claims : sequence of Claim
    families : iterable of str
        Keys of `FAMILIES`.
    subject : Subject
        What is spoiled: one that answers exactly.
    progress : callable
        Told each thing that was tried.

    Returns
    -------
    xarray.Dataset
        Kind "wrongness": ``smallest`` (claim, family), ``passes`` and ``seen_by``. Where a claim reads nothing that a
        family spoils, ``seen_by`` is "not read".
    """
    names = list(families)
    for name in names:
        if name not in FAMILIES:
            raise InvalidInput.of("family", name, f"be one of {', '.join(FAMILIES)}", "choose one of them")
    memo = Memo(subject)
    shape = (len(claims), len(names))
    least, most, by = (
        np.full(shape, math.nan),
        np.full(shape, math.nan),
        np.full(shape, "not read", dtype="<U8"),
    )
    for i, claim in enumerate(claims):
        read = {MEASURES[m] for m in claim.measures}
        for j, name in enumerate(names):
            if FAMILIES[name].make(1.0).kinds & read:
                least[i, j], most[i, j], by[i, j] = smallest(claim, name, memo, progress)
    dataset = xr.Dataset(
        {
            "smallest": (("claim", "family"), least),
            "passes": (("claim", "family"), most),
            "seen_by": (("claim", "family"), by),
        },
        coords={"claim": [c.id for c in claims], "family": names},
    )
    return stamp(dataset, "wrongness", provenance(subject=subject.name, seeds=()))


def cell(found: xr.Dataset, claim: str, family: str) -> str:
    """What a table says of one claim and one family."""
    one = found.sel(claim=claim, family=family)
    by = str(one["seen_by"].values)
    if by == "not read":
        return ""
    least = float(one["smallest"])
    if math.isnan(least):
        return "none"
    return f"{least:g} {by}" + ("" if np.isfinite(float(one["passes"])) else " or less")


def report(found: xr.Dataset, *, width: int = 150) -> str:
    """Return the table of claims and families as text."""
    shown = table(title="smallest wrongness that a claim sees, and what sees it")
    shown.add_column("family", no_wrap=True, min_width=max(map(len, FAMILIES)))
    for claim in found["claim"].values:
        shown.add_column(str(claim).replace("-", "\n"), overflow="fold")
    for family in found["family"].values:
        shown.add_row(str(family), *(cell(found, str(c), str(family)) for c in found["claim"].values))
    words = (
        "size: from 1 down; identity: an answer breaks an equation of the model; size: an effect is not as large "
        "as the theory's; effect: the claim itself; none: no size is seen, for the sentence does not depend on "
        "it; empty: the claim does not read it"
    )
    return rendered(shown, words, width=max(60, width))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``diffclaims wrongness``."""
    parser.add_argument("--claim", action="append", metavar="ID", help="only this claim; may be repeated")
    parser.add_argument("--family", action="append", metavar="NAME", help=f"out of {', '.join(FAMILIES)}")
    parser.add_argument("--out", type=Path, help=f"file of the record ({FILE}, among the baselines)")


def run(args: argparse.Namespace) -> int:
    """Measure, print, and record what was asked for in full."""
    from diffclaims.subjects.theory import SUBJECT

    started = time.monotonic()
    part = args.claim or args.family
    out = args.out if part else locate.to_record(FILE, given=args.out)

    def progress(line: str) -> None:
        tell(f"[{time.monotonic() - started:.0f} s] {line}")

    found = wrongness(chosen_claims(args.claim), args.family or FAMILIES, SUBJECT, progress)
    if out is not None:
        command = {"command": "diffclaims wrongness", "seconds": time.monotonic() - started}
        storage.write(out, found.assign_attrs(command))
    print(report(found))
    return 0
