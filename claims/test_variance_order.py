"""Balanced classes: the one with the higher variance is learned first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pytest
import xarray as xr

from diffclaims.api import space as axes
from diffclaims.api.case import Case, Role
from diffclaims.api.claim import Claim
from diffclaims.api.effects import order_effects
from diffclaims.api.subject import Subject
from diffclaims.api.verdict import Effect, Outcome
from diffclaims.problem.experiment import Experiment
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

MODEL = RandomFeatures(psi_p=8, psi_n=4, diffusion_time=0.05)

#: Variance ratios on real data below this are ties, above it are an order to be checked. Ours.
DISTINCT = 1.2


def case(name: str, mixture: GaussianMixture, **more: object) -> Case:
    """Class 0 is the one that the claim puts first."""
    return Case(name=name, experiments={"pair": Experiment(mixture=mixture, model=MODEL)}, **more)  # type: ignore[arg-type]


def measure(subject: Subject, case: Case) -> dict[str, xr.Dataset]:
    return {"pair": subject.learning_curves(case.experiments["pair"])}


def judge(case: Case, data: Mapping[str, xr.Dataset]) -> Sequence[Effect]:
    """ln(tau_low/tau_high) for generalization, best stopping and memorization."""
    first = int(case.params.get("first", 0))
    return order_effects(data["pair"], first=first, later=1 - first, names=("high", "low"))


def strategy() -> SearchStrategy[Case]:
    """Two balanced isotropic classes with one centroid, variance ratio 1.1 to 8."""
    from hypothesis import strategies as st

    def build(ratio: float, scale: float, psi_p: float, psi_n: float, time: float) -> Case:
        model = RandomFeatures(psi_p=psi_p, psi_n=psi_n, diffusion_time=time)
        mixture = GaussianMixture([0.5, 0.5], [ratio * scale, scale])
        return Case(name="explored", experiments={"pair": Experiment(mixture=mixture, model=model)})

    return st.builds(
        build,
        ratio=st.floats(1.1, 8.0),
        scale=st.floats(0.3, 2.0),
        psi_p=st.floats(4.0, 32.0),
        psi_n=st.floats(2.0, 16.0),
        time=st.floats(0.01, 0.2),
    )


def select(experiments: Mapping[str, Experiment]) -> Sequence[Case]:
    """Balanced pairs on real data: an order where total variances differ, a tie where they were made equal."""
    cases = []
    for name, e in experiments.items():
        m = e.mixture
        if m.n_classes != 2 or abs(m.weights[0] - 0.5) > 0.01:
            continue
        ratio = float(m.class_variance.max() / m.class_variance.min())
        first = int(m.class_variance.argmax())
        role = Role.REGIME if ratio >= DISTINCT else Role.CONTROL
        cases.append(Case(name=name, experiments={"pair": e}, role=role, params={"first": first}))
    return cases


def judge_point(case: Case, data: Mapping[str, xr.Dataset]) -> Sequence[Effect]:
    return axes.order(data["pair"], case, names=("high", "low"))


AXES = axes.Axes(
    axes=(axes.VARIANCE_RATIO, axes.MINORITY_WEIGHT, axes.SEPARATION, *axes.MODEL_AXES),
    build=lambda values: Case(name="point", experiments={"pair": axes.pair(values)}),
    effect="ln tau(low)/tau(high)",
    options={"milestone": axes.MILESTONES, "threshold": ("all", "low", "middle", "high")},
    judge=judge_point,
)


CLAIM = Claim(
    id="variance-order",
    says="With balanced classes, the class of higher variance is learned first.",
    source="Nicoletti et al., arXiv:2605.06367",
    definitions=(
        "Learned: generalized (thresholds 0.3, 0.5, 0.7), best stopping, memorized (0.05, 0.1, 0.2), all "
        "three; the thresholds and times are ours. Effect: ln(tau_low/tau_high), the least of all."
    ),
    regime="two balanced isotropic classes, variance ratio 1.1 or more, centroids of equal norm",
    cases=(
        case("ratio-1.25", GaussianMixture([0.5, 0.5], [1.25, 1.0])),
        case("ratio-2", GaussianMixture([0.5, 0.5], [2.0, 1.0])),
        case("ratio-4", GaussianMixture([0.5, 0.5], [2.0, 0.5])),
        case(
            "ratio-2-distinct-centroids",
            GaussianMixture([0.5, 0.5], [2.0, 1.0], centroid_gram=[[1.0, 0.0], [0.0, 1.0]]),
        ),
        case(
            "equal-variances",
            GaussianMixture([0.5, 0.5], [1.0, 1.0]),
            role=Role.CONTROL,
            expect=frozenset({Outcome.INCONCLUSIVE}),
            note="nothing differs: a tie",
        ),
        case(
            "labels-swapped",
            GaussianMixture([0.5, 0.5], [1.0, 2.0]),
            role=Role.CONTROL,
            expect=frozenset({Outcome.FAILS}),
            note="the order follows the variance, not the position",
        ),
        case(
            "same-variance-more-directions",
            GaussianMixture([0.5, 0.5], [[1.0, 1.0], [1.9, 0.1]], fractions=[0.5, 0.5]),
            role=Role.OUTSIDE,
            note=(
                "anisotropic: equal total variance, yet there is an order; the class that spreads over more "
                "directions (effective dimension 1 against 0.55) comes first"
            ),
        ),
        case(
            "more-variance-fewer-directions",
            GaussianMixture([0.5, 0.5], [[4.0, 0.1], [0.6, 0.6]], fractions=[0.2, 0.8]),
            role=Role.OUTSIDE,
            note=(
                "anisotropic: the class of higher total variance (0.88 against 0.6) comes later, because it "
                "lies in a fifth of the directions (effective dimension 0.24 against 1): effective dimension "
                "decides against total variance"
            ),
        ),
    ),
    measures=frozenset({"learning_curves"}),
    measure=measure,
    judge=judge,
    strategy=strategy,
    select=select,
    axes=AXES,
)


@pytest.mark.claim("variance-order")
def test_higher_variance_first(claim_case) -> None:  # type: ignore[no-untyped-def]
    claim_case.require()
