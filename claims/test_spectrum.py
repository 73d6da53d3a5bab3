"""The class-resolved spectrum explains the times at which classes are memorized."""

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
    GaussianMixture,
    NotMeasured,
    RandomFeatures,
    Role,
    Space,
    Subject,
    effects,
    space,
)

MODEL = RandomFeatures(psi_p=64, psi_n=8, diffusion_time=0.01)


def case(
    name: str,
    mixture: GaussianMixture,
    model: RandomFeatures = MODEL,
    **more: Any,
) -> Case:
    return Case.of(name, mixture, model, **more)


def measure(subject: Subject, case: Case) -> dict[str, xr.Dataset]:
    experiment = case.experiments["pair"]
    bulks = subject.spectrum(experiment)
    # The densities on a grid are for looking at; the verdict needs the bulks.
    return {"curves": subject.learning_curves(experiment), "bulks": bulks.drop_dims("eigenvalue")}


def judge(case: Case, data: Mapping[str, xr.Dataset]) -> Sequence[Effect]:
    """ln of the ratio of predicted times along the order of tau_mem, and of tau_mem along that predicted."""
    bulks, curves = data["bulks"], data["curves"]
    predicted = predicted_log_times(bulks, case.experiments["pair"].model.kappa)
    sign = -1.0 if case.params.get("reverse") else 1.0
    judged: list[Effect] = []
    found = effects.log_times(curves, {"mem": effects.MEMORIZED_GAPS}, (1, 0))["mem"]
    for level, (of_one, of_zero) in zip(effects.MEMORIZED_GAPS, found, strict=True):
        ratio = of_one - of_zero
        measured = float(ratio.low[0])
        # A measured tie has no order to explain.
        known = abs(measured) > ratio.accuracy
        value = sign * np.sign(measured) * (predicted[1] - predicted[0]) if known else 0.0
        judged.append(
            Effect(
                name=f"predicted ln t(1)/t(0), along the order of tau_mem at {level:g}",
                detail=f"ln tau_mem(1)/tau_mem(0) = {measured:+.3f}",
                value=float(value),
                accuracy=float(bulks.attrs["accuracy"]) + 1e-6,
            )
        )
        order = float(predicted[1] - predicted[0])
        known = abs(order) > float(bulks.attrs["accuracy"]) + 1e-6
        judged.append(
            Effect(
                name=f"ln tau_mem(1)/tau_mem(0) at {level:g}, along the predicted order",
                value=sign * float(np.sign(order)) * measured if known else 0.0,
                accuracy=ratio.accuracy,
            )
        )
    return judged


def predicted_log_times(bulks: xr.Dataset, kappa: float) -> np.ndarray:
    """``ln 1/(kappa lambda_k)``, lambda_k the geometric mean over the training energy of class k that lies
    outside the generalization bulks."""
    outside = bulks["bulk_generalization"].values == 0
    energy = bulks["bulk_training_energy"].transpose("class", "bulk").values[:, outside].sum(axis=1)
    if not (energy > 0).all():
        raise NotMeasured(
            "a class has no training energy outside the generalization bulks: nothing predicts its time"
        )
    logs = bulks["bulk_training_log"].transpose("class", "bulk").values[:, outside].sum(axis=1)
    return np.asarray(-np.log(kappa) - logs / energy)


def judge_point(case: Case, data: Mapping[str, xr.Dataset]) -> Sequence[Effect]:
    """As `judge`; the measured times stay out of the names, which a map collects."""
    return [dataclasses.replace(e, name=e.name.partition(" (")[0]) for e in judge(case, data)]


SPACE = Space(
    axes=(
        space.VARIANCE_RATIO,
        space.MINORITY_WEIGHT,
        space.SEPARATION,
        dataclasses.replace(space.PSI_P, default=MODEL.psi_p),
        dataclasses.replace(space.PSI_N, default=MODEL.psi_n),
        dataclasses.replace(space.DIFFUSION_TIME, default=MODEL.diffusion_time),
    ),
    regime=(
        {
            "minority_weight": (0.1, 0.9),
            "variance_ratio": (1.2, 6.0),
            "psi_n": (4.0, 32.0),
            "diffusion_time": (0.01, 0.1),
        },
    ),
    build=space.pair_case,
    effect="predicted ln t(1)/t(0) along the measured order",
    judge=judge_point,
)


CLAIM = Claim(
    id="spectrum",
    says="The spectrum explains the times: a class is memorized in the order in which its training energy "
    "outside the generalization bulk lies in the spectrum.",
    source="the class-resolved spectrum is ours; the two bulks are those of arXiv:2505.17638",
    definitions=(
        "Predicted time of class k: 1/(kappa lambda_k), lambda_k the geometric mean eigenvalue of its training "
        "energy outside the bulks of the d uppermost modes. Effect: ln of the predicted ratio, positive when it "
        "agrees with the order of tau_mem at 0.05, 0.1 and 0.2; and ln of the ratio of tau_mem, positive along the "
        "predicted order. Ours."
    ),
    regime=(
        "isotropic classes with one centroid, weights of 0.1 to 0.9, variance ratio 1.2 to 6, psi_n of 4 to 32; with "
        "a rarer class of far higher variance it can fail"
    ),
    cases=(
        case("ratio-2", GaussianMixture([0.5, 0.5], [2.0, 1.0])),
        case("ratio-1.25", GaussianMixture([0.5, 0.5], [1.25, 1.0])),
        case("minority-of-higher-variance", GaussianMixture([0.1, 0.9], [2.0, 1.0])),
        case("majority-of-higher-variance", GaussianMixture([0.9, 0.1], [2.0, 1.0])),
        case(
            "directions-apart",
            GaussianMixture([0.3, 0.7], [[2.8, 0.2], [0.1, 0.9]], fractions=[0.5, 0.5]),
            role=Role.OUTSIDE,
            note="anisotropic, each class in directions of its own: the prediction is right here",
        ),
        case(
            "equal-classes",
            GaussianMixture([0.5, 0.5], [1.0, 1.0]),
            role=Role.CONTROL,
            expect="inconclusive",
            note="equal classes: no order, in the spectrum or in time",
        ),
        case(
            "ratio-2-order-reversed",
            GaussianMixture([0.5, 0.5], [2.0, 1.0]),
            role=Role.CONTROL,
            expect="fails",
            params={"reverse": 1},
            note="counted against the measured order it must fail",
        ),
        case(
            "more-variance-fewer-directions",
            GaussianMixture([0.5, 0.5], [[4.0, 0.1], [0.6, 0.6]], fractions=[0.2, 0.8]),
            role=Role.OUTSIDE,
            note=(
                "anisotropic: the memorization bulk predicts the class of higher variance first, but a fixed "
                "gap is met inside the generalization bulk, where that class lies in few directions and learns "
                "the rest late"
            ),
        ),
        case(
            "unequal-centroid-norms",
            GaussianMixture([0.5, 0.5], [1.0, 1.0], centroid_gram=[[1.0, 0.0], [0.0, 4.0]]),
            RandomFeatures(psi_p=8, psi_n=8, diffusion_time=0.1),
            role=Role.OUTSIDE,
            note=(
                "far centroids saturate the activation: the class of larger norm keeps more training energy "
                "outside the generalization bulk, at larger eigenvalues, yet its gap opens later because its "
                "linear response is small"
            ),
        ),
    ),
    measures=frozenset({"learning_curves", "spectrum"}),
    # Not labels-swapped, whose two sides are swapped together; nor variances-reversed, for curves and spectrum are
    # then those of another mixture, and agree where the claim holds of it.
    rejects=frozenset(
        {
            "times-shuffled",
            "no-memorization",
            "constant",
            "energies-exchanged",
            "energies-pooled",
        }
    ),
    measure=measure,
    judge=judge,
    space=SPACE,
)


def test_spectrum_orders_memorization(claim_case: Any) -> None:
    claim_case.require()
