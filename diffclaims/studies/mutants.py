"""Subjects that are wrong on purpose, and the claims that must reject them.

A check that nothing can fail says nothing. A mutant wraps a subject and spoils what it is asked or what it
answers, in one way each. It is caught by a claim when a case in the regime no longer holds, or a negative
control no longer comes out as it should, where the subject itself comes out as expected. A mutant that breaks
the contract of a subject must be stopped by `check_subject`, with the reason, before any claim is judged; it is
never reported as a claim that fails.

Each claim names the mutants that it must catch, in `Claim.rejects`; an invalid one is aimed at all claims, for none
may judge it.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text

from diffclaims.api.case import Case, CaseResult, Role
from diffclaims.api.claim import Claim, chosen_claims
from diffclaims.api.outcome import Outcome
from diffclaims.api.subject import Subject
from diffclaims.errors import DiffclaimsError, SubjectInvalid
from diffclaims.storage import netcdf as storage
from diffclaims.storage import paths as locate
from diffclaims.studies.case_by_case import asked_case_by_case, cheapest_first
from diffclaims.studies.mutations import MUTATIONS, Mutant, known_mutant
from diffclaims.subjects import registry
from diffclaims.subjects.contract import check_subject
from diffclaims.subjects.memo import Memo
from diffclaims.terminal import progress, rendered, table


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What came out for one mutant and one claim.

    Attributes
    ----------
    state : str
        "caught", "escaped", "not targeted" or "not run". "invalid": stopped by the contract check or, where
        that did not ask, refused by what reads the answers, as an invalid mutant must be; "not stopped": it
        was judged all the same.
    case : str
        The case that caught it.
    reason : str
        Why it is invalid or was not run, or the deciding effect of the case that caught it.
    """

    claim: str
    mutant: str
    state: str
    case: str = ""
    reason: str = ""

    @property
    def wrong(self) -> bool:
        """Whether the check lacks the teeth it should have."""
        if self.state == "invalid":
            return not MUTATIONS[self.mutant].invalid
        return self.state in ("escaped", "not stopped")


class Hunt:
    """Runs mutants of one subject against claims, measuring each experiment once.

    Parameters
    ----------
    subject : Subject
        What the mutants wrap; it keeps the contract.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject: Subject = Memo(subject)
        self._honest: dict[tuple[str, str], bool] = {}
        self._contract: dict[str, str] = {}

    def find(self, claim: Claim, name: str) -> Finding:
        """Say whether a claim catches a mutant; stop at the first case that does, the cheap ones first."""
        for one in claim.rejects:
            known_mutant(one)
        mutant = Mutant(self.subject, name)
        invalid = mutant.mutation.invalid
        if not invalid and name not in claim.rejects:
            return Finding(claim=claim.id, mutant=name, state="not targeted")
        if not mutant.mutation.applies(self.subject):
            return Finding(
                claim=claim.id, mutant=name, state="not run", reason=f"it is of {mutant.mutation.of} subjects"
            )
        if reason := self._breach(mutant, name):
            return Finding(claim=claim.id, mutant=name, state="invalid", reason=reason)
        refused, asked = "", False
        for case in cheapest_first(claim.cases_for(self.subject)):
            if case.role is Role.OUTSIDE:
                continue
            try:
                result = _run(claim, mutant, case)
            except DiffclaimsError as error:
                return Finding(claim=claim.id, mutant=name, state="invalid", reason=f"{case.name}: {error}")
            if result.outcome is Outcome.NOT_RUN:
                refused = result.reason
                continue
            asked = True
            if invalid:
                return Finding(
                    claim=claim.id,
                    mutant=name,
                    state="not stopped",
                    case=case.name,
                    reason=result.sentence(),
                )
            if not result.as_expected and self._passes(claim, case):
                return Finding(
                    claim=claim.id, mutant=name, state="caught", case=case.name, reason=result.sentence()
                )
        if asked:
            return Finding(claim=claim.id, mutant=name, state="escaped")
        return Finding(
            claim=claim.id, mutant=name, state="not run", reason=refused or "the claim has no case for it"
        )

    def _breach(self, mutant: Mutant, name: str) -> str:
        """Why the contract check stops a mutant, or nothing."""
        if name not in self._contract:
            self._contract[name] = ""
            try:
                check_subject(mutant)
            except SubjectInvalid as error:
                self._contract[name] = str(error)
        return self._contract[name]

    def _passes(self, claim: Claim, case: Case) -> bool:
        """Whether the subject itself comes out as expected: rejecting both would prove nothing."""
        key = (claim.id, case.name)
        if key not in self._honest:
            result = _run(claim, self.subject, case)
            self._honest[key] = result.outcome is not Outcome.NOT_RUN and result.as_expected
        return self._honest[key]


def _run(claim: Claim, subject: Subject, case: Case) -> CaseResult:
    # The claim's own effects must see a mutant, without what is known of the model beside them.
    return claim.run(asked_case_by_case(subject, case), case, identities=False, sizes=False)


#: Width of a cell; the grid of the seven claims then takes this many characters.
_CELL_WIDTH, _FULL_WIDTH = 16, 146
_STYLE = {
    "caught": "green",
    "invalid": "cyan",
    "escaped": "bold red",
    "not stopped": "bold red",
    "not run": "yellow",
    "not targeted": "dim",
}


def _broken(name: str) -> str:
    """A name over several lines, broken after its hyphens, so that the grid of all claims fits."""
    return "\n".join(textwrap.wrap(name, _CELL_WIDTH))


def render(findings: Sequence[Finding], *, width: int = 150, color: bool = False) -> str:
    """Return the grid of mutants and claims as text.

    Parameters
    ----------
    findings : sequence of Finding
        Of every mutant and claim that was asked for.
    width : int
        In characters.
    color : bool
        Whether to add terminal colours.
    """
    claims = list(dict.fromkeys(f.claim for f in findings))
    mutants = list(dict.fromkeys(f.mutant for f in findings))
    at = {(f.mutant, f.claim): f for f in findings}
    number: dict[str, int] = {}
    shown = table(padding=(0, 1))
    shown.add_column("mutant", no_wrap=width >= _FULL_WIDTH, overflow="fold")
    for claim in claims:
        shown.add_column(_broken(claim), overflow="fold")
    for mutant in mutants:
        cells = []
        for claim in claims:
            one = at[mutant, claim]
            text = Text("-" if one.state == "not targeted" else one.state, style=_STYLE[one.state])
            if one.case:
                text.append(f"\n{_broken(one.case)}", style="not bold default")
            elif one.reason:
                text.append(f" [{number.setdefault(one.reason, len(number) + 1)}]")
            cells.append(text)
        shown.add_row(mutant, *cells)
    lines = [
        "caught: by the case named, where the subject itself comes out as expected; invalid: stopped by the "
        "contract check or by what reads the answers, judged by no claim; -: not aimed at this claim"
    ]
    lines += [f"[{index}] {reason}" for reason, index in number.items()]
    lines += [f"{mutant}: {MUTATIONS[mutant].says}" for mutant in mutants]
    return rendered(shown, *lines, width=max(60, width), color=color)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `diffclaims mutants` takes."""
    parser.add_argument("--claim", action="append", metavar="ID", help="only this claim; may be repeated")
    parser.add_argument(
        "--claims", default="", metavar="FOLDER", help="folder of claims (default: the package's)"
    )
    parser.add_argument("--mutant", action="append", metavar="NAME", help="only this mutant; may be repeated")
    parser.add_argument("--subject", default="theory", help="what the mutants wrap (theory)")
    parser.add_argument("--live", action="store_true", help="measure the subject even where that takes long")
    parser.add_argument(
        "--calibration",
        action="store_true",
        help="also print the smallest wrongness seen, the error rates and the power, as recorded",
    )


def run(args: argparse.Namespace) -> int:
    """Print the grid; 1 when a mutant escapes a claim that it is aimed at, or is not stopped."""
    claims = chosen_claims(args.claim, args.claims or None)
    for name in args.mutant or ():
        known_mutant(name)
    shipped = locate.baselines_dir()
    own = locate.baselines_dir(Path(args.claims)) if args.claims else shipped
    hunt = Hunt(registry.subject_of(args.subject, own, live=args.live, shipped=shipped))
    # Those that are of another sort of subject show only where they are asked for.
    mutants = [
        name
        for name, m in MUTATIONS.items()
        if name in (args.mutant or ()) or (not args.mutant and m.applies(hunt.subject))
    ]
    findings: list[Finding] = []
    with progress("mutants") as advance:
        for claim, mutant in itertools.product(claims, mutants):
            findings.append(hunt.find(claim, mutant))
            advance(len(findings), len(claims) * len(mutants))
    tty = sys.stdout.isatty()
    width = shutil.get_terminal_size((150, 24)).columns
    print(render(findings, width=width, color=tty and "NO_COLOR" not in os.environ), end="")
    count = {s: sum(f.state == s for f in findings) for s in _STYLE}
    wrong = [f for f in findings if f.wrong]
    print(
        f"{count['caught']} caught, {count['invalid']} stopped as invalid, {len(wrong)} wrong, "
        f"{count['not run']} not run"
    )
    for f in wrong:
        print(f"{f.mutant} on {f.claim}: {f.state} {f.reason}")
    if args.calibration:
        print(calibration_text(width), end="")
    return int(bool(wrong))


def calibration_text(width: int) -> str:
    """What is recorded of how far verdicts can be trusted, or how to make it."""
    from diffclaims.studies import error_rates, pools, power_tables, share_report, shares, wrongness

    parts = []
    claims = list(chosen_claims())
    for file, report in (
        (wrongness.FILE, wrongness.report),
        (error_rates.FILE, error_rates.report),
        (shares.FILE, functools.partial(share_report.report, claims=claims)),
    ):
        path = locate.baselines_dir() / file
        if path.is_file():
            parts.append(report(storage.read_dataset(path), width=width))
        else:
            parts.append(f"{path.name} is not recorded; diffclaims {path.stem} makes it\n")
    found = pools.records()
    if found:
        parts.append(power_tables.render(found, width=width))
    else:
        parts.append("no calibration is recorded; diffclaims calibrate makes it\n")
    return "\n".join(parts)
