"""From an effect size and its uncertainty to holds, fails or inconclusive: one rule for every claim.

A claim holds when each of its effects lies at least one *bar* above its threshold, fails when one
lies as far below, and is inconclusive between. The bar is three standard errors in the limit of
many repetitions, or the stated numerical accuracy of an exact subject, whichever is larger.

Few repetitions estimate their own spread badly, so three standard errors of five seeds would say
"holds" far more often than three sigma should. The factor is therefore the Student-t quantile with
the one-sided tail probability of three sigma, 0.00135: 235.8, 19.2, 9.2, 6.6, 4.1, 3.3 for 2, 3, 4,
5, 10, 30 repetitions. One repetition says nothing about its spread: its bar is infinite.
The rule is ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr, ndtr, stdtrit

from diffclaims.errors import InvalidInput

#: How many standard errors decide, in the limit of many repetitions.
SIGMAS = 3.0
#: One-sided tail probability of `SIGMAS`, the same for any number of repetitions.
TAIL = float(ndtr(-SIGMAS))
#: More seeds than this are not worth naming: the margin is zero for all we can tell.
MOST_SEEDS = 100_000


class Outcome(StrEnum):
    """What a check concluded."""

    HOLDS = "holds"
    FAILS = "fails"
    INCONCLUSIVE = "inconclusive"
    NOT_RUN = "not run"


def quantile(n_seeds: int) -> float:
    """Return how many standard errors make the bar for `n_seeds` repetitions.

    Parameters
    ----------
    n_seeds : int
        Number of repetitions from which the standard error was estimated; 0 when it is known
        (the Gaussian limit).

    Returns
    -------
    float
        3 for 0; infinity for 1; else the Student-t quantile with ``n_seeds - 1`` degrees of freedom
        and the tail probability of 3 sigma.
    """
    if n_seeds == 0:
        return SIGMAS
    if n_seeds == 1:
        return math.inf
    return max(SIGMAS, -float(stdtrit(n_seeds - 1, TAIL)))


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One number that must exceed its threshold, and how well it is known.

    Parameters
    ----------
    name : str
        What the number is, as shown to the reader: ``"ln tau_gen(low)/tau_gen(high)"``.
    value : float
        The effect; +inf or -inf when a time in it is never reached.
    threshold : float
        What the effect must exceed; finite.
    stderr : float
        Standard error of `value`, >= 0; +inf when it cannot be told.
    accuracy : float
        Absolute numerical accuracy of `value`, >= 0.
    n_seeds : int
        Repetitions behind `stderr`; 0 for an exact value or a known standard error.
    detail : str
        What else was measured, shown with the name. The name itself must not hold measured numbers:
        baselines find an effect by it.
    undecided : str
        What would decide it where more seeds alone would not; shown instead of their number.
    samples : tuple of float
        The values by seed behind it, in the order of the seeds; empty where there are none.

    Raises
    ------
    InvalidInput
        For NaN anywhere, an infinite threshold or a negative uncertainty.
    """

    name: str
    value: float
    threshold: float = 0.0
    stderr: float = 0.0
    accuracy: float = 0.0
    n_seeds: int = 0
    detail: str = field(default="", compare=False)
    undecided: str = field(default="", compare=False)
    samples: tuple[float, ...] = field(default=(), repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("value", "threshold", "stderr", "accuracy"):
            number = float(getattr(self, name))
            if math.isnan(number):
                raise InvalidInput.of(
                    f"{name} of the effect {self.name!r}",
                    number,
                    "be a number",
                    "give +inf for a time that is never reached, and compare two such times as a tie",
                )
            object.__setattr__(self, name, number)
        object.__setattr__(self, "n_seeds", int(self.n_seeds))
        if not math.isfinite(self.threshold):
            raise InvalidInput.of(
                "threshold", self.threshold, "be finite", "state what the effect must exceed"
            )
        for name, lowest in (("stderr", self.stderr), ("accuracy", self.accuracy), ("n_seeds", self.n_seeds)):
            if lowest < 0:
                raise InvalidInput.of(name, lowest, "be 0 or more", "give an uncertainty, not a difference")

    @classmethod
    def from_samples(
        cls, name: str, values_per_seed: ArrayLike, threshold: float = 0.0, accuracy: float = 0.0
    ) -> Effect:
        """Summarize one effect measured in several independent repetitions.

        Parameters
        ----------
        name : str
            As in `Effect`.
        values_per_seed : array_like, shape (n_seeds,)
            The effect in each repetition; +-inf where a time is never reached. Never NaN.
        threshold : float
            What the effect must exceed.
        accuracy : float
            Absolute numerical accuracy of each value.

        Returns
        -------
        Effect
            Finite values: their mean and its standard error. Infinite ones among them, or nothing else: the
            median, with the `stderr` for which the verdict rule says
            exactly what the order statistics say: the claim holds when the distribution-free lower
            limit of the median, at the tail probability of 3 sigma, is at or above the threshold.
            That limit exists from 10 repetitions on; with fewer, `stderr` is infinite and the effect
            inconclusive: infinite values have no spread that would tell how sure they are, and fewer than 10
            may agree by chance.
        """
        samples = np.asarray(values_per_seed, dtype=np.float64).ravel()
        values = np.sort(samples)
        n = values.size
        if n == 0 or np.isnan(values).any():
            raise InvalidInput.of(
                f"values_per_seed of the effect {name!r}",
                values.tolist(),
                "hold at least one value and no NaN",
                "leave out repetitions that measured nothing, and say so",
            )
        if np.isfinite(values).all():
            value = float(values.mean())
            stderr = float(values.std(ddof=1) / math.sqrt(n)) if n > 1 else 0.0
        else:
            value, stderr = _median_and_stderr(values, threshold)
        return cls(
            name=name,
            value=value,
            threshold=threshold,
            stderr=stderr,
            accuracy=accuracy,
            n_seeds=n,
            samples=tuple(samples.tolist()),
        )

    @property
    def margin(self) -> float:
        """How far the effect lies above its threshold, in its own units."""
        return self.value - self.threshold

    @property
    def bar(self) -> float:
        """How far from the threshold counts as decided, in the units of the effect."""
        if self.n_seeds == 1:
            return math.inf
        return max(self.accuracy, quantile(self.n_seeds) * self.stderr)

    @property
    def outcome(self) -> Outcome:
        """The verdict rule, for this effect alone."""
        margin, bar = self.margin, self.bar
        if bar == math.inf or margin == 0:
            return Outcome.INCONCLUSIVE
        if margin >= bar:
            return Outcome.HOLDS
        return Outcome.FAILS if margin <= -bar else Outcome.INCONCLUSIVE

    @property
    def more_seeds(self) -> int | None:
        """Further repetitions after which an inconclusive effect of this size would be decided.

        None when it is decided, when more repetitions would not help (an exact subject, a margin
        within the numerical accuracy) or when nothing can be told yet (one repetition).
        """
        if self.outcome is not Outcome.INCONCLUSIVE or self.n_seeds < 2:
            return None
        distance = abs(self.margin)
        if not math.isfinite(self.stderr) or distance <= self.accuracy or distance == 0:
            return None
        spread = self.stderr * math.sqrt(self.n_seeds)

        def decided(n: int) -> bool:
            return quantile(n) * spread <= distance * math.sqrt(n)

        low, high = self.n_seeds, 2 * self.n_seeds
        while not decided(high):
            low, high = high, 2 * high
            if low > MOST_SEEDS:
                return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if decided(middle) else (middle, high)
        return high - self.n_seeds

    def sentence(self) -> str:
        """Say the effect, its uncertainty, the outcome and what decides, in one line."""
        if self.n_seeds or self.stderr:
            spread = f" +- {self.stderr:.2g}"
        else:
            spread = f" +- {self.accuracy:.2g} (numerical)" if self.accuracy else ""
        named = f"{self.name} ({self.detail})" if self.detail else self.name
        head = f"{named} = {self.value:+.4g}{spread}, threshold {self.threshold:.4g}: {self.outcome}"
        return f"{head} ({self._why()})"

    def _why(self) -> str:
        if self.n_seeds == 1:
            return "one seed has no standard error; run at least 2 more seeds"
        if self.undecided:
            return self.undecided
        if not math.isfinite(self.stderr):
            more = f"at least {10 - self.n_seeds} more seeds" if self.n_seeds < 10 else "more seeds"
            return f"some seeds never get there; run {more}"
        in_errors = bool(self.stderr) and quantile(self.n_seeds) * self.stderr >= self.accuracy
        if in_errors:
            unit, limit = " s.e.", quantile(self.n_seeds)
            margin = f"{self.margin / self.stderr:+.1f}{unit}"
            rule = f"holds above +{limit:.3g}, fails below -{limit:.3g}"
        else:
            margin = f"{self.margin:+.3g}"
            limit = self.bar
            exact = "all seeds agree" if self.n_seeds else "exact"
            rule = f"holds above +{limit:.2g}, fails below -{limit:.2g}" if limit else exact
        text = f"margin {margin}; {rule}"
        if self.outcome is not Outcome.INCONCLUSIVE:
            return text
        more_seeds = self.more_seeds
        if more_seeds is not None:
            return f"{text}; about {more_seeds} more seeds would decide it"
        if in_errors:
            return f"{text}; no realistic number of seeds would decide it"
        return f"{text}; a tie within the accuracy: refine the numerics if it should not be one"


def _median_and_stderr(values: np.ndarray, threshold: float) -> tuple[float, float]:
    """Median of sorted values, some infinite, and the error that the order statistics give it."""
    n = values.size
    low, high = float(values[(n - 1) // 2]), float(values[n // 2])
    if math.isfinite(low) and math.isfinite(high):
        median = (low + high) / 2
    else:
        # The two middle values may be of different kinds; the one nearer to the threshold is the
        # cautious choice.
        median = min(low, high, key=lambda v: abs(v - threshold))
    # Largest k with P(at most k of n values lie below the median) <= TAIL: then values[k] is the
    # lower limit, values[n - 1 - k] the upper one.
    below = bdtr(np.arange(n), n, 0.5)
    k = int(np.searchsorted(below, TAIL, side="right")) - 1
    if k < 0:
        return median, math.inf
    limit = float(values[k] if median > threshold else values[n - 1 - k])
    if not math.isfinite(median):
        decided = limit > threshold if median > threshold else limit < threshold
        return median, 0.0 if decided else math.inf
    return median, abs(median - limit) / quantile(n)


_SEVERITY = {Outcome.FAILS: 0, Outcome.INCONCLUSIVE: 1, Outcome.HOLDS: 2, Outcome.NOT_RUN: 3}


def combine(outcomes: Iterable[Outcome]) -> Outcome:
    """Return the outcome of a conjunction: fails if any fails, holds if all hold, else inconclusive.

    What was not run does not count; nothing left is not run.
    """
    counted = [o for o in outcomes if o is not Outcome.NOT_RUN]
    return min(counted, key=_SEVERITY.__getitem__, default=Outcome.NOT_RUN)


@dataclass(frozen=True)
class Verdict:
    """The conjunction of several effects.

    Parameters
    ----------
    effects : sequence of Effect
        At least one.
    """

    effects: tuple[Effect, ...]

    def __init__(self, effects: Sequence[Effect]) -> None:
        if not effects or not all(isinstance(e, Effect) for e in effects):
            raise InvalidInput.of("effects", effects, "be one or more Effect", "measure something first")
        object.__setattr__(self, "effects", tuple(effects))

    @property
    def outcome(self) -> Outcome:
        """Fails if any effect fails, holds if all hold, else inconclusive."""
        return combine(e.outcome for e in self.effects)

    @property
    def worst(self) -> Effect:
        """The effect that decides: by outcome (fails, inconclusive, holds), then by least margin.

        The outcome comes first because effects may have different bars: a small margin that is
        known exactly is stronger than a larger one that is not resolved.
        """
        return min(self.effects, key=lambda e: (_SEVERITY[e.outcome], e.margin))

    def sentence(self) -> str:
        """The worst effect in one line, and how many others stand behind it."""
        others = len(self.effects) - 1
        tail = f" [the weakest of {others + 1} effects]" if others else ""
        return self.worst.sentence() + tail
