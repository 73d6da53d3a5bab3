"""Sampling imbalance can reverse the order: a rare high-variance class is generalized later."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq

from diffclaims import (
    Case,
    Claim,
    Effect,
    Experiment,
    GaussianMixture,
    Null,
    RandomFeatures,
    Role,
    Space,
    Subject,
    effects,
    pairs,
    space,
)

MODEL = RandomFeatures(psi_p=8, psi_n=4, diffusion_time=0.05)
#: Weights of the higher-variance class, class 0.
WEIGHTS = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5)
#: Accuracy, in ln(weight), of the root that an exact subject is asked for.
ROOT_TOLERANCE = 3e-3


def case(
    name: str,
    variances: Sequence[float] | Sequence[Sequence[float]],
    *,
    gram: Sequence[Sequence[float]] | None = None,
    fractions: Sequence[float] = (1.0,),
    milestone: effects.Milestone = "gen",
    weights: Sequence[float] = WEIGHTS,
    **more: Any,
) -> Case:
    """One pair of classes at several weights of class 0."""
    mixtures = {
        f"weight={w:g}": GaussianMixture([w, 1 - w], variances, fractions, centroid_gram=gram)
        for w in weights
    }
    return Case.of(name, mixtures, MODEL, params={"milestone": milestone}, **more)


def measure(subject: Subject, case: Case) -> dict[str, xr.Dataset]:
    """ln(tau_low/tau_high) by threshold and weight, and for an exact subject the critical weights."""
    milestone: effects.Milestone = case.params["milestone"]  # type: ignore[assignment]
    ordered = sorted(case.experiments.values(), key=lambda e: float(e.mixture.weights[0]))
    curves = [subject.learning_curves(e) for e in ordered]
    levels = effects.levels_of(curves[0], milestone)
    found = list(zip(*(_leads(c, milestone, levels) for c in curves), strict=True))
    # Runs at one weight may have more seeds than at another; NaN where one was not run.
    seeds = np.unique([s for c in curves if "seed" in c.coords for s in c["seed"].values]).astype(np.int64)
    dims = ("threshold", "weight", "seed") if seeds.size else ("threshold", "weight")
    low, high = (
        np.array([[_in_order(v, side, seeds) for v in row] for row in found]) for side in ("low", "high")
    )
    error = np.array([[v.accuracy for v in row] for row in found])
    accuracy = {"accuracy": float(error.max())}
    leads = xr.Dataset(
        {
            "lead": (dims, low, accuracy),
            "lead_accuracy": (("threshold", "weight"), error, accuracy),
        },
        coords={
            "threshold": [effects.shown(level) for level in levels],
            "weight": [float(e.mixture.weights[0]) for e in ordered],
        },
        attrs={"long_name": "ln(tau_low/tau_high) by weight of class 0, of higher variance"},
    )
    if seeds.size:
        leads = leads.assign_coords(seed=seeds)
    if (low < high).any():
        leads["lead_at_most"] = (dims, high, accuracy)
    data = {"leads": leads}
    if subject.tags.exact and subject.tags.gaussian:
        data["critical"] = _critical_weights(subject, ordered[0], milestone, levels, leads)
    return data


def judge(case: Case, data: Mapping[str, xr.Dataset]) -> Sequence[Effect]:
    """Balanced, class 0 first; at its least weight, class 0 later; and monotone in between."""
    milestone = case.params["milestone"]
    leads = data["leads"].transpose("threshold", "weight", ...)
    stochastic = "seed" in leads.dims
    weights = leads["weight"].values
    judged: list[Effect] = []
    for i, level in enumerate(leads["threshold"].values):
        low, high = (
            leads[name].values[i].reshape(weights.size, -1)
            for name in ("lead", "lead_at_most" if "lead_at_most" in leads else "lead")
        )
        error = leads["lead_accuracy"].values[i]
        lead = [_measured(*v, leads) for v in zip(low, high, error, strict=True)]
        at = f"tau_{milestone} at {level}" if milestone != "best" else "tau_best"

        def add(name: str, value: effects.LogTime, detail: str = "") -> None:
            judged.append(effects.effect(name, value, stochastic=stochastic, detail=detail))

        add(f"{at}: ln tau(low)/tau(high) at weight {weights[-1]:g}", lead[-1])
        add(f"{at}: ln tau(high)/tau(low) at weight {weights[0]:g}", -lead[0], _critical(data, str(level)))
        for j in range(weights.size - 1):
            name = f"{at}: rise of ln tau(low)/tau(high) from weight {weights[j]:g}"
            add(name, lead[j + 1] - lead[j])
    return judged


def _leads(
    curves: xr.Dataset, milestone: effects.Milestone, levels: Sequence[float | str]
) -> list[effects.LogTime]:
    """ln(tau_low/tau_high) by seed at each level: above 0 the higher-variance class 0 is first."""
    return [low - high for low, high in effects.log_times(curves, {milestone: levels}, (1, 0))[milestone]]


def _in_order(lead: effects.LogTime, side: str, seeds: NDArray[np.int64]) -> NDArray[np.float64]:
    """One limit of a lead by all seeds; a number for an exact subject."""
    values = np.asarray(getattr(lead, side))
    if lead.seeds is None:
        return np.asarray(values[0])
    out = np.full(seeds.size, np.nan)
    out[np.searchsorted(seeds, lead.seeds)] = values
    return out


def _measured(
    low: NDArray[np.float64], high: NDArray[np.float64], error: float, leads: xr.Dataset
) -> effects.LogTime:
    """Undo `_in_order`."""
    if "seed" not in leads.coords:
        return effects.LogTime(low, high, error)
    there = ~np.isnan(low)
    return effects.LogTime(low[there], high[there], error, leads["seed"].values[there])


def _critical_weights(
    subject: Subject,
    base: Experiment,
    milestone: effects.Milestone,
    levels: Sequence[float | str],
    leads: xr.Dataset,
) -> xr.Dataset:
    """The weight pi* at which both classes are learned together, by root finding; 0 where there is none.

    The lead is interpolated between the weights that are known, and measured at the interpolant's root, until the
    root stays: each measurement serves all thresholds.
    """
    known = {float(np.log(w)): leads["lead"].values[:, i] for i, w in enumerate(leads["weight"].values)}

    def ask(log_weight: float) -> NDArray[np.float64]:
        if log_weight not in known:
            w = float(np.exp(log_weight))
            curves = subject.learning_curves(base.replace(mixture=base.mixture.reweighted([w, 1 - w])))
            known[log_weight] = np.array([lead.low[0] for lead in _leads(curves, milestone, levels)])
        return known[log_weight]

    roots, residuals = [], []
    for i in range(len(levels)):
        at, last = _interpolated_root(known, i), np.inf
        while at is not None and abs(at - last) > ROOT_TOLERANCE:
            last = at
            ask(at)
            at = _interpolated_root(known, i)
        roots.append(0.0 if at is None else float(np.exp(at)))
        residuals.append(0.0 if at is None else float(known[last][i]))
    return xr.Dataset(
        {
            "critical_weight": (("threshold",), roots, {"accuracy_relative": 2 * ROOT_TOLERANCE}),
            "residual": (("threshold",), residuals, {"accuracy": 2 * ROOT_TOLERANCE}),
        },
        coords={"threshold": [effects.shown(level) for level in levels]},
        attrs={"long_name": "weight of class 0 at which the order reverses; 0 where it does not"},
    )


def _interpolated_root(known: Mapping[float, NDArray[np.float64]], i: int) -> float | None:
    """Where the i-th lead, interpolated over log weight, rises through zero; None unless it does so once."""
    x = np.array(sorted(known))
    y = np.array([known[v][i] for v in x])
    rising = np.flatnonzero((y[:-1] < 0) & (y[1:] >= 0))
    if rising.size != 1 or not np.isfinite(y).all():
        return None
    low, high = x[rising[0]], x[rising[0] + 1]
    return float(brentq(PchipInterpolator(x, y), low, high, xtol=1e-3 * ROOT_TOLERANCE))


def _critical(data: Mapping[str, xr.Dataset], level: str) -> str:
    if "critical" not in data:
        return ""
    weight = float(data["critical"]["critical_weight"].sel(threshold=level))
    return f"pi* = {weight:.3f}" if weight else "no pi*"


def select(experiments: Mapping[str, Experiment]) -> Sequence[Case]:
    """Pairs on real data measured at several weights of the higher-variance class, 0.5 among them."""
    wanted = {}
    for name, e in experiments.items():
        m = e.mixture
        if m.n_classes == 2 and m.class_variance[0] >= 1.2 * m.class_variance[1] and m.weights[0] <= 0.51:
            wanted[name] = e
    groups = pairs.by_weights(wanted)
    return [
        Case(name=name, experiments=members, params={"milestone": "gen"})
        for name, members in groups.items()
        if len(members) > 1 and any(abs(e.mixture.weights[0] - 0.5) < 0.01 for e in members.values())
    ]


FAR_APART = [[4.0, 0.0], [0.0, 4.0]]


def explored(values: space.Values) -> Case:
    """The pair at all weights."""
    norm2 = values["centroid_separation"] ** 2 / 2
    return case("explored", [values["variance_ratio"], 1.0], gram=[[norm2, 0.0], [0.0, norm2]])


def judge_point(case: Case, data: Mapping[str, xr.Dataset]) -> Sequence[Effect]:
    """ln(tau_high/tau_low): above 0 where the order is reversed."""
    return space.order(data["pair"], case, first=1, names=("low", "high"))


SPACE = Space(
    axes=(
        dataclasses.replace(space.VARIANCE_RATIO, default=1.25),
        dataclasses.replace(space.MINORITY_WEIGHT, about="weight of the higher-variance class, class 0"),
        dataclasses.replace(space.SEPARATION, default=float(np.sqrt(8.0))),
        *space.MODEL_AXES,
    ),
    # Squared norms of 4 to 8 per dimension.
    regime=({"variance_ratio": (1.05, 1.25), "centroid_separation": (float(np.sqrt(8.0)), 4.0)},),
    explored=explored,
    build=space.pair_case,
    effect="ln tau(high)/tau(low), above 0 where reversed",
    options={"milestone": ("gen", "best", "mem"), "threshold": space.THRESHOLDS},
    measure=space.measure_curves,
    judge=judge_point,
)


CLAIM = Claim(
    id="imbalance-reversal",
    says="Sampling imbalance can reverse the order: below a critical weight the higher-variance class is "
    "generalized later.",
    source="Nicoletti et al., arXiv:2605.06367",
    definitions=(
        "tau_gen at 0.3, 0.5, 0.7; critical weight pi* where ln(tau_low/tau_high) = 0, for exact subjects by "
        "root finding. Monotone: that effects.effect rises with the weight of the higher-variance class. All ours. "
        "On real data every pair counts that was measured at several weights; the sentence says 'can', so that one "
        "is an example, and says nothing about pairs that nobody trained."
    ),
    regime=(
        "classes that the model can tell apart: orthogonal centroids of squared norm 4 or more per dimension, "
        "variance ratio up to 1.25"
    ),
    cases=(
        case("ratio-1.25-norms-4", [1.0, 0.8], gram=FAR_APART),
        case("ratio-1.1-norms-4", [1.1, 1.0], gram=FAR_APART, weights=(0.02, 0.1, 0.25, 0.5)),
        case(
            "no-centroids",
            [1.0, 0.8],
            role=Role.CONTROL,
            expect="fails",
            note="isotropic classes with one centroid: no weight reverses their order",
        ),
        case(
            "memorization",
            [1.0, 0.8],
            gram=FAR_APART,
            milestone="mem",
            role=Role.OUTSIDE,
            note="the memorization times of the same classes do not reverse at any weight tried",
        ),
        case(
            "best-stopping",
            [1.0, 0.8],
            gram=FAR_APART,
            milestone="best",
            role=Role.OUTSIDE,
            note="the best stopping times of the same classes do reverse, at a smaller weight",
        ),
        case(
            "ratio-1.5-norms-4",
            [1.5, 1.0],
            gram=FAR_APART,
            weights=(0.02, 0.1, 0.5),
            role=Role.OUTSIDE,
            note=(
                "at this variance ratio the same centroids do not reverse the order in high dimension, even at "
                "weight 0.02; at finite size, where that weight is a handful of samples, they do"
            ),
        ),
    ),
    measures=frozenset({"learning_curves"}),
    # Not no-memorization: it reads times to generalize only.
    rejects=frozenset(
        {
            "labels-swapped",
            "times-shuffled",
            "variances-reversed",
            "imbalance-ignored",
            "centroids-ignored",
            "floor-zero",
            "floors-exchanged",
            "constant",
        }
    ),
    null=Null(
        case=case("ratio-1.25-norms-4", [1.0, 0.8], gram=FAR_APART).equal_variances(),
        power="ratio-1.25-norms-4",
        why="equal variances and norms at every weight: no order in balance that could reverse",
        effects="at weight 0.5",
    ),
    measure=measure,
    judge=judge,
    select=select,
    takes="two classes at several weights of the one of higher variance (by 1.2 or more), equal weights among them",
    space=SPACE,
)


def test_rare_class_generalized_later(claim_case: Any) -> None:
    claim_case.require()
