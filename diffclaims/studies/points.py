"""Points inside the regime of a claim, and outside it, drawn before anything is measured.

They are of scrambled Sobol sequences with a fixed seed:

- *Inside*: the first coordinate chooses one of the boxes of `Space.regime`, each with the same weight; the others
  say where in the box, on each axis' own scale. Axes that a box leaves out stand at their defaults.
- *Outside*: the ranges of `Space.axes`, cut to `LIMITS` and `LIMITS_OF`, without the regime: a point of the sequence
  that lies in it is passed over, and so is one with a class further out than `FURTHEST`.

An axis that changes no case of the claim stands at its default in both. Coordinates have six digits. The rules are
ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from diffclaims.api.case import Case
from diffclaims.api.claim import Claim
from diffclaims.api.space import Axis, Space
from diffclaims.errors import InvalidInput

#: Points of each claim in each region, and the seed of the sequences.
POINTS, SEED = 100, 0
REGIONS = ("inside", "outside")
#: Ranges outside the regime, narrower than those of the axes: where the theory is solved in a few seconds. Beyond
#: them it takes longer, and often stops short of its accuracy.
LIMITS: dict[str, tuple[float, float]] = {
    "variance_ratio": (0.05, 20.0),
    "minority_weight": (0.001, 0.999),
    "centroid_separation": (0.0, 5.0),
    "norm": (0.0, 3.6),
    "scale": (0.1, 10.0),
    "psi_p": (0.5, 256.0),
    "psi_n": (0.5, 256.0),
    "diffusion_time": (0.005, 1.0),
}
#: The same of single claims: with centroids apart a spectrum takes half a minute, and often its bulks do not hold
#: the mass that they must.
LIMITS_OF: dict[str, dict[str, tuple[float, float]]] = {"spectrum": {"centroid_separation": (0.0, 0.0)}}
#: Largest centroid norm over sqrt(d), outside the regime.
FURTHEST = 3.6
#: Digits of a coordinate, so that a point in a table is the one that was measured.
DIGITS = 6
#: Points of a sequence that are looked at until enough lie outside the regime, as a power of two.
_DEPTH = 13

Values = dict[str, float]


def case_at(space: Space, values: Mapping[str, float]) -> Case:
    return (space.explored or space.build)(values)


def live_axes(space: Space) -> tuple[Axis, ...]:
    """Return the axes that change the case of a claim; a claim with fixed sizes ignores some."""
    at = {a.name: a.default for a in space.axes}

    def asked(values: Values) -> list[tuple[str, str]]:
        return [(name, e.key) for name, e in case_at(space, values).experiments.items()]

    usual = asked(at)
    return tuple(a for a in space.axes if any(asked({**at, a.name: end}) != usual for end in (a.low, a.high)))


def boxes(space: Space) -> list[dict[str, tuple[float, float]]]:
    """Return the boxes of a regime with all axes that matter; those that a box leaves out have their default."""
    live = live_axes(space)
    return [{a.name: limits.get(a.name, (a.default, a.default)) for a in live} for limits in space.regime]


def within(values: Mapping[str, float], limits: Mapping[str, tuple[float, float]]) -> bool:
    """Whether a point lies in a box."""
    return all(low <= values[name] <= high for name, (low, high) in limits.items())


def _at(axis: Axis, low: float, high: float, u: float) -> float:
    """The value at a fraction of the way on the axis' own scale, with `DIGITS` digits, never beyond the ends."""
    if low == high:
        return low
    value = low * math.exp(u * math.log(high / low)) if axis.scale == "log" else low + u * (high - low)
    return min(max(float(f"{value:.{DIGITS}g}"), low), high)


def _sequence(n_dims: int, n: int, seed: int) -> NDArray[np.float64]:
    """The first points of the scrambled Sobol sequence, at least n; the same ones whatever n is."""
    sampler = qmc.Sobol(n_dims, scramble=True, rng=np.random.default_rng(seed))
    return np.asarray(sampler.random_base2(max(0, (n - 1).bit_length())))


def points(claim: Claim, region: str, n: int = POINTS, seed: int = SEED) -> list[Values]:
    """Return the points of a claim in a region, the same every time.

    Parameters
    ----------
    claim : Claim
        One whose space states a regime.
    region : {"inside", "outside"}
        Of the regime.
    n : int
        How many. Fewer are the first ones of more.
    seed : int
        Of the Sobol sequence.

    Returns
    -------
    list of dict
        A value of every axis.

    Raises
    ------
    InvalidInput
        For a claim without a regime, fewer than 1 point, or a regime that leaves no room outside.
    """
    space = claim.space
    if space is None or not space.regime:
        raise InvalidInput.of("claim", claim.id, "state a regime", "add space=Space(regime=...) to its Claim")
    if n < 1:
        raise InvalidInput.of("points", n, "be 1 or more", f"{POINTS} is the default")
    rest = {a.name: float(a.default) for a in space.axes}
    draw = _inside(space, rest, n, seed) if region == "inside" else _outside(claim, rest, n, seed)
    found = list(draw)
    if len(found) < n:
        raise InvalidInput.of(
            "points", n, f"be at most {len(found)}, which lie outside the regime", "ask for fewer"
        )
    return found


def _inside(space: Space, rest: Values, n: int, seed: int) -> Iterator[Values]:
    live = live_axes(space)
    regime = boxes(space)
    for which, *unit in _sequence(1 + len(live), n, seed)[:n]:
        limits = regime[min(int(which * len(regime)), len(regime) - 1)]
        yield {**rest, **{a.name: _at(a, *limits[a.name], u) for a, u in zip(live, unit, strict=True)}}


def _outside(claim: Claim, rest: Values, n: int, seed: int) -> Iterator[Values]:
    assert claim.space is not None
    live, regime = live_axes(claim.space), boxes(claim.space)
    ranges = [outer(claim, a) for a in live]
    count = 0
    for unit in _sequence(len(live), max(n, 2**_DEPTH), seed):
        if count == n:
            return
        at = {a.name: _at(a, *ends, u) for a, ends, u in zip(live, ranges, unit, strict=True)}
        values = {**rest, **at}
        if any(within(values, limits) for limits in regime):
            continue
        if _furthest(case_at(claim.space, values)) <= FURTHEST:
            count += 1
            yield values


def outer(claim: Claim, axis: Axis) -> tuple[float, float]:
    """Return the range of an axis outside the regime."""
    low, high = (LIMITS | LIMITS_OF.get(claim.id, {})).get(axis.name, (axis.low, axis.high))
    return max(low, axis.low), min(high, axis.high)


def _furthest(case: Case) -> float:
    """Largest centroid norm of a case, over sqrt(d)."""
    return max(math.sqrt(float(e.mixture.centroid_gram.diagonal().max())) for e in case.experiments.values())
