"""At which noise level a network can be asked, and what time it is told there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffclaims.errors import InvalidInput
from diffclaims.problem.validate import numbers

Floats = NDArray[np.float64]

#: A level that is given within this of one of a schedule, relatively, is that one: float32 keeps 6e-8.
SAME_LEVEL = 1e-6
#: Below this share of signal, sqrt(abar), x0 cannot be had from the noise. Cosine schedules end near 5e-5.
LEAST_SIGNAL = 1e-6
#: Schedules whose abar ends above this are not cumulated.
LARGEST_END = 0.9


class Ask(NamedTuple):
    """One question to the network: levels (B,), the times it is told (B,), the weight of the answers (B,) or 1."""

    sigma: Any
    time: Any
    weight: Any


@dataclass(frozen=True)
class Continuous:
    """A network that is told a function of the noise level.

    Parameters
    ----------
    time : callable
        Of sigma.
    low, high : float
        Levels that it may be asked.
    """

    time: Callable[[Any], Any] = lambda sigma: sigma
    low: float = 0.0
    high: float = float("inf")
    levels: None = field(default=None, init=False)

    def asks(self, sigma: Any) -> list[Ask]:
        """Return the one question."""
        return [Ask(sigma, self.time(sigma), 1)]


class Steps:
    """A network that is told an integer step of a schedule.

    Between two steps both are asked, at the same x, and x0 is interpolated linearly in sigma^2. That is exact where
    x0 does not depend on sigma (points far apart) and where the score does not (smooth data at low noise).

    Parameters
    ----------
    alphas_cumprod : array_like, shape (T,)
        abar_t, decreasing: the square of the share of the data. ``sigma_t = sqrt((1 - abar_t)/abar_t)``.
    time_scale : float
        What a step is multiplied by before the network is told; 1 keeps integers.

    Raises
    ------
    InvalidInput
        When these are no such numbers.
    """

    def __init__(self, alphas_cumprod: ArrayLike, time_scale: float = 1.0) -> None:
        abar = schedule(alphas_cumprod)
        self.time_scale = time_scale
        # A step without any signal has no level: it is a direction only, which some networks are trained on.
        self.levels = np.sqrt((1 - abar[abar > 0]) / abar[abar > 0])
        self.low, self.high = float(self.levels[0]), float(self.levels[-1])

    def asks(self, sigma: Any) -> list[Ask]:
        """Return one question where all levels are those of steps, and otherwise two."""
        import torch

        levels = torch.from_numpy(self.levels).to(sigma.device)
        # By distance, not by equality: a level that was rounded is still found.
        upper = torch.searchsorted(levels, sigma).clamp(1, len(levels) - 1)
        lower = upper - 1
        a, b = levels[lower], levels[upper]
        weight = ((sigma**2 - a**2) / (b**2 - a**2)).clamp(0, 1)
        weight = torch.where((sigma - b).abs() <= SAME_LEVEL * b, torch.ones_like(weight), weight)
        weight = torch.where((sigma - a).abs() <= SAME_LEVEL * a, torch.zeros_like(weight), weight)
        if bool(((weight == 0) | (weight == 1)).all()):
            step = torch.where(weight == 1, upper, lower)
            return [Ask(levels[step], self._told(step), 1)]
        return [Ask(a, self._told(lower), 1 - weight), Ask(b, self._told(upper), weight)]

    def _told(self, step: Any) -> Any:
        return step if self.time_scale == 1 else step.double() * self.time_scale


#: What maps noise levels to the times that a network is told.
Clock = Continuous | Steps


def schedule(alphas_cumprod: ArrayLike) -> Floats:
    """Return a schedule in float64, or one clear error.

    Parameters
    ----------
    alphas_cumprod : array_like or tensor, shape (T,)
        Decreasing, between 1 and 0; the last may be 0.
    """
    name = "alphas_cumprod"
    if hasattr(alphas_cumprod, "detach"):
        alphas_cumprod = alphas_cumprod.detach().cpu().double().numpy()
    abar = numbers(name, alphas_cumprod)
    if abar.ndim != 1 or len(abar) < 2:
        raise InvalidInput.of(
            name, abar, "hold one number a step, at least two", "give scheduler.alphas_cumprod"
        )
    if abar.min() < 0 or abar.max() >= 1:
        limit = f"lie in [0, 1) (they lie in [{abar.min():g}, {abar.max():g}])"
        raise InvalidInput.of(name, abar, limit, "give the products of 1 - beta")
    if not (np.diff(abar) < 0).all():
        where = int(np.argmax(np.diff(abar) >= 0))
        limit = f"decrease from step to step (step {where + 1} is not below step {where})"
        raise InvalidInput.of(
            name, abar, limit, "give them from least to most noise: numpy.cumprod(1 - betas)"
        )
    if abar[-1] > LARGEST_END:
        limit = f"fall below {LARGEST_END:g} (the last is {abar[-1]:g})"
        raise InvalidInput.of(name, abar, limit, "if these are alphas, give numpy.cumprod(alphas)")
    return abar


def refuse_zero_signal(alphas_cumprod: ArrayLike) -> None:
    """Refuse eps-prediction on a schedule whose last step has no signal.

    Parameters
    ----------
    alphas_cumprod : array_like, shape (T,)

    Raises
    ------
    InvalidInput
        ``x0 = (x_t - sqrt(1 - abar) eps)/sqrt(abar)`` is infinite there.
    """
    last = float(schedule(alphas_cumprod)[-1])
    if last**0.5 < LEAST_SIGNAL:
        raise InvalidInput.of(
            "alphas_cumprod[-1]",
            last,
            "be above 0 for a network that predicts the noise: at zero terminal SNR its x0 is infinite",
            "use from_v or from_sample if the network predicts those, or leave the last step out",
        )
