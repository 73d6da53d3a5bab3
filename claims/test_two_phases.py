"""Two phases for each class: it is generalized first and memorized later, at a time that grows with n."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from diffclaims import (
    Case,
    Claim,
    Effect,
    Experiment,
    GaussianMixture,
    RandomFeatures,
    Role,
    Space,
    Subject,
    effects,
    pairs,
    space,
)

Floats = NDArray[np.float64]

MIXTURE = GaussianMixture([0.5, 0.5], [1.0, 0.5])

#: How far from 1 the exponent of tau_mem may be, and from 0 that of tau_gen. Ours.
EXPONENT_TOLERANCE = 0.1


def phases(name: str, mixture: GaussianMixture, **more: Any) -> Case:
    model = RandomFeatures(psi_p=8, psi_n=4, diffusion_time=0.05)
    return Case.of(name, {"n": mixture}, model, params={"check": "phases"}, **more)


def scaling(name: str, sizes: Sequence[float], psi_p: float, time: float, **more: Any) -> Case:
    """The same experiment at several training sizes."""
    return Case(
        name=name,
        experiments={
            f"psi_n={n:g}": Experiment(
                mixture=MIXTURE, model=RandomFeatures(psi_p=psi_p, psi_n=n, diffusion_time=time)
            )
            for n in sizes
        },
        params={"check": "scaling"},
        **more,
    )


def measure(subject: Subject, case: Case) -> dict[str, xr.Dataset]:
    return {name: subject.learning_curves(e) for name, e in case.experiments.items()}


def judge(case: Case, data: Mapping[str, xr.Dataset]) -> Sequence[Effect]:
    """ln(tau_mem/tau_gen) per class; or how far the exponents of psi_n are inside their tolerance."""
    if case.params["check"] == "phases":
        return [e for curves in data.values() for e in _phases(curves, bool(case.params.get("reverse")))]
    return _exponents(case, data)


def _phases(curves: xr.Dataset, reverse: bool) -> list[Effect]:
    stochastic = "seed" in curves.dims
    judged: list[Effect] = []
    lows, highs = effects.levels_of(curves, "gen"), effects.levels_of(curves, "mem")
    classes = range(curves.sizes["class"])
    times = effects.log_times(curves, {"gen": lows, "mem": highs}, classes)
    for k, label in enumerate(curves["class"].values):
        for i, (low, high) in enumerate(zip(lows, highs, strict=True)):
            ratio = times["mem"][i][k] - times["gen"][i][k]
            name = f"ln tau_mem({label}) at {effects.shown(high)} / tau_gen({label}) at {effects.shown(low)}"
            judged.append(effects.effect(name, -ratio if reverse else ratio, stochastic=stochastic))
    return judged


def _exponents(case: Case, data: Mapping[str, xr.Dataset]) -> list[Effect]:
    """Slopes of ln tau against ln psi_n by least squares, against 1 (tau_mem) and 0 (tau_gen)."""
    sizes = np.log([e.model.psi_n for e in case.experiments.values()])
    centred = sizes - sizes.mean()
    weights = centred / (centred @ centred)
    curves = [data[name] for name in case.experiments]
    stochastic = "seed" in curves[0].dims
    judged: list[Effect] = []
    targets: tuple[tuple[effects.Milestone, float], ...] = (("mem", 1.0), ("gen", 0.0))
    levels: dict[effects.Milestone, tuple[float | str, ...]] = {
        milestone: effects.levels_of(curves[0], milestone) for milestone, _ in targets
    }
    classes = range(curves[0].sizes["class"])
    found = [effects.log_times(c, levels, classes) for c in curves]
    for k, label in enumerate(curves[0]["class"].values):
        for milestone, target in targets:
            for i, level in enumerate(levels[milestone]):
                points = [times[milestone][i][k] for times in found]
                low, high = _slope(weights, points)
                error = sum(abs(w) * p.accuracy for w, p in zip(weights, points, strict=True))
                exponents = ", ".join(
                    f"{x:.3f}" if x == y else f"{x:.3f} to {y:.3f}" for x, y in zip(low, high, strict=True)
                )
                of = f"tau_{milestone}({label}) at {effects.shown(level)}"
                name = f"{EXPONENT_TOLERANCE:g} - |exponent of {of} - {target:g}|"
                judged.append(
                    effects.effect(
                        name,
                        effects.LogTime(*_inside(low, high, target), float(error)),
                        stochastic=stochastic,
                        detail=f"exponent {exponents}",
                    )
                )
    return judged


def _slope(weights: Floats, points: Sequence[effects.LogTime]) -> tuple[Floats, Floats]:
    """Limits of the slope by seed; NaN where a size never reaches the time, infinite where one only bounds it."""
    # A size in the middle weighs nothing, and nothing times a time beyond the end is no number.
    used = [(w, p) for w, p in zip(weights, points, strict=True) if w]
    with np.errstate(invalid="ignore"):
        low = sum(w * (p.low if w > 0 else p.high) for w, p in used)
        high = sum(w * (p.high if w > 0 else p.low) for w, p in used)
    never = np.any([p.low == np.inf for _, p in used], axis=0)
    return np.where(never, np.nan, low), np.where(never, np.nan, high)


def _inside(low: Floats, high: Floats, target: float) -> tuple[Floats, Floats]:
    """Limits of how far an exponent between these limits is inside its tolerance."""
    near = np.maximum(0.0, np.maximum(low - target, target - high))
    far = np.maximum(np.abs(low - target), np.abs(high - target))
    # Never reached at some size: no exponent, as far outside as can be.
    least, most = (np.where(np.isnan(off), -np.inf, EXPONENT_TOLERANCE - off) for off in (far, near))
    return least, most


def select(experiments: Mapping[str, Experiment]) -> Sequence[Case]:
    """Every balanced experiment on real data, but pairs that are made to be judged together, with few seeds each."""
    together = pairs.pooled(experiments)
    return [
        Case(name=name, experiments={"n": e}, params={"check": "phases"})
        for name, e in experiments.items()
        if pairs.balanced(e) and name not in together
    ]


def judge_point(case: Case, data: Mapping[str, xr.Dataset]) -> Sequence[Effect]:
    """ln(tau_mem/tau_gen) of one class, or the least of both."""
    curves = data["n"]
    stochastic = "seed" in curves.dims
    wanted = str(case.params["class"])
    judged: list[Effect] = []
    for k in range(curves.sizes["class"]) if wanted == "all" else [int(wanted)]:
        for low, high in space.paired_thresholds(case):
            ratio = effects.log_time(curves, "mem", high, k) - effects.log_time(curves, "gen", low, k)
            name = f"ln tau_mem({k}) at {high:g} / tau_gen({k}) at {low:g}"
            judged.append(effects.effect(name, ratio, stochastic=stochastic))
    return judged


def point(values: space.Values) -> Case:
    return Case(name="point", experiments={"n": space.pair(values)}, params={"check": "phases"})


SPACE = Space(
    axes=(space.PSI_N, space.MINORITY_WEIGHT, space.VARIANCE_RATIO, space.SEPARATION, *space.MODEL_AXES[::2]),
    regime=(
        {
            "minority_weight": (0.05, 0.95),
            "variance_ratio": (1.0, 4.0),
            "psi_n": (4.0, 16.0),
            "psi_p": (32.0, 128.0),
            "diffusion_time": (0.01, 0.2),
        },
    ),
    build=point,
    effect="ln tau_mem/tau_gen",
    options={"threshold": space.THRESHOLDS, "class": ("all", "0", "1")},
    judge=judge_point,
)


CLAIM = Claim(
    id="two-phases",
    says="Each class is generalized first and memorized later; the time to memorize grows in proportion "
    "to the training size, the time to generalize does not.",
    source="Nicoletti et al., arXiv:2605.06367; for one class Bonnaire et al., arXiv:2505.17638",
    definitions=(
        "tau_gen at 0.3, 0.5, 0.7 of the learnable loss, tau_mem at a gap of 0.05, 0.1, 0.2 of it; ours. "
        f"'In proportion' is an exponent within {EXPONENT_TOLERANCE:g} of 1, 'does not' one within "
        f"{EXPONENT_TOLERANCE:g} of 0, by least squares over sizes that double; ours."
    ),
    regime=(
        "phases: psi_n of 4 or more, psi_p at least twice psi_n; proportion: psi_n of 512 and more, psi_p "
        "far above, for a fixed gap is met inside the generalization bulk when psi_n is small"
    ),
    cases=(
        phases("equal-classes", GaussianMixture([0.5, 0.5], [1.0, 1.0])),
        phases("ratio-2", GaussianMixture([0.5, 0.5], [2.0, 1.0])),
        phases("ratio-2-minority", GaussianMixture([0.1, 0.9], [2.0, 1.0])),
        scaling("large-n-t-0.1", (512, 1024, 2048), 16384, 0.1),
        scaling("large-n-t-0.01", (1024, 2048, 4096), 32768, 0.01),
        phases("ratio-2-reversed", GaussianMixture([0.5, 0.5], [2.0, 1.0])).replace(
            role=Role.CONTROL,
            expect="fails",
            params={"check": "phases", "reverse": 1},
            note="the reverse statement, memorized before generalized, must fail",
        ),
        scaling(
            "moderate-n",
            (8, 16, 32),
            256,
            0.05,
            role=Role.OUTSIDE,
            note=(
                "tau_mem grows faster or slower than psi_n here: the gap of finite samples inside the "
                "generalization bulk, which falls with psi_n, still meets the threshold for some classes, and "
                "the crossing to the memorization bulk is a jump"
            ),
        ),
    ),
    measures=frozenset({"learning_curves"}),
    # Not labels-swapped: it says the same of every class.
    rejects=frozenset(
        {
            "times-shuffled",
            "size-ignored",
            "floor-zero",
            "floors-exchanged",
            "no-memorization",
            "constant",
        }
    ),
    measure=measure,
    judge=judge,
    select=select,
    takes="balanced classes, not pairs made to be judged together",
    space=SPACE,
)


def test_generalized_then_memorized(claim_case: Any) -> None:
    claim_case.require()
