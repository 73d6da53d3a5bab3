"""Search the regime of a claim for its weakest margin, and for a case in which it fails.

Hypothesis draws cases from the regime of `Claim.space`, steered towards small margins, and shrinks the first
counterexample to the simplest one that still fails. What was found is kept, and tried first the
next time. Only "fails" is a counterexample: an inconclusive case near the edge of the regime shows
as the weakest margin.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xarray as xr

from diffclaims.api import source as code
from diffclaims.api.case import Case, CaseResult
from diffclaims.api.claim import Claim, chosen_claims
from diffclaims.api.outcome import Effect, Outcome
from diffclaims.api.subject import Subject
from diffclaims.errors import BaselineError, InvalidInput
from diffclaims.storage import netcdf as storage
from diffclaims.storage import paths as locate
from diffclaims.storage.paths import sanitized
from diffclaims.storage.provenance import provenance
from diffclaims.subjects.memo import Memo

#: Cases that are tried where no number is given.
EXAMPLES = 50
SCHEMA = "explored"
SCHEMA_VERSION = 1
#: Hypothesis steers by finite scores; beyond this a margin is as good as infinite.
_FAR = 1e6


def weakest(result: CaseResult) -> Effect | None:
    """Return the effect of least margin, or nothing where nothing was measured."""
    return min(result.verdict.effects, key=lambda e: e.margin) if result.verdict is not None else None


@dataclass(frozen=True)
class Trial:
    """One case that was tried."""

    case: Case
    margin: float
    outcome: Outcome
    #: The effect of least margin in one sentence, or why there is none.
    sentence: str

    @classmethod
    def of(cls, result: CaseResult) -> Trial:
        """Summarize a result."""
        effect = weakest(result)
        if effect is None:
            return cls(result.case, math.nan, result.outcome, result.reason)
        return cls(result.case, effect.margin, result.outcome, effect.sentence())

    @property
    def fails(self) -> bool:
        """Whether it contradicts the claim."""
        return self.outcome is Outcome.FAILS


@dataclass
class Exploration:
    """What a search found.

    Attributes
    ----------
    trials : list of Trial
        In the order in which they were tried.
    counterexample : Trial or None
        The simplest case found in which the claim fails.
    replayed : Trial or None
        What an earlier search had kept, tried again.
    path : path or None
        Where it is kept.
    """

    claim: Claim
    subject: str
    trials: list[Trial] = field(default_factory=list)
    counterexample: Trial | None = None
    replayed: Trial | None = None
    path: Path | None = None

    @property
    def weakest(self) -> Trial | None:
        """The counterexample, or else the trial of least margin."""
        if self.counterexample is not None:
            return self.counterexample
        measured = [t for t in self.trials if not math.isnan(t.margin)]
        return min(measured, key=lambda t: t.margin, default=None)

    def report(self) -> str:
        """Say what was found, with the case as code."""
        head = f"{self.claim.id} on {self.subject}"
        found = self.weakest
        counts = {o: sum(t.outcome is o for t in self.trials) for o in Outcome}
        told = ", ".join(f"{n} {o}" for o, n in counts.items() if n)
        lines = []
        if self.replayed is not None:
            lines.append(f"{head}: the case kept from the last search {_again(self.replayed)}")
        if found is None:
            return "\n".join([*lines, f"{head}: nothing was measured in {len(self.trials)} cases ({told})"])
        if self.counterexample is not None:
            lines.append(f"{head}: a counterexample in its regime, after {len(self.trials)} cases ({told})")
        else:
            lines.append(f"{head}: weakest margin {found.margin:+.4g} of {len(self.trials)} cases ({told})")
        lines += [f"  claim:  {self.claim.says}", f"  regime: {self.claim.regime}", f"  {found.sentence}"]
        if self.path is not None:
            lines.append(f"  kept in {self.path}, tried first next time")
        return "\n".join([*lines, "", code.IMPORTS, "", f"case = {code.of_case(found.case)}"])


def _again(trial: Trial) -> str:
    return f"{trial.outcome} (margin {trial.margin:+.4g})"


class _Counterexample(Exception):
    """Raised inside the search, for hypothesis to shrink what led to it."""


def path_of(folder: Path, subject: str, claim_id: str) -> Path:
    """Return where the findings on a claim and a subject are kept."""
    return folder / sanitized(subject) / f"{sanitized(claim_id)}.nc"


def explore(
    claim: Claim,
    subject: Subject,
    *,
    examples: int = EXAMPLES,
    folder: Path | None = None,
    derandomize: bool | None = None,
) -> Exploration:
    """Search the regime of a claim.

    Parameters
    ----------
    claim : Claim
        One whose space states a regime.
    subject : Subject
        What is asked; it must take any Gaussian mixture.
    examples : int
        Cases to try, besides those that shrink a counterexample.
    folder : path, optional
        Where findings are kept: a dataset for each subject and claim, and hypothesis' database of
        examples. Nothing is kept, nor replayed, by default.
    derandomize : bool, optional
        Try the same cases in every run; by default where CI is set. Hypothesis then has no database.

    Returns
    -------
    Exploration

    Raises
    ------
    InvalidInput
        For a claim without a regime that can be searched, a subject on data of its own, or no examples.
    BaselineError
        When what was kept cannot be read.
    """
    if not claim.explorable:
        raise InvalidInput.of(
            "claim", claim.id, "state a regime to explore", "add space=Space(regime=...) to its Claim"
        )
    if examples < 1:
        raise InvalidInput.of("examples", examples, "be 1 or more", "try 50")
    if not subject.tags.gaussian:
        raise InvalidInput.of("subject", subject.name, "take any Gaussian mixture", "choose another one")
    if derandomize is None:
        derandomize = os.environ.get("CI", "").strip().lower() not in ("", "0", "false", "no")
    found = Exploration(claim, subject.name)
    asked = Memo(subject)

    def attempt(case: Case) -> Trial:
        trial = Trial.of(claim.run(asked, case))
        found.trials.append(trial)
        return trial

    if folder is not None:
        found.path = path_of(folder, subject.name, claim.id)
        if found.path.is_file():
            found.replayed = attempt(read(found.path)[1])
            if found.replayed.fails:
                found.counterexample = found.replayed
    if found.counterexample is None:
        # The database knows a test by its code, which is the same for all claims and subjects.
        kept = found.path and found.path.with_suffix(".examples")
        found.counterexample = _search(claim, attempt, examples, kept, derandomize)
    if found.path is not None and found.weakest is not None:
        storage.write(found.path, to_dataset(found))
    return found


def _search(
    claim: Claim, attempt: Callable[[Case], Trial], examples: int, folder: Path | None, derandomize: bool
) -> Trial | None:
    """Let hypothesis search; return the shrunk counterexample, if there is one."""
    import hypothesis
    from hypothesis.database import DirectoryBasedExampleDatabase

    assert claim.space is not None
    database = None
    if folder is not None and not derandomize:
        database = DirectoryBasedExampleDatabase(str(folder))
    last: list[Trial] = []

    @hypothesis.settings(
        max_examples=examples,
        derandomize=derandomize,
        database=database,
        deadline=None,
        print_blob=True,
        report_multiple_bugs=False,
        suppress_health_check=list(hypothesis.HealthCheck),
        verbosity=hypothesis.Verbosity.quiet,
    )
    @hypothesis.given(case=claim.space.strategy())
    def search(case: Case) -> None:
        trial = attempt(case)
        if not math.isnan(trial.margin):
            hypothesis.target(-min(max(trial.margin, -_FAR), _FAR), label="smallness of the margin")
        if trial.fails:
            last[:] = [trial]
            raise _Counterexample

    try:
        search()
    except _Counterexample:
        # Hypothesis runs the simplest one last.
        return last[0]
    return None


def to_dataset(found: Exploration) -> xr.Dataset:
    """Return the trials as a dataset; what to try first is an attribute."""
    first = found.weakest
    assert first is not None
    trials = found.trials
    dataset = xr.Dataset(
        {
            "margin": ("trial", np.array([t.margin for t in trials]), {"units": "1"}),
            "verdict": ("trial", np.array([str(t.outcome) for t in trials], dtype=np.str_)),
            "case": ("trial", np.array([code.to_json(t.case) for t in trials], dtype=np.str_)),
        },
        coords={"trial": np.arange(len(trials))},
    )
    dataset.attrs = provenance(
        subject=found.subject,
        schema=SCHEMA,
        schema_version=SCHEMA_VERSION,
        claim=found.claim.id,
        counterexample=int(found.counterexample is not None),
        first=code.to_json(first.case),
        sentence=first.sentence,
        code=code.of_case(first.case),
    )
    return dataset


def read(path: Path) -> tuple[xr.Dataset, Case]:
    """Read what was kept: the trials, and the case to try first.

    Raises
    ------
    BaselineError
        When the file is damaged, or of another schema.
    """
    dataset = storage.read_dataset(path)
    if (dataset.attrs.get("schema"), dataset.attrs.get("schema_version")) != (SCHEMA, SCHEMA_VERSION):
        raise BaselineError(f"{path} does not hold the findings of a search in this version; delete it")
    return dataset, code.from_json(str(dataset.attrs["first"]))


# ---- command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("claim", metavar="CLAIM", nargs="*", help="ids of claims (default: all)")
    parser.add_argument("--subject", default="theory", metavar="NAME", help="what is asked (default: theory)")
    parser.add_argument(
        "--examples", type=int, default=EXAMPLES, metavar="N", help=f"cases to try (default: {EXAMPLES})"
    )
    parser.add_argument(
        "--claims", default="", metavar="FOLDER", help="folder of claims (default: the package's)"
    )
    parser.add_argument(
        "--out",
        default=".diffclaims/explored",
        metavar="FOLDER",
        help="where findings are kept and replayed from",
    )


def run(args: argparse.Namespace) -> int:
    """Explore, print what was found, and return 1 if there is a counterexample."""
    from diffclaims.subjects import registry

    named = chosen_claims(args.claim, args.claims or None)
    claims = named if args.claim else [c for c in named if c.explorable]
    subject = registry.subject_of(args.subject, locate.baselines_dir(), live=True)
    failed = False
    for claim in claims:
        found = explore(claim, subject, examples=args.examples, folder=Path(args.out))
        print(found.report(), end="\n\n")
        failed |= found.counterexample is not None
    return int(failed)
