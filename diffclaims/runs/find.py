"""Which folders below one hold trainings, and which of these are seeds of one experiment."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from diffclaims.errors import InvalidInput
from diffclaims.monitor.noise import Floats
from diffclaims.monitor.record import Record
from diffclaims.monitor.store import ABOUT
from diffclaims.problem.experiment import Experiment
from diffclaims.problem.names import Name, word
from diffclaims.runs.moments import experiment_of

#: A training that ended before this share of the steps of the longest one of its experiment was not finished.
FINISHED = 0.5
_FIX = 'train with Monitor(folder, ..., experiment="a name", training_seed=0), each training in a folder of its own'


@dataclass(frozen=True, eq=False)
class Run:
    """One training.

    Parameters
    ----------
    folder : path
    record : Record
    """

    folder: Path
    record: Record

    @cached_property
    def about(self) -> dict[str, Any]:
        """Which training it is."""
        return self.record.about

    @cached_property
    def steps(self) -> list[int]:
        """Steps that were measured."""
        return self.record.store.steps()

    @cached_property
    def traces(self) -> dict[int, Floats]:
        """Answers to fixed questions by step, of the weights that are trained."""
        found = {m.step: m.arrays.get("raw_trace") for m in self.record.measurements("raw")}
        return {step: t.astype(np.float64) for step, t in found.items() if t is not None}

    @property
    def seed(self) -> int:
        """Of the training."""
        return int(self.about["training_seed"])

    @property
    def counts(self) -> list[int]:
        """Training samples of each class."""
        return list(self.about["counts"]["train"])

    @cached_property
    def class_weights(self) -> list[float]:
        """Share of each class in what the training sees."""
        given = self.about.get("class_weights")
        return list(given) if given else (np.array(self.counts) / sum(self.counts)).tolist()

    @property
    def key(self) -> str:
        """What seeds of one experiment have in common."""
        about = self.about
        weights = [round(w, 6) for w in self.class_weights]
        parts = (
            about["experiment"],
            about["classes"],
            about["shape"],
            self.counts,
            weights,
            about["n_parameters"],
        )
        return json.dumps(parts)


@dataclass(frozen=True, eq=False)
class Group:
    """One experiment.

    Parameters
    ----------
    name : str
    runs : list of Run
        Its seeds, by seed.
    order : list of int
        Position in a run of each class of the experiment.
    left_out : dict of str to str
        Folders that do not count, and why.
    """

    name: str
    runs: list[Run]
    order: list[int]
    left_out: dict[str, str] = field(default_factory=dict)

    @cached_property
    def classes(self) -> list[Name]:
        """Names of the classes, in the experiment's order."""
        return [self.runs[0].about["classes"][k] for k in self.order]

    @cached_property
    def class_weights(self) -> list[float]:
        """Shares of the classes, in the experiment's order."""
        return [self.runs[0].class_weights[k] for k in self.order]

    @cached_property
    def counts(self) -> list[int]:
        """Training samples of the classes, in the experiment's order."""
        return [self.runs[0].counts[k] for k in self.order]

    @property
    def seeds(self) -> list[int]:
        """Of the trainings."""
        return [run.seed for run in self.runs]

    @cached_property
    def weights(self) -> str:
        """Whose measurements count: averaged weights where every training measured them to its end."""
        return "ema" if all(r.record.weights(None) == "ema" for r in self.runs) else "raw"

    @cached_property
    def experiment(self) -> Experiment:
        """What claims see of it."""
        return experiment_of(
            [run.record for run in self.runs],
            self.order,
            self.class_weights,
            str(self.runs[0].about["experiment"]),
        )


def find(folder: str | os.PathLike[str]) -> tuple[list[Group], dict[str, str]]:
    """Return the experiments whose trainings lie below a folder, and the folders that do not count, with the reason.

    Raises
    ------
    InvalidInput
        For a folder without trainings, a training that does not say which it is, and a seed that comes twice.
    """
    base = Path(folder)
    if not base.is_dir():
        fix = "name the folder that holds those of your monitors"
        raise InvalidInput.of("folder of runs", str(folder), "be a folder that exists", fix)
    found = [Run(path.parent, Record(path.parent)) for path in sorted(base.rglob(ABOUT))]
    empty = {str(r.folder): "nothing was measured" for r in found if not r.steps}
    runs = [r for r in found if r.steps]
    if not runs:
        limit = "hold trainings that a diffclaims.Monitor watched, in folders below it"
        raise InvalidInput.of("folder of runs", str(folder), limit, _FIX)
    unnamed = [r for r in runs if r.about.get("experiment") is None or r.about.get("training_seed") is None]
    if unnamed:
        limit = f"say which experiment and which seed it is; {len(unnamed)} of {len(runs)} do not"
        raise InvalidInput.of("training", str(unnamed[0].folder), limit, _FIX)
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.key, []).append(run)
    made: list[Group] = []
    for members in groups.values():
        longest = max(r.steps[-1] for r in members)
        done = [r for r in members if r.steps[-1] >= FINISHED * longest]
        left = {
            str(r.folder): f"it ends at step {r.steps[-1]}, others at {longest}"
            for r in members
            if r not in done
        }
        _refuse_twice(done)
        group = Group("", sorted(done, key=lambda r: r.seed), list(range(len(done[0].counts))), left)
        made.append(group)
    named = _named(_ordered(made))
    return named, empty | {k: v for g in named for k, v in g.left_out.items()}


def _refuse_twice(runs: Sequence[Run]) -> None:
    first: dict[int, Run] = {}
    for run in runs:
        if other := first.setdefault(run.seed, run):
            if other is run:
                continue
            limit = f"come once in an experiment; {other.folder} and {run.folder} both have it"
            raise InvalidInput.of(
                "training_seed", run.seed, limit, "move one of them away, or give it its own seed"
            )


def _ordered(groups: list[Group]) -> list[Group]:
    """Put two classes in one order in all experiments of a name: the one that is rarer first, then by variance.

    Claims that compare weights of a class expect it in front.
    """
    out = []
    for group in groups:
        if len(group.order) == 2:
            same = [g for g in groups if _family(g) == _family(group)]
            weight = np.mean([g.runs[0].class_weights for g in same], axis=0)
            variance = np.mean([g.experiment.mixture.class_variance for g in same], axis=0)
            rarer = abs(weight[0] - weight[1]) > 0.01
            turn = weight[0] > weight[1] if rarer else variance[0] < variance[1]
            group = Group(group.name, group.runs, [1, 0] if turn else [0, 1], group.left_out)
        out.append(group)
    return out


def _family(group: Group) -> str:
    about = group.runs[0].about
    return json.dumps((about["experiment"], about["classes"], about["shape"]))


def _named(groups: list[Group]) -> list[Group]:
    out: list[Group] = []
    for group in groups:
        shares = (
            ""
            if np.ptp(group.class_weights) < 0.01
            else "-".join(f"{w:.3g}" for w in group.class_weights[:3])
        )
        base = (
            word(str(group.runs[0].about["experiment"]))
            + f"-n{sum(group.counts)}"
            + (f"-w{shares}" if shares else "")
        )
        taken = [g.name for g in out]
        name = next(n for n in (base, *(f"{base}-{i}" for i in range(2, len(groups) + 2))) if n not in taken)
        out.append(Group(name, group.runs, group.order, group.left_out))
    return out
