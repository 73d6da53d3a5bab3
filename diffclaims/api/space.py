"""The parameters of a claim, the part of them that is its regime, and how a point becomes a case.

An exploration searches the regime. A map leaves it on purpose, so the axes are wider, and its question is that of
one point: which way the effect goes there.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from diffclaims.api.case import Case
from diffclaims.api.effects import GENERALIZED_FRACTIONS, MEMORIZED_GAPS, order_effects
from diffclaims.api.outcome import Effect
from diffclaims.api.subject import Subject
from diffclaims.errors import InvalidInput
from diffclaims.problem.arguments import check_fields
from diffclaims.problem.experiment import Experiment
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

Floats = NDArray[np.float64]
Scale = Literal["log", "linear"]
Values = Mapping[str, float]

#: How the thresholds of a milestone are chosen in a map: the middle one, or the least margin of all.
THRESHOLDS = ("middle", "all", "low", "high")
MILESTONES = ("all", "gen", "best", "mem")


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One parameter of a claim.

    Parameters
    ----------
    name : str
        As in ``--x NAME=LOW..HIGH``.
    low, high : float
        Limits of what makes sense, both allowed.
    default : float
        Value where it is not mapped.
    scale : {"log", "linear"}
        How points are spaced, unless told otherwise.
    about : str
        What it is, for messages and labels.
    """

    name: str
    low: float
    high: float
    default: float
    scale: Scale = "linear"
    about: str = ""

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.low <= self.default <= self.high:
            raise InvalidInput.of(
                "default",
                self.default,
                f"lie in {self.low:g}..{self.high:g}",
                "choose a value within the axis",
            )

    def check(self, value: float) -> float:
        """Return the value if it lies within the limits.

        Raises
        ------
        InvalidInput
            Otherwise.
        """
        if not (math.isfinite(value) and self.low <= value <= self.high):
            raise InvalidInput.of(
                self.name, value, f"lie in {self.low:g}..{self.high:g} ({self.about})", "choose within it"
            )
        return float(value)


@dataclass(frozen=True, kw_only=True)
class Space:
    """The parameters of one claim, for exploration and for maps.

    Parameters
    ----------
    axes : tuple of Axis
        The parameters, each with its full range.
    build : callable ``(values) -> Case``
        From a value of every parameter to the case at that point.
    effect : str
        What the margin is, for labels.
    regime : tuple of mapping of str to (float, float)
        Where the claim is meant to hold: one box or several, each a range of some parameters; the others have
        their defaults there. Empty where the regime cannot be searched.
    options : mapping of str to tuple of str
        Choices of a map; the first is the default. They reach `judge` through the case's params.
    measure, judge : callables, optional
        As those of the claim, which are used by default. A claim that looks at several weights or
        sizes together has its own here, for one point of a map.
    explored : callable ``(values) -> Case``, optional
        The case at a point of the regime, where it is not that of `build`: for a claim that looks at several
        weights or sizes together.
    """

    axes: tuple[Axis, ...]
    build: Callable[[Values], Case]
    effect: str
    regime: tuple[Mapping[str, tuple[float, float]], ...] = ()
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    measure: Callable[[Subject, Case], dict[str, xr.Dataset]] | None = None
    judge: Callable[[Case, Mapping[str, xr.Dataset]], Sequence[Effect]] | None = None
    explored: Callable[[Values], Case] | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        for box in self.regime:
            for name, limits in box.items():
                for limit in limits:
                    self[name].check(limit)

    def strategy(self) -> SearchStrategy[Case]:
        """Return a hypothesis strategy of cases in the regime, all with the name "explored"."""
        from hypothesis import strategies as st

        build = self.explored or self.build

        def at(**values: float) -> Case:
            full = {a.name: values.get(a.name, a.default) for a in self.axes}
            return build(full).replace(name="explored")

        boxes = [
            st.builds(at, **{name: st.floats(low, high) for name, (low, high) in box.items()})
            for box in self.regime
        ]
        return st.one_of(boxes)

    def __getitem__(self, name: str) -> Axis:
        for axis in self.axes:
            if axis.name == name:
                return axis
        names = [a.name for a in self.axes]
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        listing = "; ".join(f"{a.name} ({a.about}, {a.low:g}..{a.high:g})" for a in self.axes)
        raise InvalidInput.of("axis", name, "be an axis of this claim", f"{hint}Available: {listing}")

    def point(self, values: Values, choices: Mapping[str, str]) -> Case:
        """Return the case at a point; parameters that are not named take their defaults."""
        full = {a.name: float(values.get(a.name, a.default)) for a in self.axes}
        case = self.build(full)
        chosen = {name: choices.get(name, allowed[0]) for name, allowed in self.options.items()}
        return case.replace(params={**case.params, **chosen})


# ---- parameters that several claims share

VARIANCE_RATIO = Axis(
    name="variance_ratio",
    low=0.05,
    high=100.0,
    default=2.0,
    scale="log",
    about="variance of class 0 over that of class 1, which is 1",
)
MINORITY_WEIGHT = Axis(
    name="minority_weight",
    low=1e-4,
    high=0.9999,
    default=0.5,
    scale="log",
    about="weight of class 0",
)
SEPARATION = Axis(
    name="centroid_separation",
    low=0.0,
    high=20.0,
    default=0.0,
    about="distance of the centroids over sqrt(d)",
)
SCALE = Axis(name="scale", low=0.01, high=100.0, default=1.0, scale="log", about="factor on all variances")
PSI_P = Axis(name="psi_p", low=0.1, high=1e5, default=8.0, scale="log", about="features per dimension")
PSI_N = Axis(name="psi_n", low=0.05, high=1e5, default=4.0, scale="log", about="samples per dimension")
DIFFUSION_TIME = Axis(
    name="diffusion_time", low=1e-3, high=3.0, default=0.05, scale="log", about="noise level of the model"
)
MODEL_AXES = (PSI_P, PSI_N, DIFFUSION_TIME)


def pair(values: Values) -> Experiment:
    """Return two isotropic classes; orthogonal centroids of equal norm, as far apart as asked."""
    w = values.get("minority_weight", 0.5)
    norm2 = values.get("centroid_separation", 0.0) ** 2 / 2
    scale = values.get("scale", 1.0)
    mixture = GaussianMixture(
        [w, 1 - w],
        [scale * values.get("variance_ratio", 1.0), scale],
        centroid_gram=[[norm2, 0.0], [0.0, norm2]],
    )
    return Experiment(mixture=mixture, model=model(values))


def pair_case(values: Values) -> Case:
    """Return `pair` as a case whose experiment is called "pair"."""
    return Case(name="point", experiments={"pair": pair(values)})


def measure_curves(subject: Subject, case: Case) -> dict[str, xr.Dataset]:
    """Return the learning curves of every experiment of a case."""
    return {name: subject.learning_curves(e) for name, e in case.experiments.items()}


def model(values: Values) -> RandomFeatures:
    """Return the model of a point."""
    return RandomFeatures(
        psi_p=values["psi_p"], psi_n=values["psi_n"], diffusion_time=values["diffusion_time"]
    )


# ---- effects at one point, with the options `milestone` and `threshold`


def order(
    curves: xr.Dataset, case: Case, *, first: int = 0, names: Sequence[str] = ("0", "1")
) -> list[Effect]:
    """Return `order_effects` of two classes at the milestones and thresholds that the case asks for."""
    milestone = str(case.params["milestone"])
    return order_effects(
        curves,
        first=first,
        later=1 - first,
        milestones=("gen", "best", "mem") if milestone == "all" else (milestone,),  # type: ignore[arg-type]
        which=str(case.params["threshold"]),
        names=names,
    )


def paired_thresholds(case: Case) -> Iterator[tuple[float, float]]:
    """Yield a threshold of generalization with the one of memorization that it goes with."""
    pairs = list(zip(GENERALIZED_FRACTIONS, MEMORIZED_GAPS, strict=True))
    which = str(case.params["threshold"])
    yield from pairs if which == "all" else [pairs[{"low": 0, "middle": 1, "high": 2}[which]]]
