"""Every definition of a time of a trained network: its name, what it says, and how it is found.

Adding a definition is adding one entry to `DEFINITIONS`; whatever records, lists, judges or documents times
reads it here. The first of each milestone is the main one, which claims use; the order is that of the recordings.
The definitions are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from diffclaims.errors import InvalidInput
from diffclaims.times.by_sample import excess
from diffclaims.times.crossing import first_reached
from diffclaims.times.networks import EARLY, Curves, Floats

Milestone = Literal["gen", "best", "mem"]

#: Where a dataset states times by definitions of its own: variable, and the dimension of definitions,
#: of which the first is the one that claims use.
STATED: dict[Milestone, tuple[str, str]] = {
    "gen": ("tau_gen_by_definition", "gen_definition"),
    "best": ("tau_best_by_loss", ""),
    "mem": ("tau_mem_by_definition", "mem_definition"),
}


class Stepped(Protocol):
    """Curves of any kind."""

    @property
    def steps(self) -> Floats:
        """Steps of the measurements, increasing."""
        ...


@dataclass(frozen=True)
class Definition:
    """One definition of a time: of a recorded U-Net here, of a watched training in `diffclaims.runs.definitions`.

    Parameters
    ----------
    name : str
        As recordings and the command ``diffclaims definitions`` show it.
    milestone : {"gen", "mem"}
        Whether it says when a class is generalized or memorized.
    sentence : str
        The time at which ... ; goes into every recording.
    progress : callable ``(curves, ...) -> ndarray, shape (T,)``
        What rises while the network learns; (T, B) for curves that take B weights of the samples behind them.
    threshold : float
        What it must reach.
    """

    name: str
    milestone: Milestone
    sentence: str
    progress: Callable[..., Floats]
    threshold: float

    def time(self, curves: Curves) -> float:
        """Return the optimizer step, found in ln(step); +inf if not reached."""
        return float(self.times(curves))

    def times(self, curves: Stepped, *weights: Floats) -> Floats:
        """Return the same for each column of weights of the samples."""
        return first_reached(curves.steps, self.progress(curves, *weights), self.threshold)


def _isotropic(c: Curves) -> Floats:
    return c.at_low(c.iso())


def _excess(c: Curves) -> Floats:
    return c.at_low(excess(c.test_loss))


def _initial(c: Curves) -> Floats:
    first, best = c.initial, c.test_loss.min(axis=0)
    # A level that never gets below where it began was not learned at all.
    gain = np.where(first > best, first - best, np.inf)
    return c.at_low((first - c.test_loss) / gain)


def _absolute(c: Curves) -> Floats:
    return -c.at_low(c.absolute())


def _gap(c: Curves) -> Floats:
    return c.at_low(c.log_gap())


def _membership(c: Curves) -> Floats:
    return np.asarray(0.5 + c.membership_auc - c.membership_auc[:EARLY].mean())


DEFINITIONS = (
    Definition("iso_0.8", "gen", "(L_iso - L)/(L_iso - L_W) at low reaches 0.8", _isotropic, 0.8),
    Definition(
        "excess_0.2",
        "gen",
        "ln of the test loss over its least, at low, falls to ln 1.2",
        _excess,
        -np.log(1.2),
    ),
    Definition(
        "init_0.9",
        "gen",
        "(L_0 - L)/(L_0 - L_least) at low reaches 0.9, L_0 before training",
        _initial,
        0.9,
    ),
    Definition(
        "absolute",
        "gen",
        "L - L_W at low falls to 0.2 of the mean over classes of L_iso - L_W",
        _absolute,
        -0.2,
    ),
    Definition(
        "gap_0.25",
        "mem",
        "mean test minus mean training ln(L/L_W) at low, less its early mean, reaches 0.25",
        _gap,
        0.25,
    ),
    Definition("gap_0.1", "mem", "the same reaches 0.1", _gap, 0.1),
    Definition("gap_0.5", "mem", "the same reaches 0.5", _gap, 0.5),
    Definition(
        "auc_0.6",
        "mem",
        "0.5 plus the membership AUC of ln(L/L_W) at low less its early mean reaches 0.6",
        _membership,
        0.6,
    ),
    Definition("auc_0.75", "mem", "the same reaches 0.75", _membership, 0.75),
    Definition("auc_0.9", "mem", "the same reaches 0.9", _membership, 0.9),
)


def of(milestone: Milestone, among: Iterable[Definition] = DEFINITIONS) -> dict[str, Definition]:
    """Return the definitions of a milestone by name, the main one first."""
    return {d.name: d for d in among if d.milestone == milestone}


def find(milestone: Milestone, name: str) -> Definition:
    """Return one definition.

    Raises
    ------
    InvalidInput
        For an unknown name.
    """
    known = of(milestone)
    if name not in known:
        raise InvalidInput.of(milestone, name, f"be one of {', '.join(known)}", "choose one")
    return known[name]


def main(milestone: Milestone) -> str:
    """Return the name of the definition that claims use."""
    return next(iter(of(milestone)))


def sentences(milestone: Milestone, among: Iterable[Definition] = DEFINITIONS) -> dict[str, str]:
    """Return what each definition of a milestone says, by name."""
    return {name: d.sentence for name, d in of(milestone, among).items()}


def table(definitions: Iterable[Definition] = DEFINITIONS) -> str:
    """Return the definitions as a table in Markdown."""
    rows = [f"| `{d.name}` | `tau_{d.milestone}` | {d.sentence} |" for d in definitions]
    return "\n".join(["| name | of | time at which |", "|---|---|---|", *rows])
