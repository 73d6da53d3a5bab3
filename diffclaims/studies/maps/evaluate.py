"""One point of a map, and one line of it searched for the boundary: all that workers are sent.

Both take and return plain values, so that a record survives as JSON and a worker needs
nothing but this package.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import xarray as xr
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from diffclaims.api.case import Case
from diffclaims.api.claim import Claim
from diffclaims.api.outcome import Outcome
from diffclaims.api.space import Space
from diffclaims.api.subject import Subject
from diffclaims.api.verdict import Verdict
from diffclaims.errors import DiffclaimsError, InvalidInput, NotMeasured, SolveFailed
from diffclaims.problem.experiment import Experiment
from diffclaims.studies.maps.plan import Plan
from diffclaims.subjects.theory import Theory
from diffclaims.subjects.wrapper import Ask, Kind, Wrapper

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
        self._known = {_name(one): answer for one, answer in zip(experiments, found, strict=True)}

    def answer(self, kind: Kind, experiment: Experiment, ask: Ask, times: ArrayLike = ()) -> xr.Dataset:
        """As the subject's."""
        known = self._known.get(_name(experiment)) if kind == "curves" else None
        if known is None:
            return ask(experiment)
        if isinstance(known, DiffclaimsError):
            raise known
        return known


def _name(experiment: Experiment) -> tuple[object, ...]:
    # Two callables may share a name, so that the key of an experiment does not tell them apart.
    return experiment.key, experiment.model.activation


def find_boundary(
    plan_json: str, fixed: dict[str, float], brackets: list[tuple[float, float, float, float]]
) -> dict[str, Any]:
    """Find where the margin changes sign along the plan's line.

    Parameters
    ----------
    plan_json : str
        As `Plan.to_json` gives it.
    fixed : dict
        Values of the other axes.
    brackets : list of (low, high, margin at low, margin at high)
        Neighbouring values along the line with margins of opposite sign.

    Returns
    -------
    dict
        ``crossings``: a list of ``value``, ``uncertainty`` (of the value: the margin's own, over its
        slope, and half the bracket that is left) and ``rising`` (whether the margin grows with the
        value); ``evaluations``.
    """
    line = Plan.from_json(plan_json).line
    count = 0
    crossings = []
    for low, high, margin_low, margin_high in brackets:
        known = {line.to_scale(low): (margin_low, math.nan), line.to_scale(high): (margin_high, math.nan)}

        def ask(u: float, known: dict[float, tuple[float, float]] = known) -> float:
            nonlocal count
            if u not in known:
                count += 1
                found = evaluate_point(plan_json, {**fixed, line.name: line.from_scale(u)})
                known[u] = (found["margin"], found["uncertainty"])
            return known[u][0]

        crossings.append(_cross(ask, known, min(known), max(known), TOLERANCE * line.span, line.from_scale))
    return {"crossings": crossings, "evaluations": count}


def _cross(
    ask: Callable[[float], float],
    known: dict[float, tuple[float, float]],
    low: float,
    high: float,
    tolerance: float,
    back: Callable[[float], float],
) -> dict[str, Any]:
    def bounded(u: float) -> float:
        # A time that is never reached makes an infinite margin: squeezed, it still has a sign.
        margin = ask(u)
        if math.isnan(margin):
            raise _Unmeasured
        return math.copysign(1.0, margin) if math.isinf(margin) else margin / (1.0 + abs(margin))

    rising = known[low][0] < known[high][0]
    try:
        root = float(brentq(bounded, low, high, xtol=tolerance))
        ask(root)
    except _Unmeasured:
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


class _Unmeasured(Exception):
    """The margin could not be measured on the way to the root."""
