"""Every definition of a time of a watched training: its name, what it says, and how it is found.

The first of each milestone is the main one, which claims use. They are those of the monitor's states without what is
there for the sake of one measurement: no test against chance, which would call a class of few samples late, and no
choice of the level that shows most. The definitions are ours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from diffclaims.monitor.curves import ClassCurves
from diffclaims.times import definitions
from diffclaims.times.by_sample import excess
from diffclaims.times.definitions import Definition, Milestone
from diffclaims.times.networks import least

Floats = NDArray[np.float64]


def low(curves: ClassCurves) -> NDArray[np.bool_]:
    """Return which levels are the low ones: the lower half, where memorization lives."""
    n = curves.loss.shape[1]
    return np.asarray(np.arange(n) < (n + 1) // 2)


def best(curves: ClassCurves) -> float:
    """Return the step of least held-out loss, mean over levels of L/T; +inf if it still falls at the end."""
    after = curves.steps > 0
    return least(curves.steps[after], curves.relative_loss()[after])


def _learned(c: ClassCurves, w: Floats, v: Floats) -> Floats:
    return c.generalization(w)


def _excess(c: ClassCurves, w: Floats, v: Floats) -> Floats:
    return np.asarray(excess((c.loss @ w)[:, low(c)]).mean(axis=1))


def _gap(c: ClassCurves, w: Floats, v: Floats) -> Floats:
    return np.asarray(c.gap(w, v)[:, low(c)].mean(axis=1))


def _auc(c: ClassCurves, w: Floats, v: Floats) -> Floats:
    return np.asarray(c.auc(w, v)[:, low(c)].mean(axis=1))


_GAP = "held-out less training mean ln(L/W), mean over the low levels, reaches"
_AUC = "the AUC of ln(L/W), mean over the low levels, reaches"
DEFINITIONS = (
    Definition("learned_0.8", "gen", "the generalization P over all levels reaches 0.8", _learned, 0.8),
    Definition("learned_0.5", "gen", "the generalization P over all levels reaches 0.5", _learned, 0.5),
    Definition(
        "excess_0.2",
        "gen",
        "ln of the held-out loss over its least, low, falls to ln 1.2",
        _excess,
        -np.log(1.2),
    ),
    *(Definition(f"paired_gap_{x:g}", "mem", f"{_GAP} {x:g}", _gap, x) for x in (0.25, 0.1, 0.5)),
    *(Definition(f"paired_auc_{x:g}", "mem", f"{_AUC} {x:g}", _auc, x) for x in (0.75, 0.9)),
)


def of(milestone: Milestone) -> dict[str, Definition]:
    """Return the definitions of a milestone by name, the main one first."""
    return definitions.of(milestone, DEFINITIONS)


def sentences(milestone: Milestone) -> dict[str, str]:
    """Return what each definition of a milestone says, by name."""
    return definitions.sentences(milestone, DEFINITIONS)
