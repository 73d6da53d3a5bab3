"""The claims under every definition of a time that a recording states.

A network has no one time at which a class is "generalized" or "memorized"; its recording states several, and the
first of each kind is the one that claims use. Here each of the others takes its place in turn, and every claim that
reads it is judged again. A verdict that changes says more about the definition than about learning.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from rich.console import Console

from diffclaims.api.claim import Claim, chosen_claims
from diffclaims.api.outcome import Effect
from diffclaims.api.subject import Subject, experiments_of
from diffclaims.errors import InvalidInput, NotMeasured
from diffclaims.problem.experiment import Experiment
from diffclaims.storage import paths as locate
from diffclaims.subjects import registry
from diffclaims.subjects.wrapper import Ask, Kind, Wrapper
from diffclaims.suite import grid
from diffclaims.suite.loading import Column
from diffclaims.suite.runner import Row, Runner
from diffclaims.times.definitions import DEFINITIONS, STATED

Change = Callable[[xr.Dataset], xr.Dataset]

#: What a recording holds of a second, later snapshot has this before its name.
LATE = "late_"
#: Heads what is read at another snapshot, not by another definition of a time.
TURNS = "U-turns"
#: Share of generated images that are copies.
COPIES = "copied_fraction"


class Redefined(Wrapper):
    """A subject whose recordings are read by another definition.

    Parameters
    ----------
    subject : Subject
        What is asked.
    definition : str
        Heads the column.
    curves, speciation : callable ``(dataset) -> dataset``
        Put the other definition in the place of the main one.
    """

    def __init__(
        self,
        subject: Subject,
        definition: str,
        *,
        curves: Change = lambda d: d,
        speciation: Change = lambda d: d,
    ) -> None:
        super().__init__(subject, name=f"{subject.name}-{definition.replace(' ', '-')}", title=definition)
        self._curves, self._speciation = curves, speciation

    def answer(self, kind: Kind, experiment: Experiment, ask: Ask, times: ArrayLike = ()) -> xr.Dataset:
        """As the subject's, under the definition."""
        change = {"curves": self._curves, "speciation": self._speciation}.get(kind)
        return ask(experiment) if change is None else change(ask(experiment))


def first(dim: str, label: str) -> Change:
    """Return the change that puts one label of a dimension first, where claims look."""

    def change(dataset: xr.Dataset) -> xr.Dataset:
        if dim not in dataset.dims:
            return dataset
        if label not in dataset[dim].values:
            raise NotMeasured(f"this recording states no time by {label!r}")
        others = [v for v in dataset[dim].values if v != label]
        return dataset.sel({dim: [label, *others]})

    return change


def later(dataset: xr.Dataset) -> xr.Dataset:
    """Return a speciation dataset with its later snapshot in the place of the first."""
    names = [str(n).removeprefix(LATE) for n in dataset.data_vars if str(n).startswith(LATE)]
    return dataset.assign({n: dataset[f"{LATE}{n}"].assign_attrs(dataset[n].attrs) for n in names})


def _recorded(subject: Subject, kind: Literal["curves", "speciation"]) -> dict[str, xr.Dataset]:
    """What a subject has recorded of one kind, by name; an experiment may have one kind and not the other."""
    found = {}
    for name, experiment in experiments_of(subject).items():
        with contextlib.suppress(NotMeasured):
            found[name] = (
                subject.learning_curves(experiment)
                if kind == "curves"
                else subject.speciation(experiment, np.empty(0))  # a recording has times of its own
            )
    return found


def redefined(subject: Subject) -> dict[str, list[Redefined]]:
    """Return a subject under each definition that its recordings state, by what is defined; the main one first.

    Parameters
    ----------
    subject : Subject
        One that lists what it measured, with datasets of its own definitions.

    Raises
    ------
    InvalidInput
        If its recordings state no times of their own.
    """
    curves = _recorded(subject, "curves").values()
    groups: dict[str, list[Redefined]] = {}
    for what, (variable, dim) in STATED.items():
        stated = [c for c in curves if dim and variable in c]
        if stated:
            groups[f"tau_{what}"] = [
                Redefined(subject, str(v), curves=first(dim, str(v))) for v in stated[0][dim].values
            ]
    if not groups:
        raise InvalidInput.of(
            "subject",
            subject.name,
            "state times by definitions of its own",
            "name recorded U-Nets, as unet-cpu; on the others claims read losses, at every threshold they name",
        )
    if any(str(n).startswith(LATE) for d in _recorded(subject, "speciation").values() for n in d.data_vars):
        groups[TURNS] = [
            Redefined(subject, "first snapshot"),
            Redefined(subject, "later snapshot", speciation=later),
        ]
    return groups


def judge(claims: Sequence[Claim], subjects: Sequence[Subject]) -> tuple[list[Column], list[Row]]:
    """Judge claims on subjects, without their baselines.

    Returns
    -------
    columns, rows
        As `grid.render` takes them.
    """
    runner = Runner(baselines_dir=locate.baselines_dir(), mode="off")
    columns = [Column.of(s) for s in subjects]
    rows = [
        runner.run(claim, case, column)[0]
        for claim in claims
        for column in columns
        for case in column.cases(claim)
    ]
    return columns, rows


def copies(subject: Subject) -> list[tuple[str, Effect]]:
    """Return, for each pair of classes, how much larger a share of the first one's samples are copies.

    Parameters
    ----------
    subject : Subject
        With ``copied_fraction(seed, sampler, sample_time, class)`` in its datasets; those without are left out.

    Returns
    -------
    list of (str, Effect)
        By experiment and sampler: the difference of the two fractions at the last sampled training time, over seeds.
    """
    found = []
    for name, curves in _recorded(subject, "curves").items():
        if COPIES not in curves or curves.sizes["class"] != 2:
            continue
        a, b = map(str, curves["class"].values)
        last = curves[COPIES].isel(sample_time=-1)
        for sampler in curves["sampler"].values:
            share = last.sel(sampler=sampler).transpose("seed", "class").values.astype(np.float64)
            # A class of which nothing was generated has no fraction.
            known = share[np.isfinite(share).all(axis=1)]
            if len(known):
                effect = Effect.from_samples(f"copies of {a} - {b}, {sampler}", known[:, 0] - known[:, 1])
                found.append((name, effect))
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``diffclaims definitions``."""
    parser.add_argument("subject", nargs="?", help="a subject that states its own times, as unet-cpu")
    parser.add_argument(
        "--list", action="store_true", help="print what each definition says, as without a subject"
    )
    parser.add_argument(
        "--claim", action="append", default=[], metavar="ID", help="only this claim (repeatable)"
    )


def run(args: argparse.Namespace) -> int:
    """Run ``diffclaims definitions``."""
    if args.list or args.subject is None:
        for definition in DEFINITIONS:
            print(f"tau_{definition.milestone}  {definition.name:<11} {definition.sentence}")
        return 0
    subject = registry.subject_of(args.subject, locate.baselines_dir())
    asked = [c for c in chosen_claims(args.claim) if c.cases_for(subject)]
    console = Console()
    for what, subjects in redefined(subject).items():
        reads = "speciation" if what == TURNS else "learning_curves"
        chosen = [c for c in asked if reads in c.measures]
        if not chosen:
            continue
        columns, rows = judge(chosen, subjects)
        console.print(f"{what}, by definition; the first is the one that claims use", highlight=False)
        print(grid.render(chosen, columns, rows, width=console.width, color=console.is_terminal))
    for name, effect in copies(subject) if not args.claim else ():
        console.print(f"{name}: {effect.sentence()}", highlight=False, markup=False, soft_wrap=True)
    return 0
