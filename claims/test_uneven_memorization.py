"""A model can memorize one class before it has learned another."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from diffclaims import (
    Case,
    Claim,
    Effect,
    Experiment,
    GaussianMixture,
    RandomFeatures,
    Role,
    Space,
    effects,
    pairs,
    space,
)

MODEL = RandomFeatures(psi_p=8, psi_n=4, diffusion_time=0.05)
#: Nine tenths of a few hundred images, rounded to whole images.
NINE_TENTHS = 0.895


def case(
    name: str,
    weight: float,
    ratio: float,
    norm2: float,
    psi_n: float = 4,
    **more: Any,
) -> Case:
    """Class 0, of higher variance, has the weight; centroids are orthogonal."""
    mixture = GaussianMixture([weight, 1 - weight], [ratio, 1.0], centroid_gram=[[norm2, 0.0], [0.0, norm2]])
    return Case.of(name, mixture, dataclasses.replace(MODEL, psi_n=psi_n), **more)


def judge(case: Case, data: Mapping[str, xr.Dataset]) -> Sequence[Effect]:
    """ln(tau_gen of the class left behind / tau_mem of the class memorized first): the interval's length."""
    curves = data["pair"]
    ahead = int(case.params.get("ahead", 0))
    behind = 1 - ahead
    stochastic = "seed" in curves.dims
    judged: list[Effect] = []
    lows, highs = (effects.levels_of(curves, milestone) for milestone in ("gen", "mem"))
    found = effects.log_times(curves, {"gen": lows, "mem": highs}, (behind, ahead))
    for low, high, (learned, _), (_, memorized) in zip(lows, highs, found["gen"], found["mem"], strict=True):
        interval = " to ".join(f"{np.exp(np.median(t.high)):.3g}" for t in (memorized, learned))
        judged.append(
            effects.effect(
                f"ln tau_gen(left behind) at {effects.shown(low)} / tau_mem(memorized) at {effects.shown(high)}",
                learned - memorized,
                stochastic=stochastic,
                detail=f"interval {interval}",
            )
        )
    return judged


def select(experiments: Mapping[str, Experiment]) -> Sequence[Case]:
    """Pairs on real data where the class of higher variance has at least nine tenths of the samples.

    Not pairs that are made to be judged together.
    """
    together = pairs.pooled(experiments)
    return [
        Case(name=name, experiments={"pair": e}, params={"ahead": int(e.mixture.class_variance.argmax())})
        for name, e in experiments.items()
        if e.mixture.n_classes == 2
        and e.mixture.weights[e.mixture.class_variance.argmax()] >= NINE_TENTHS
        and name not in together
    ]


def judge_point(case: Case, data: Mapping[str, xr.Dataset]) -> Sequence[Effect]:
    """As `judge`, at the thresholds that are asked for, with names that do not change from point to point."""
    curves = data["pair"]
    stochastic = "seed" in curves.dims
    judged: list[Effect] = []
    for low, high in space.paired_thresholds(case):
        ratio = effects.log_time(curves, "gen", low, 1) - effects.log_time(curves, "mem", high, 0)
        name = f"ln tau_gen(1) at {low:g} / tau_mem(0) at {high:g}"
        judged.append(effects.effect(name, ratio, stochastic=stochastic))
    return judged


def point(values: space.Values) -> Case:
    """Class 0, the majority, has the variance ratio."""
    return space.pair_case({**values, "minority_weight": 1 - values["minority_weight"]})


SPACE = Space(
    axes=(
        dataclasses.replace(space.VARIANCE_RATIO, default=4.0),
        dataclasses.replace(
            space.MINORITY_WEIGHT,
            default=0.05,
            about="weight of class 1, of variance 1 and not memorized first",
        ),
        dataclasses.replace(space.SEPARATION, default=float(np.sqrt(8.0))),
        *space.MODEL_AXES,
    ),
    regime=(
        {
            "variance_ratio": (4.0, 8.0),
            "minority_weight": (0.01, 0.05),
            # Squared norms of 4 to 8 per dimension.
            "centroid_separation": (float(np.sqrt(8.0)), 4.0),
            "psi_n": (2.0, 4.0),
        },
    ),
    build=point,
    effect="ln tau_gen(left behind)/tau_mem(memorized)",
    options={"threshold": ("all", "low", "middle", "high")},
    judge=judge_point,
)


CLAIM = Claim(
    id="uneven-memorization",
    says="Under strong imbalance there are training times at which one class is memorized while another has "
    "not generalized.",
    source="Nicoletti et al., arXiv:2605.06367",
    definitions=(
        "Memorized at a gap of 0.05, 0.1, 0.2, generalized at 0.3, 0.5, 0.7, paired weak with weak and strong "
        "with strong; the interval is [tau_mem, tau_gen]. All ours. On real data every pair counts whose class of "
        "higher variance has nine tenths of the samples: an example of what can be, not of what pairs do."
    ),
    regime=(
        "the class of higher variance (ratio 4 or more) has 0.95 of the samples or more, orthogonal centroids "
        "of squared norm 4 or more per dimension, psi_n up to 4"
    ),
    cases=(
        case("weight-0.95-ratio-4", 0.95, 4.0, 4.0),
        case("weight-0.95-ratio-8", 0.95, 8.0, 4.0),
        case("weight-0.95-ratio-4-fewer-samples", 0.95, 4.0, 4.0, psi_n=2),
        case(
            "balanced-ratio-2",
            0.5,
            2.0,
            0.0,
            role=Role.CONTROL,
            expect="fails",
            note="balanced and alike: both are generalized before either is memorized",
        ),
        case("weight-0.95-ratio-4-roles-swapped", 0.95, 4.0, 4.0).replace(
            role=Role.CONTROL,
            expect="fails",
            params={"ahead": 1},
            note="the rare class is not the one that is memorized early",
        ),
        case(
            "weight-0.95-equal-variances",
            0.95,
            1.0,
            4.0,
            role=Role.OUTSIDE,
            note="imbalance alone, without a variance ratio, leaves no such interval here",
        ),
        case(
            "balanced-ratio-8",
            0.5,
            8.0,
            4.0,
            psi_n=2,
            role=Role.OUTSIDE,
            note="a large variance ratio with few samples is enough even in balance: imbalance is not necessary",
        ),
    ),
    measures=frozenset({"learning_curves"}),
    rejects=frozenset(
        {
            "labels-swapped",
            "times-shuffled",
            "variances-reversed",
            "imbalance-ignored",
            "centroids-ignored",
            "floor-zero",
            "floors-exchanged",
            "no-memorization",
            "constant",
        }
    ),
    measure=space.measure_curves,
    judge=judge,
    select=select,
    takes="two classes of which the one of higher variance has nine tenths of the samples",
    space=SPACE,
)


def test_memorized_before_the_other_is_learned(claim_case: Any) -> None:
    claim_case.require()
