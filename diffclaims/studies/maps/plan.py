"""What a map is asked for: claim, subject, ranges; checked before anything is computed."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from diffclaims.api.claim import Claim, find_claim
from diffclaims.api.space import Scale, Space
from diffclaims.errors import InvalidInput

Floats = NDArray[np.float64]

_RANGE = re.compile(r"(?P<name>[\w-]+)=(?P<low>[^:]+?)\.\.(?P<high>[^:]+?)(?::(?P<scale>\w+))?")
#: More axes than this make neither a picture nor a computation that ends.
MOST_AXES = 3


@dataclass(frozen=True, kw_only=True)
class Range:
    """One axis of a map.

    Parameters
    ----------
    name : str
        An axis of the claim.
    low, high : float
        Ends, both included.
    n : int
        Values along it.
    scale : {"log", "linear"}
        How they are spaced.
    """

    name: str
    low: float
    high: float
    n: int
    scale: Scale

    @classmethod
    def parse(cls, text: str, n: int, axes: Space) -> Range:
        """Read ``NAME=LOW..HIGH``, optionally followed by ``:log`` or ``:linear``.

        Raises
        ------
        InvalidInput
            For another form, an unknown axis, values outside its limits, or ends in the wrong order.
        """
        match = _RANGE.fullmatch(text.strip())
        try:
            if match is None:
                raise ValueError
            low, high = float(match["low"]), float(match["high"])
        except ValueError:
            raise InvalidInput.of(
                "range", text, "have the form NAME=LOW..HIGH", "write variance_ratio=1..4, say"
            ) from None
        axis = axes[match["name"]]
        scale = match["scale"] or axis.scale
        if scale not in ("log", "linear"):
            raise InvalidInput.of(
                "scale", scale, "be log or linear", f"write {axis.name}={low:g}..{high:g}:log"
            )
        if low >= high:
            raise InvalidInput.of("range", text, "rise from LOW to HIGH", "exchange or widen its ends")
        axis.check(low)
        axis.check(high)
        if scale == "log" and low <= 0:
            raise InvalidInput.of(
                "range", text, "start above 0 on a log scale", "add :linear, or start higher"
            )
        if n < 2:
            raise InvalidInput.of(f"number of values of {axis.name}", n, "be 2 or more", "raise it")
        return cls(name=axis.name, low=low, high=high, n=int(n), scale=scale)  # type: ignore[arg-type]

    def to_scale(self, value: float) -> float:
        """Return the value on the axis' own scale, where points are equidistant."""
        return math.log(value) if self.scale == "log" else float(value)

    def from_scale(self, u: float) -> float:
        """Undo `to_scale`; never beyond the ends by rounding."""
        value = math.exp(u) if self.scale == "log" else float(u)
        return min(max(value, self.low), self.high)

    @property
    def span(self) -> float:
        """Length on the axis' own scale."""
        return self.to_scale(self.high) - self.to_scale(self.low)

    def at(self, fraction: float) -> float:
        """Return the value at a fraction of the way; the ends exactly."""
        if fraction in (0.0, 1.0):
            return self.high if fraction else self.low
        return self.from_scale(self.to_scale(self.low) + fraction * self.span)

    def values(self) -> Floats:
        """Return the values, equidistant on the axis' own scale."""
        return np.array([self.at(f) for f in np.linspace(0.0, 1.0, self.n)])


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A map, as asked for.

    Parameters
    ----------
    claim : str
        Id of the claim.
    ranges : tuple of Range
        One to three axes.
    at : mapping of str to float or str
        Values of other parameters and choices of options; the claim's defaults otherwise.
    along : str
        The axis along which the boundary is searched; the last one by default.
    points : int
        0 for the full grid, else that many quasi-random points (Sobol, scrambled with `seed`). The
        boundary is then searched on the lines of the grid that `ranges` describes.
    seed : int
        Of the quasi-random points.
    subject : str
        Registered name or ``package.module:OBJECT``.
    accuracy : float, optional
        Asked of the losses, for the subject `theory`.
    claims_dir : str
        Folder of claims; the package's own by default.
    """

    claim: str
    ranges: tuple[Range, ...]
    at: Mapping[str, float | str] = field(default_factory=dict)
    along: str = ""
    points: int = 0
    seed: int = 0
    subject: str = "theory"
    accuracy: float | None = None
    claims_dir: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "ranges", tuple(self.ranges))
        names = [r.name for r in self.ranges]
        if not 1 <= len(names) <= MOST_AXES or len(set(names)) < len(names):
            raise InvalidInput.of(
                "axes", names, f"be one to {MOST_AXES} different ones", "name each with its own range"
            )
        object.__setattr__(self, "along", self.along or names[-1])
        if self.along not in names:
            raise InvalidInput.of("along", self.along, f"be one of the axes {names}", "choose one of them")
        if self.points < 0:
            raise InvalidInput.of("points", self.points, "be 1 or more", "leave it out for a grid")
        if self.accuracy is not None and not 0 < self.accuracy < 1:
            raise InvalidInput.of("accuracy", self.accuracy, "lie between 0 and 1", "try 1e-3")
        axes = self.axes
        for name, value in self.at.items():
            if name in axes.options:
                if value not in axes.options[name]:
                    raise InvalidInput.of(
                        name, value, f"be one of {list(axes.options[name])}", "choose one of them"
                    )
            elif name in names:
                raise InvalidInput.of("at", name, "not be an axis of the map", "give it a range or a value")
            else:
                try:
                    axes[name].check(float(value))
                except ValueError as error:
                    if isinstance(error, InvalidInput):
                        raise
                    raise InvalidInput.of(name, value, "be a number", f"write {name}=1, say") from None

    @property
    def loaded_claim(self) -> Claim:
        """The claim that is mapped."""
        return find_claim(self.claim, self.claims_dir)

    @property
    def axes(self) -> Space:
        """Its axes."""
        axes = self.loaded_claim.space
        if axes is None:
            raise InvalidInput.of(
                "claim", self.claim, "have axes to map along", "add space=Space(...) to its Claim"
            )
        return axes

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the axes, in their order."""
        return tuple(r.name for r in self.ranges)

    @property
    def line(self) -> Range:
        """The axis of the boundary."""
        return next(r for r in self.ranges if r.name == self.along)

    @property
    def others(self) -> tuple[Range, ...]:
        """The other axes: there is one line for each of their values."""
        return tuple(r for r in self.ranges if r.name != self.along)

    def scattered(self) -> Floats:
        """Return the quasi-random points, shape (points, axes)."""
        sampler = qmc.Sobol(len(self.ranges), scramble=True, rng=np.random.default_rng(self.seed))
        # The sequence is drawn to the next power of two, where it is balanced, and cut.
        unit = sampler.random_base2(max(0, (self.points - 1).bit_length()))[: self.points]
        return np.array([[r.at(u) for r, u in zip(self.ranges, row, strict=True)] for row in unit])

    def to_json(self) -> str:
        """Return what decides every number of the map, as canonical JSON."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Rebuild what `to_json` gave."""
        data: dict[str, Any] = json.loads(text)
        data["ranges"] = tuple(Range(**r) for r in data["ranges"])
        return cls(**data)


def parse_at(words: Sequence[str]) -> dict[str, float | str]:
    """Read ``NAME=VALUE`` words."""
    found: dict[str, float | str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name or not value or name in found:
            raise InvalidInput.of("at", word, "have the form NAME=VALUE, once per name", "write psi_n=8, say")
        try:
            found[name] = float(value)
        except ValueError:
            found[name] = value
    return found
