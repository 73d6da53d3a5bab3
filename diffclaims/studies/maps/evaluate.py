"""Points of a map, and lines of it searched for the boundary: all that workers are sent.

Both take and return plain values, so that a record survives as JSON and a worker needs
nothing but this package.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.optimize.elementwise import find_root

from diffclaims.api.case import Case
from diffclaims.api.claim import Claim
from diffclaims.api.outcome import Outcome
from diffclaims.api.space import Space
from diffclaims.api.subject import Subject
from diffclaims.api.verdict import Verdict
from diffclaims.errors import DiffclaimsError, InvalidInput, NotMeasured, SolveFailed
from diffclaims.problem.experiment import Experiment
from diffclaims.studies.maps.plan import Plan
from diffclaims.subjects.memo import identity
from diffclaims.subjects.theory import Theory
from diffclaims.subjects.wrapper import Ask, Kind, Wrapper

Floats = NDArray[np.float64]
#: Two values of an axis, and the margins there, of opposite sign.
Bracket = tuple[float, float, float, float]

#: Accuracy of the losses for `theory` where none is asked for: a picture needs no more.
ACCURACY = 1e-3
#: Training times of a curve, interpolated between.
N_TIMES = 60
#: Width to which a root is found, as a share of its axis.
TOLERANCE = 1e-3
#: Points that `theory` solves together.
TOGETHER = 16


def subject_of(plan: Plan) -> Subject:
    """Return the subject of a map.

    Raises
    ------
    InvalidInput
        For an unknown subject, one that takes no Gaussian mixture or cannot measure what the claim
        needs, or an accuracy asked of another subject than `theory`.
    """
    from diffclaims.subjects import registry

    if plan.subject == "theory":
        return Theory(accuracy=plan.accuracy or ACCURACY, n_times=N_TIMES)
    if plan.accuracy is not None:
        raise InvalidInput.of(
            "accuracy", plan.accuracy, "be left out for other subjects than theory", "drop it"
        )
    subject = registry.subject_of(plan.subject, live=True)
    needed = plan.loaded_claim.measures
    if not subject.tags.gaussian or not needed <= subject.tags.measures:
        raise InvalidInput.of(
            "subject",
            plan.subject,
            f"take any Gaussian mixture and measure {', '.join(sorted(needed))}",
            "choose another one",
        )
    return subject


def block_size(plan: Plan) -> int:
    """Return how many points of a map are measured together: of other subjects than `theory` each takes long."""
    return TOGETHER if plan.subject == "theory" else 1


@functools.lru_cache(maxsize=4)
def _tools(plan_json: str) -> tuple[Plan, Claim, Space, Subject]:
    plan = Plan.from_json(plan_json)
    return plan, plan.loaded_claim, plan.axes, subject_of(plan)


def evaluate_points(plan_json: str, points: Sequence[dict[str, float]]) -> list[dict[str, Any]]:
    """Measure and judge several points.

    Parameters
    ----------
    plan_json : str
        As `Plan.to_json` gives it.
    points : sequence of dict
        Value of every axis of the map.

    Returns
    -------
    list of dict
        ``margin`` (the least of all effects), ``uncertainty`` (how far beyond zero it counts as
        decided), ``verdict`` (of all effects), ``effect`` (name of the one with that margin) and, for
        what could not be measured, ``reason``.
    """
    plan, claim, axes, subject = _tools(plan_json)
    numbers = {k: float(v) for k, v in plan.at.items() if k not in axes.options}
    choices = {k: str(v) for k, v in plan.at.items() if k in axes.options}
    cases = [axes.point({**numbers, **values}, choices) for values in points]
    if isinstance(subject, Theory) and "learning_curves" in claim.measures and len(cases) > 1:
        subject = Asked(subject, [e for case in cases for e in case.experiments.values()])
    return [_judged(claim, axes, subject, case) for case in cases]


def evaluate_point(plan_json: str, values: dict[str, float]) -> dict[str, Any]:
    """Measure and judge one point, as `evaluate_points`."""
    return evaluate_points(plan_json, [values])[0]


def _judged(claim: Claim, axes: Space, subject: Subject, case: Case) -> dict[str, Any]:
    try:
        data = (axes.measure or claim.measure)(subject, case)
        effects = (axes.judge or claim.judge)(case, data)
    except (NotMeasured, SolveFailed) as error:
        return {"margin": math.nan, "uncertainty": math.nan, "verdict": str(Outcome.NOT_RUN), "effect": "",
                "reason": str(error)}  # fmt: skip
    worst = min(effects, key=lambda e: e.margin)
    return {
        "margin": worst.margin,
        "uncertainty": worst.bar,
        "verdict": str(Verdict(effects).outcome),
        "effect": worst.name,
    }


class Asked(Wrapper):
    """`theory` with learning curves that were solved together; others are solved when they are asked for.

    Parameters
    ----------
    subject : Theory
    experiments : sequence of Experiment
        Those that will be asked for.
    """

    def __init__(self, subject: Theory, experiments: Sequence[Experiment]) -> None:
        super().__init__(subject)
        found = subject.several_learning_curves(experiments)
        self._known = {identity(one): answer for one, answer in zip(experiments, found, strict=True)}

    def answer(self, kind: Kind, experiment: Experiment, ask: Ask, times: ArrayLike = ()) -> xr.Dataset:
        """As the subject's."""
        known = self._known.get(identity(experiment)) if kind == "curves" else None
        if known is None:
            return ask(experiment)
        if isinstance(known, DiffclaimsError):
            raise known
        return known


def find_boundaries(
    plan_json: str, lines: Sequence[tuple[dict[str, float], list[Bracket]]]
) -> list[dict[str, Any]]:
    """Find where the margin changes sign along some of the plan's lines; a step is made on all of them at once.

    Parameters
    ----------
    plan_json : str
        As `Plan.to_json` gives it.
    lines : sequence of (values of the other axes, list of (low, high, margin at low, margin at high))
        Neighbouring values along each line with margins of opposite sign.

    Returns
    -------
    list of dict
        ``crossings``: a list of ``value``, ``uncertainty`` (of the value: the margin's own, over its
        slope, and the bracket that is left) and ``rising`` (whether the margin grows with the
        value); ``evaluations``.
    """
    line = Plan.from_json(plan_json).line
    owners = [i for i, (_, brackets) in enumerate(lines) for _ in brackets]
    known = [
        {line.to_scale(low): (margin_low, math.nan), line.to_scale(high): (margin_high, math.nan)}
        for _, brackets in lines
        for low, high, margin_low, margin_high in brackets
    ]
    ends = [(min(of), max(of)) for of in known]

    def ask(u: Floats, which: Floats) -> Floats:
        at = [(int(j), float(x)) for j, x in zip(which, u, strict=True)]
        new = [(j, x) for j, x in at if x not in known[j]]
        points = [{**lines[owners[j]][0], line.name: line.from_scale(x)} for j, x in new]
        for (j, x), found in zip(new, evaluate_points(plan_json, points), strict=True):
            known[j][x] = (found["margin"], found["uncertainty"])
        return np.array([_bounded(known[j][x][0]) for j, x in at])

    tolerance = TOLERANCE * line.span
    low, high = np.array(ends).T
    found = find_root(
        ask, (low, high), args=(np.arange(len(known)),), tolerances={"xatol": tolerance, "xrtol": 0.0}
    )
    records: list[dict[str, Any]] = [{"crossings": [], "evaluations": 0} for _ in lines]
    for j, root in enumerate(np.where(found.success, found.x, np.nan).tolist()):
        crossing = _crossing(known[j], ends[j], root, tolerance, line.from_scale)
        records[owners[j]]["crossings"].append(crossing)
        records[owners[j]]["evaluations"] += len(known[j]) - 2
    return records


def _bounded(margin: float) -> float:
    # A time that is never reached makes an infinite margin: squeezed, it still has a sign.
    return math.copysign(1.0, margin) if math.isinf(margin) else margin / (1.0 + abs(margin))


def _crossing(
    known: dict[float, tuple[float, float]],
    ends: tuple[float, float],
    root: float,
    tolerance: float,
    back: Callable[[float], float],
) -> dict[str, Any]:
    """Describe a root among the margins, and their bars, that were measured on the way to it."""
    rising = known[ends[0]][0] < known[ends[1]][0]
    if math.isnan(root):
        return {"value": math.nan, "uncertainty": math.nan, "rising": rising}
    below = [u for u in known if (known[u][0] > 0) != rising]
    above = [u for u in known if (known[u][0] > 0) == rising]
    a, b = max(below), min(above)
    (margin_a, bar_a), (margin_b, bar_b) = known[a], known[b]
    bars = [bar for bar in (bar_a, bar_b) if math.isfinite(bar)]
    slope = abs(margin_b - margin_a) / abs(b - a) if a != b else math.inf
    moved = max(bars) / slope if bars and 0 < slope < math.inf else 0.0
    half = moved + tolerance
    value = back(root)
    return {"value": value, "uncertainty": abs(back(root + half) - back(root - half)) / 2, "rising": rising}
