"""A claim, its cases, and the one path by which a case is measured and judged."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from diffclaims.api.case import WORD, WORD_RULE, Case, CaseResult, Role
from diffclaims.api.identities import Checked
from diffclaims.api.outcome import Effect
from diffclaims.api.sizes import size_effects
from diffclaims.api.space import Space
from diffclaims.api.subject import MEASURES, SAME_MODEL, Subject, experiments_of
from diffclaims.api.verdict import Verdict
from diffclaims.errors import InvalidInput, NotMeasured
from diffclaims.problem.arguments import check_fields, checked
from diffclaims.problem.experiment import Experiment
from diffclaims.storage import paths as locate
from diffclaims.storage.reference import recorded_effects
from diffclaims.threads import on_one_thread

Measure = Callable[[Subject, Case], dict[str, xr.Dataset]]
Judge = Callable[[Case, Mapping[str, xr.Dataset]], Sequence[Effect]]
Gauge = Callable[[Case, Mapping[str, xr.Dataset]], Sequence[NDArray[np.float64]]]


@dataclass(frozen=True, kw_only=True)
class Null:
    """Where nothing differs, so that a claim about a difference must not hold.

    Parameters
    ----------
    case : str or Case
        Classes that are alike: one of the claim's cases by name, or one of its own.
    power : str
        The case with the canonical effect, which the claim should see.
    why : str
        What is alike in the null case.
    effects : str
        What is in the names of the effects that are zero there; the others are real. All by default.
    """

    case: str | Case
    power: str
    why: str
    effects: str = ""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One sentence about how classes are learned, and the check of it.

    Parameters
    ----------
    id : str
        Short and stable.
    says : str
        The sentence.
    source : str
        Where it is claimed.
    definitions : str
        Which definitions the check uses, and which of them are ours.
    regime : str
        Where the sentence is meant to hold.
    cases : tuple of Case
        Named canonical cases, in and outside the regime, and negative controls.
    measures : frozenset of str
        Methods that a subject must have.
    measure : callable ``(subject, case) -> dict of str to Dataset``
        Asks the subject. Everything that `judge` needs must be in what it returns.
    judge : callable ``(case, data) -> sequence of Effect``
        Pure: from measured or recorded data to effects.
    rejects : frozenset of str
        Names of the mutants (`diffclaims mutants`) that the claim must not let pass.
    null : Null, optional
        Where nothing differs; for claims that `diffclaims calibrate` measures.
    gauge : callable ``(case, data) -> sequence of ndarray (n_seeds,)``, optional
        The same effects above their thresholds, with the same signs, on a scale on which seeds scatter normally.
        Verdicts know signs alone; `diffclaims calibrate` reads from it how often a seed has another one.
    space : Space, optional
        The parameters of the claim: the regime to be explored, and the axes of its maps.
    select : callable ``(experiments) -> sequence of Case``, optional
        For subjects on real data: the cases among what they measured that lie in the regime.
    takes : str
        What `select` picks, as a phrase for whoever has nothing of the kind.
    """

    id: str
    says: str
    source: str
    definitions: str = ""
    regime: str = ""
    cases: tuple[Case, ...]
    measures: frozenset[str]
    measure: Measure
    judge: Judge
    rejects: frozenset[str] = frozenset()
    null: Null | None = None
    gauge: Gauge | None = None
    space: Space | None = None
    select: Callable[[Mapping[str, Experiment]], Sequence[Case]] | None = None
    takes: str = ""

    def __post_init__(self) -> None:
        check_fields(self)
        object.__setattr__(self, "cases", tuple(self.cases))
        object.__setattr__(self, "measures", frozenset(self.measures))
        object.__setattr__(self, "rejects", frozenset(self.rejects))
        if not re.fullmatch(WORD, self.id):
            raise InvalidInput.of("id of a claim", self.id, *WORD_RULE)
        names = [c.name for c in self.cases]
        if len(set(names)) < len(names):
            raise InvalidInput.of(
                f"cases of {self.id}", names, "have different names", "rename the ones that are equal"
            )
        if not self.measures <= MEASURES.keys() or not self.measures:
            raise InvalidInput.of(
                f"measures of {self.id}", sorted(self.measures), f"be out of {sorted(MEASURES)}", "correct it"
            )

    @property
    def explorable(self) -> bool:
        """Whether it states a regime that can be searched."""
        return self.space is not None and bool(self.space.regime)

    def case(self, name: str) -> Case:
        """Return a canonical case by name.

        Raises
        ------
        InvalidInput
            For a name that no case has.
        """
        for case in self.cases:
            if case.name == name:
                return case
        raise InvalidInput.of("case", name, f"be one of {[c.name for c in self.cases]}", "choose one of them")

    def null_case(self) -> Case:
        """Return the case in which nothing differs."""
        if self.null is None:
            raise InvalidInput.of("claim", self.id, "state a null", "add null=Null(...) to its Claim")
        return self.case(self.null.case) if isinstance(self.null.case, str) else self.null.case

    def cases_for(self, subject: Subject) -> tuple[Case, ...]:
        """Return the cases that a subject is asked: the canonical ones, and its own in the regime.

        A subject that takes any Gaussian mixture gets the canonical cases. From the experiments that
        a subject lists on other data, `select` picks those that lie in the regime.
        """
        cases: list[Case] = list(self.cases) if subject.tags.gaussian else []
        listed = {k: e for k, e in experiments_of(subject).items() if e.data != "gaussian"}
        if self.select is not None and listed:
            cases += self.select(listed)
        if not subject.tags.exact:
            outside = {"role": Role.OUTSIDE, "expect": frozenset()}
            cases = [c.replace(**outside) if c.exact_only else c for c in cases]
        return tuple(cases)

    def run(self, subject: Subject, case: Case, *, identities: bool = True, sizes: bool = True) -> CaseResult:
        """Measure one case and judge it.

        Parameters
        ----------
        subject : Subject
        case : Case
        identities : bool
            Whether answers of the random-features model must obey what is known of it without solving it.
        sizes : bool
            Whether effects of the random-features model must have the size that the theory's records state.

        Returns
        -------
        CaseResult
            With outcome "not run" and the reason where the subject cannot answer.

        Raises
        ------
        SubjectInvalid
            When the subject breaks its contract: that says nothing about the claim.
        """
        start = time.perf_counter()
        verdict, data, reason = None, {}, _cannot(subject, self, case)
        if not reason:
            try:
                asked = Checked(subject, identities=identities)
                data = self.measure(asked, case)
                effects = on_one_thread(self.judge)(case, data)
                known = self._known_sizes(subject, case) if sizes else {}
                verdict = Verdict(effects, size_effects(effects, known, subject.tags, asked.fewest_samples))
            except NotMeasured as error:
                verdict, data, reason = None, {}, str(error) or "the subject gave no reason"
        return CaseResult(
            claim_id=self.id,
            case=case,
            subject=subject.name,
            verdict=verdict,
            data=data,
            seconds=time.perf_counter() - start,
            reason=reason,
        )

    def _known_sizes(self, subject: Subject, case: Case) -> Mapping[str, float]:
        """The theory's effects of a case, for the same model. What a learned score does it does not say."""
        if subject.tags.model != SAME_MODEL or (subject.tags.stochastic and "speciation" in self.measures):
            return {}
        return recorded_effects(self.id, case.name, case.experiments)


def _cannot(subject: Subject, claim: Claim, case: Case) -> str:
    """Why the subject's tags rule this case out, or nothing."""
    missing = claim.measures - subject.tags.measures
    if missing:
        return f"it does not measure {', '.join(sorted(missing))}"
    most = subject.tags.max_classes
    asked = max(e.mixture.n_classes for e in case.experiments.values())
    if most is not None and asked > most:
        return f"it takes at most {most} classes, the case has {asked}"
    return ""


@checked
def load_claims(folder: str | Path | None = None) -> tuple[Claim, ...]:
    """Load every claim of a folder, in the order of the file names.

    Parameters
    ----------
    folder : path, optional
        A folder of claim files, ``test_*.py``, each with a module-level `CLAIM`. By default the
        claims that belong to this package.

    Raises
    ------
    InvalidInput
        For a folder without claim files, a file without a `Claim`, or an id that occurs twice.
    """
    where = Path(folder) if folder is not None else locate.claims_dir()
    files = sorted(where.glob("test_*.py"))
    if not files:
        raise InvalidInput.of("folder", str(where), "hold claim files, test_*.py", "name the claims folder")
    claims: dict[str, Claim] = {}
    for file in files:
        claim = load_claim(file)
        if claim.id in claims:
            raise InvalidInput.of("id of a claim", claim.id, "occur once", f"rename the one in {file}")
        claims[claim.id] = claim
    return tuple(claims.values())


def load_claim(file: Path) -> Claim:
    """Return the claim of one file, as `load_claims`.

    Raises
    ------
    InvalidInput
        For a file without a `Claim`; what importing it raises passes.
    """
    claim = getattr(_module(file), "CLAIM", None)
    if not isinstance(claim, Claim):
        raise InvalidInput.of("CLAIM", claim, f"be a Claim in {file}", "define it at module level")
    return claim


def chosen_claims(names: Sequence[str] | None = None, folder: str | Path | None = None) -> list[Claim]:
    """Return claims by id, in the order of the folder; all of them where none is named.

    Raises
    ------
    InvalidInput
        For an id that no claim has, with the nearest ones.
    """
    known = {c.id: c for c in load_claims(folder)}
    for name in names or ():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise InvalidInput.of("claim", name, f"be one of {', '.join(known)}", f"{hint}choose one of them")
    return [c for c in known.values() if not names or c.id in names]


def find_claim(name: str, folder: str | Path = "") -> Claim:
    """Return one claim by id, of the package's own where no folder is given; errors as in `chosen_claims`."""
    return chosen_claims([name], folder or None)[0]


def _module(file: Path) -> ModuleType:
    """Import a claim file, or return it if it was imported before under whatever name.

    The same file is `claims.test_x` in a checkout and `diffclaims.claims.test_x` when installed, and
    pytest may have imported it already: importing it twice would make two claims of one.
    """
    file = file.resolve()
    for module in list(sys.modules.values()):
        known = getattr(module, "__file__", None)
        # A thousand modules: the end of the name is compared before a path is made of it.
        if isinstance(known, str) and known.endswith(file.name) and Path(known).resolve() == file:
            return module
    if file.parent == locate.package_claims_dir():
        return importlib.import_module(f"diffclaims.claims.{file.stem}")
    name = f"_diffclaims_claims_{abs(hash(str(file.parent))):x}_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise InvalidInput.of("file", str(file), "be a Python file", "name the claims folder")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
