"""Subjects that are wrong on purpose, and the claims that must reject them.

A check that nothing can fail says nothing. A mutant wraps a subject and spoils what it is asked or what it
answers, in one way each. It is caught by a claim when a case in the regime no longer holds, or a negative
control no longer comes out as it should, where the subject itself comes out as expected. A mutant that breaks
the contract of a subject must be stopped by `check_subject`, with the reason, before any claim is judged; it is
never reported as a claim that fails.

`TARGETS` says which claims must catch which mutant. A claim that cannot see a mutant is left out there, with
the reason beside it.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from diffclaims.api.case import Case, CaseResult, Role
from diffclaims.api.claim import Claim, load_claims
from diffclaims.api.subject import Subject
from diffclaims.api.verdict import Outcome
from diffclaims.errors import DiffclaimsError, InvalidInput, SubjectInvalid
from diffclaims.problem.experiment import Experiment
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.storage import paths as locate
from diffclaims.subjects import registry
from diffclaims.subjects.contract import PROBE, check_subject
from diffclaims.subjects.memo import Memo
from diffclaims.subjects.wrapper import Wrapper

Ask = Callable[[Experiment], Experiment]
#: ``(answer, experiment, ask) -> answer``; ``ask(experiment)`` is the subject's answer to another experiment.
Answer = Callable[[xr.Dataset, Experiment, Callable[[Experiment], xr.Dataset]], xr.Dataset]

#: Training size that a subject is stuck at which ignores the one it is asked for.
_STUCK_PSI_N = 4.0


def _same(experiment: Experiment) -> Experiment:
    return experiment


def _truthful(
    answer: xr.Dataset, experiment: Experiment, ask: Callable[[Experiment], xr.Dataset]
) -> xr.Dataset:
    return answer


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """One way to be wrong.

    Parameters
    ----------
    says : str
        What the mutant does.
    kinds : frozenset of str
        Which kinds of answers are spoiled: "curves", "speciation", "spectrum". The others are the subject's.
    question : callable ``(experiment) -> experiment``
        What the subject is asked instead.
    answer : callable ``(answer, experiment, ask) -> answer``
        What is answered instead.
    invalid : bool
        Whether it breaks the contract, so that the contract check must stop it.
    """

    says: str
    kinds: frozenset[str] = frozenset({"curves", "speciation", "spectrum"})
    question: Ask = _same
    answer: Answer = _truthful
    invalid: bool = False


class Mutant(Wrapper):
    """A subject that is wrong in one way.

    Parameters
    ----------
    subject : Subject
        Whose answers are spoiled.
    name : str
        A key of `MUTATIONS`.
    """

    def __init__(self, subject: Subject, name: str) -> None:
        if name not in MUTATIONS:
            raise InvalidInput.of("mutant", name, f"be one of {', '.join(MUTATIONS)}", "choose one of them")
        super().__init__(subject, name=f"{subject.name}-{name}")
        self.mutation = MUTATIONS[name]

    def learning_curves(self, experiment: Experiment) -> xr.Dataset:
        """As the subject's, spoiled."""
        return self._spoiled("curves", experiment, self.subject.learning_curves)

    def speciation(self, experiment: Experiment, diffusion_times: ArrayLike) -> xr.Dataset:
        """As the subject's, spoiled."""
        return self._spoiled(
            "speciation", experiment, lambda asked: self.subject.speciation(asked, diffusion_times)
        )

    def spectrum(self, experiment: Experiment) -> xr.Dataset:
        """As the subject's, spoiled."""
        return self._spoiled("spectrum", experiment, self.subject.spectrum)

    def _spoiled(
        self, kind: str, experiment: Experiment, ask: Callable[[Experiment], xr.Dataset]
    ) -> xr.Dataset:
        if kind not in self.mutation.kinds:
            return ask(experiment)
        return self.mutation.answer(ask(self.mutation.question(experiment)), experiment, ask)


# What the subject is asked instead.


def _with(experiment: Experiment, **changes: object) -> Experiment:
    m = experiment.mixture
    parts = {"weights": m.weights, "variances": m.variances, "centroid_gram": m.centroid_gram} | changes
    return experiment.replace(mixture=GaussianMixture(fractions=m.fractions, **parts))  # type: ignore[arg-type]


def _variances_exchanged(experiment: Experiment) -> Experiment:
    return _with(experiment, variances=experiment.mixture.variances[::-1])


def _centroids_exchanged(experiment: Experiment) -> Experiment:
    return _with(experiment, centroid_gram=experiment.mixture.centroid_gram[::-1, ::-1])


def _no_centroids(experiment: Experiment) -> Experiment:
    return _with(experiment, centroid_gram=None)


def _balanced(experiment: Experiment) -> Experiment:
    k = experiment.mixture.n_classes
    return _with(experiment, weights=np.full(k, 1 / k))


def _stuck_size(experiment: Experiment) -> Experiment:
    return experiment.replace(psi_n=_STUCK_PSI_N)


# What is answered instead. Class k of a reversed answer is class K - 1 - k of the true one; the labels stay.


def _reversed(dataset: xr.Dataset, names: Sequence[str] | None = None) -> xr.Dataset:
    out = dataset.copy(deep=True)
    for name in dataset.data_vars if names is None else names:
        for dim in ("class", "to_class"):
            if name in out and dim in out[name].dims:
                axis = out[name].get_axis_num(dim)
                out[name].values = np.flip(out[name].values, axis=axis)
    return out


def _labels_swapped(answer: xr.Dataset, experiment: Experiment, ask: object) -> xr.Dataset:
    return _reversed(answer)


def _times_shuffled(answer: xr.Dataset, experiment: Experiment, ask: object) -> xr.Dataset:
    """Every class's curves in another order of their times, the same in every run."""
    out = answer.copy(deep=True)
    for dim in ("training_time", "diffusion_time"):
        if dim not in answer.dims:
            continue
        # The first time stays: losses start at 1, or the contract check would stop it.
        n = answer.sizes[dim]
        labels = range(answer.sizes["class"])
        orders = [
            np.concatenate([[0], 1 + np.random.default_rng([int(experiment.key, 16), k]).permutation(n - 1)])
            for k in labels
        ]
        for name in answer.data_vars:
            if dim in answer[name].dims and "class" in answer[name].dims:
                parts = [
                    answer[name].isel({"class": k, dim: o}).drop_vars(dim)
                    for k, o in zip(labels, orders, strict=True)
                ]
                mixed = xr.concat(parts, dim="class").transpose(*answer[name].dims)
                out[name].values = mixed.values
    return out


def _floor_zero(answer: xr.Dataset, experiment: Experiment, ask: object) -> xr.Dataset:
    return answer.assign(bayes_loss=xr.zeros_like(answer.bayes_loss))


def _floors_exchanged(answer: xr.Dataset, experiment: Experiment, ask: object) -> xr.Dataset:
    return _reversed(answer, ["bayes_loss"])


def _constant(
    answer: xr.Dataset, experiment: Experiment, ask: Callable[[Experiment], xr.Dataset]
) -> xr.Dataset:
    """Whatever is asked: class 0 of the contract's probe, for every class."""
    fixed = ask(PROBE)
    k = answer.sizes["class"]
    out = xr.Dataset(attrs=fixed.attrs)
    for name, array in fixed.data_vars.items():
        one = array
        for dim in ("class", "to_class"):
            if dim in array.dims:
                one = one.isel({dim: 0}, drop=True).expand_dims({dim: k})
        out[name] = one.transpose(*array.dims).variable
        out[name].attrs = array.attrs
    own = {n: c for n, c in answer.coords.items() if set(c.dims) <= {"class", "to_class"}}
    rest = {n: c for n, c in fixed.coords.items() if not {"class", "to_class"} & set(c.dims) and n not in own}
    return out.assign_coords({**own, **rest})


def _no_memorization(answer: xr.Dataset, experiment: Experiment, ask: object) -> xr.Dataset:
    return answer.assign(train_loss=answer.test_loss.copy().assign_attrs(answer.train_loss.attrs))


def _beyond_chance(answer: xr.Dataset, experiment: Experiment, ask: object) -> xr.Dataset:
    """The normalised return probability where the raw one is asked for."""
    out = answer.copy(deep=True)
    weights = xr.DataArray(experiment.mixture.weights, dims="class")
    for name in ("return_probability", "commitment"):
        value = ((answer[name] - weights) / (1 - weights)).clip(0.0, 1.0)
        out[name].values = value.transpose(*answer[name].dims).values
    return out


_ENERGIES = ("population_energy", "training_energy", "bulk_population_energy", "bulk_training_energy")
_BY_CLASS = (*_ENERGIES, "bulk_training_log")


def _energies_exchanged(answer: xr.Dataset, experiment: Experiment, ask: object) -> xr.Dataset:
    return _reversed(answer, _BY_CLASS)


def _energies_pooled(answer: xr.Dataset, experiment: Experiment, ask: object) -> xr.Dataset:
    out = answer.copy(deep=True)
    for name in _BY_CLASS:
        if name in out:
            mean = answer[name].mean("class").broadcast_like(answer[name]).transpose(*answer[name].dims)
            out[name].values = mean.values
    return out


def _nan(answer: xr.Dataset, experiment: Experiment, ask: object) -> xr.Dataset:
    out = answer.copy(deep=True)
    for name in out.data_vars:
        if out[name].dtype.kind == "f" and out[name].ndim:
            out[name].values.flat[-1] = np.nan
    return out


def _nan_later(answer: xr.Dataset, experiment: Experiment, ask: object) -> xr.Dataset:
    """NaN where the contract check does not look."""
    return answer if experiment == PROBE else _nan(answer, experiment, ask)


def _wrong_dims(answer: xr.Dataset, experiment: Experiment, ask: object) -> xr.Dataset:
    return answer.rename({"class": "dim_0"})


def _percent(answer: xr.Dataset, experiment: Experiment, ask: object) -> xr.Dataset:
    out = answer.copy(deep=True)
    for name in ("test_loss", "train_loss", "bayes_loss", "return_probability", "commitment"):
        if name in out:
            out[name].values *= 100
    return out


_CURVES = frozenset({"curves"})
_SPECIATION = frozenset({"speciation"})
_SPECTRUM = frozenset({"spectrum"})

MUTATIONS: dict[str, Mutation] = {
    "labels-swapped": Mutation(says="the classes' answers under each other's labels", answer=_labels_swapped),
    "times-shuffled": Mutation(
        says="each class's curves in a random order of their times, the first excepted",
        answer=_times_shuffled,
    ),
    "variances-reversed": Mutation(
        says="answers as if the classes had each other's variances", question=_variances_exchanged
    ),
    "imbalance-ignored": Mutation(says="a balanced answer to an imbalanced question", question=_balanced),
    "speciation-unweighted": Mutation(
        says="speciation ignores the weights, learning does not", kinds=_SPECIATION, question=_balanced
    ),
    "chance-subtracted": Mutation(
        says="the normalised return probability in place of the raw one",
        kinds=_SPECIATION,
        answer=_beyond_chance,
    ),
    "centroids-ignored": Mutation(says="answers as if all centroids were zero", question=_no_centroids),
    "centroids-exchanged": Mutation(
        says="answers as if the classes had each other's centroids", question=_centroids_exchanged
    ),
    "size-ignored": Mutation(
        says=f"answers for psi_n = {_STUCK_PSI_N:g} whatever the training size", question=_stuck_size
    ),
    "floor-zero": Mutation(says="a loss floor of zero", kinds=_CURVES, answer=_floor_zero),
    "floors-exchanged": Mutation(
        says="the classes' loss floors under each other's labels", kinds=_CURVES, answer=_floors_exchanged
    ),
    "no-memorization": Mutation(
        says="the test loss in place of the training loss", kinds=_CURVES, answer=_no_memorization
    ),
    "constant": Mutation(says="one answer to everything, the same for every class", answer=_constant),
    "energies-exchanged": Mutation(
        says="the classes' energies in the spectrum under each other's labels",
        kinds=_SPECTRUM,
        answer=_energies_exchanged,
    ),
    "energies-pooled": Mutation(
        says="the mean energy of the classes for each of them", kinds=_SPECTRUM, answer=_energies_pooled
    ),
    "nan": Mutation(says="the last value of everything is NaN", answer=_nan, invalid=True),
    "nan-later": Mutation(
        says="the same, except in what the contract check asks", answer=_nan_later, invalid=True
    ),
    "wrong-dims": Mutation(says="the dimension class has no name", answer=_wrong_dims, invalid=True),
    "percent": Mutation(says="losses and probabilities in percent", answer=_percent, invalid=True),
}

_ORDERS = frozenset({"variance-order", "imbalance-reversal", "centroid-secondary", "uneven-memorization"})
_TIMES = _ORDERS | {"two-phases"}

#: Mutant -> claims that must catch it. An invalid mutant is aimed at all of them: none may judge it.
TARGETS: dict[str, frozenset[str]] = {
    # Not two-phases, which says the same of every class; not spectrum, whose two sides are swapped together.
    "labels-swapped": _ORDERS | {"minority-speciation"},
    "times-shuffled": _TIMES | {"spectrum", "minority-speciation"},
    # Not spectrum: curves and spectrum are those of another mixture, and agree where the claim holds of it.
    "variances-reversed": _ORDERS,
    "imbalance-ignored": frozenset({"imbalance-reversal", "uneven-memorization", "minority-speciation"}),
    "speciation-unweighted": frozenset({"minority-speciation"}),
    "chance-subtracted": frozenset({"minority-speciation"}),
    # Not variance-order: its statement holds without centroids too.
    "centroids-ignored": frozenset(
        {"centroid-secondary", "imbalance-reversal", "uneven-memorization", "minority-speciation"}
    ),
    "centroids-exchanged": frozenset({"centroid-secondary"}),
    "size-ignored": frozenset({"two-phases"}),
    "floor-zero": _TIMES,
    "floors-exchanged": _TIMES,
    # Not imbalance-reversal, which reads the times to generalize only.
    "no-memorization": frozenset(
        {"variance-order", "centroid-secondary", "uneven-memorization", "two-phases", "spectrum"}
    ),
    "constant": _TIMES | {"spectrum", "minority-speciation"},
    "energies-exchanged": frozenset({"spectrum"}),
    "energies-pooled": frozenset({"spectrum"}),
}


class _Listed:
    """A subject that is asked only for the experiments of one case.

    Claims record more of a subject that takes any mixture, for instance critical weights by root finding;
    a verdict does not need that.
    """

    def __init__(self, subject: Subject, case: Case) -> None:
        self.subject, self.case = subject, case
        self.name = subject.name
        self.tags = dataclasses.replace(subject.tags, gaussian=False)
        self.learning_curves = subject.learning_curves
        self.speciation = subject.speciation
        self.spectrum = subject.spectrum

    def experiments(self) -> Mapping[str, Experiment]:
        """Those of the case."""
        return self.case.experiments


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
        mutant = Mutant(self.subject, name)
        invalid = mutant.mutation.invalid
        if not invalid and claim.id not in TARGETS.get(name, frozenset()):
            return Finding(claim=claim.id, mutant=name, state="not targeted")
        if reason := self._breach(mutant, name):
            return Finding(claim=claim.id, mutant=name, state="invalid", reason=reason)
        refused, asked = "", False
        for case in sorted(claim.cases_for(self.subject), key=_cost):
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
    return claim.run(_Listed(subject, case), case)


def _cost(case: Case) -> tuple[float, bool]:
    """Centroids make neurons differ, which is what takes time; of equal cases the regime comes first."""
    cost = sum(3.0 if e.mixture.centroid_gram.any() else 1.0 for e in case.experiments.values())
    return cost, case.role is not Role.REGIME


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
    ascii_only = "utf" not in (getattr(sys.stdout, "encoding", None) or "").lower()
    claims = list(dict.fromkeys(f.claim for f in findings))
    mutants = list(dict.fromkeys(f.mutant for f in findings))
    at = {(f.mutant, f.claim): f for f in findings}
    number: dict[str, int] = {}
    table = Table(box=box.ASCII if ascii_only else box.SIMPLE_HEAD, padding=(0, 1))
    table.add_column("mutant", no_wrap=width >= _FULL_WIDTH, overflow="fold")
    for claim in claims:
        table.add_column(_broken(claim), overflow="fold")
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
        table.add_row(mutant, *cells)
    out = io.StringIO()
    console = Console(
        file=out,
        width=max(60, width),
        force_terminal=color,
        color_system="standard" if color else None,
        legacy_windows=False,
        highlight=False,
    )
    console.print(table)
    console.print(
        "caught: by the case named, where the subject itself comes out as expected; invalid: stopped by the "
        "contract check or by what reads the answers, judged by no claim; -: not aimed at this claim",
        markup=False,
    )
    for reason, index in number.items():
        console.print(f"[{index}] {reason}", markup=False)
    for mutant in mutants:
        console.print(f"{mutant}: {MUTATIONS[mutant].says}", markup=False)
    text_out = out.getvalue()
    return text_out.encode("ascii", "replace").decode() if ascii_only else text_out


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `diffclaims mutants` takes."""
    parser.add_argument("--claim", action="append", metavar="ID", help="only this claim; may be repeated")
    parser.add_argument("--mutant", action="append", metavar="NAME", help="only this mutant; may be repeated")
    parser.add_argument("--subject", default="theory", help="what the mutants wrap (theory)")
    parser.add_argument("--live", action="store_true", help="measure the subject even where that takes long")
    parser.add_argument("--calibration", action="store_true", help="print the recorded calibration as well")


def run(args: argparse.Namespace) -> int:
    """Print the grid; 1 when a mutant escapes a claim that it is aimed at, or is not stopped."""
    claims = {c.id: c for c in load_claims()}
    asked_claims = _chosen("--claim", args.claim, claims)
    asked_mutants = _chosen("--mutant", args.mutant, MUTATIONS)
    entries = registry.registered(locate.baselines_dir(), extra=[args.subject])
    hunt = Hunt(registry.load(registry.find(args.subject, entries), live=args.live))
    findings = []
    for claim in asked_claims:
        for mutant in asked_mutants:
            findings.append(hunt.find(claims[claim], mutant))
            if sys.stderr.isatty():
                print(f"\r{claim}, {mutant}: {findings[-1].state}\033[K", end="", file=sys.stderr)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
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
    """The recorded calibration, or how to make it."""
    from diffclaims.studies import calibrate as calibration

    found = calibration.records()
    if not found:
        return "no calibration is recorded; diffclaims calibrate makes it\n"
    return calibration.render(found, width=width)


def _chosen(option: str, asked: Sequence[str] | None, known: Mapping[str, object]) -> list[str]:
    for name in asked or ():
        if name not in known:
            raise InvalidInput.of(option, name, f"be one of {', '.join(known)}", "choose one of them")
    return [name for name in known if not asked or name in asked]
