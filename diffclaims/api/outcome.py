"""From an effect size and its uncertainty to holds, fails or inconclusive: the rule for one effect.

An effect that was measured with several seeds is judged by its median: it holds when so few seeds lie at or below
the threshold that a median there would let that happen with a probability of at most 1 %, whatever the
distribution and however often one looked (`diffclaims.api.evidence`). Fewer than 8 seeds decide nothing: 7 seeds of
nothing agree in one case of 64. It fails in the same way on the other side.
An effect of an exact subject holds when it lies above its threshold by more than the stated numerical accuracy. One
that is known with a standard error, but not by seed, must lie above it by three of them; if few repetitions gave
the standard error, by the Student-t quantile of the tail probability of three sigma, 0.00135.
One whose limits come from resampling (`diffclaims.api.pairs`) holds when its lower limit lies above the threshold.

The *decision threshold* is how far from its threshold an effect must lie, by this rule. The rule is ours.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, stdtrit

from diffclaims.api.evidence import DECISIVE, FEWEST_SEEDS, evidence, most_against
from diffclaims.errors import InvalidInput
from diffclaims.problem.arguments import check_fields
from diffclaims.problem.validate import as_float

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
    """Return how many standard errors decide, for one that `n_seeds` repetitions gave.

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
        Standard error of `value`, >= 0; +inf when it cannot be told. Where there are `samples`, they decide.
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
    interval : tuple of float, optional
        Lower and upper limit from resampling, each wrong in at most 1 % of all cases. They decide, then.

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
    interval: tuple[float, float] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        check_fields(self, but=("value", "threshold", "stderr", "accuracy", "samples", "interval"))
        if self.interval is not None and not self.interval[0] <= self.interval[1]:
            raise InvalidInput.of(
                f"interval of the effect {self.name!r}",
                self.interval,
                "be two numbers, the lower one first",
                "leave it out where nothing was resampled",
            )
        known = isinstance(self.samples, Sequence) and not isinstance(self.samples, str | bytes)
        if not known or not all(_is_number(sample) for sample in self.samples):
            raise InvalidInput.of(
                f"samples of the effect {self.name!r}",
                self.samples,
                "be a sequence of numbers",
                "give the values by seed, or () where there are none",
            )
        for name in ("value", "threshold", "stderr", "accuracy"):
            number = as_float(getattr(self, name))
            if math.isnan(number):
                raise InvalidInput.of(
                    f"{name} of the effect {self.name!r}",
                    getattr(self, name),
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
            Its value is the median. Of the two middle values of an even number, of which one is infinite, it is
            the one nearer to the threshold. `stderr` is that of a median of normal values, for comparisons
            between runs; it is infinite where a value is.
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
        value, stderr = _median(values, threshold), 0.0
        if not np.isfinite(values).all():
            stderr = math.inf
        elif n > 1:
            stderr = math.sqrt(math.pi / 2) * float(values.std(ddof=1)) / math.sqrt(n)
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
    def limits(self) -> tuple[float, float]:
        """Lower and upper limit, each wrong in at most 1 % of all cases: by resampling, or of the median of seeds."""
        if self.interval is not None:
            return self.interval
        n = len(self.samples)
        most = most_against(n)
        if most < 0:
            return -math.inf, math.inf
        ordered = sorted(self.samples)
        return ordered[most], ordered[n - 1 - most]

    @property
    def shown_limits(self) -> tuple[float, float]:
        """Limits shown beside the value: `limits` where there are any, else the decision threshold around it."""
        if self.samples or self.interval is not None:
            return self.limits
        if math.isinf(self.bar):
            return -math.inf, math.inf
        return self.value - self.bar, self.value + self.bar

    @property
    def bar(self) -> float:
        """The decision threshold: how far from the threshold counts as decided, in the units of the effect."""
        if self.n_seeds == 1 and self.interval is None:
            return math.inf
        if not self.samples and self.interval is None:
            return max(self.accuracy, quantile(self.n_seeds) * self.stderr)
        low, high = self.limits
        to_limit = [0.0 if a == b else a - b for a, b in ((self.value, low), (high, self.value))]
        if self.margin == 0:
            return max(to_limit) + self.accuracy
        return to_limit[self.margin < 0] + self.accuracy

    def _against(self, side: int) -> int:
        """How many seeds do not lie beyond the threshold, and beyond the accuracy, on a side: +1 or -1."""
        return sum(side * (x - self.threshold) <= self.accuracy for x in self.samples)

    @functools.cached_property
    def outcome(self) -> Outcome:
        """The verdict rule, for this effect alone."""
        if self.samples:
            most = most_against(len(self.samples))
            if self._against(1) <= most:
                return Outcome.HOLDS
            return Outcome.FAILS if self._against(-1) <= most else Outcome.INCONCLUSIVE
        if self.interval is not None:
            low, high = self.interval
            if low > self.threshold + self.accuracy:
                return Outcome.HOLDS
            return Outcome.FAILS if high < self.threshold - self.accuracy else Outcome.INCONCLUSIVE
        margin, bar = self.margin, self.bar
        if bar == math.inf or margin == 0:
            return Outcome.INCONCLUSIVE
        if margin >= bar:
            return Outcome.HOLDS
        return Outcome.FAILS if margin <= -bar else Outcome.INCONCLUSIVE

    @property
    def evidence_of_failure(self) -> float:
        """Evidence that the effect lies below its threshold: by seeds, or infinite where it is known to.

        A limit that is wrong in at most 1 % of all cases is evidence of 100.
        """
        if self.samples:
            return evidence(len(self.samples), self._against(-1))
        known = math.inf if self.interval is None else DECISIVE
        return known if self.outcome is Outcome.FAILS else 0.0

    @property
    def more_seeds(self) -> int | None:
        """Further repetitions after which an inconclusive effect of this size would be decided.

        None when it is decided, when more repetitions would not help (an exact subject, a margin
        within the numerical accuracy) or when nothing can be told yet (one repetition).
        """
        if self.outcome is not Outcome.INCONCLUSIVE or self.n_seeds < 2 or self.interval is not None:
            return None
        distance = abs(self.margin)
        if distance <= self.accuracy or distance == 0:
            return None
        if self.samples:
            against = self._against(1 if self.margin > 0 else -1)
            share = against / len(self.samples)

            def decided(n: int) -> bool:
                return against + (n - self.n_seeds) * share <= most_against(n)

        elif not math.isfinite(self.stderr):
            return None
        else:
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
        if self.samples:
            low, high = self.limits
            spread = f" (median of {self.n_seeds} seeds"
            spread += (
                f", limits {low:+.4g} and {high:+.4g})" if math.isfinite(low) or math.isfinite(high) else ")"
            )
        elif self.interval is not None:
            spread = f" (limits {self.interval[0]:+.4g} and {self.interval[1]:+.4g} by resampling)"
        elif self.n_seeds or self.stderr:
            spread = f" +- {self.stderr:.2g}"
        else:
            spread = f" +- {self.accuracy:.2g} (numerical)" if self.accuracy else ""
        named = f"{self.name} ({self.detail})" if self.detail else self.name
        head = f"{named} = {self.value:+.4g}{spread}, threshold {self.threshold:.4g}: {self.outcome}"
        return f"{head} ({self._why()})"

    def _why(self) -> str:
        if self.interval is not None and (not self.undecided or self.outcome is not Outcome.INCONCLUSIVE):
            return "holds where the lower limit lies above the threshold, fails where the upper lies below"
        if self.n_seeds == 1 and self.interval is None:
            return f"one seed decides nothing; run at least {FEWEST_SEEDS - 1} more seeds"
        if self.undecided:
            return self.undecided
        if self.samples:
            text, helps = self._why_by_seed(), True
        elif not math.isfinite(self.stderr):
            return "some seeds never get there, and their values are not at hand"
        else:
            text, helps = self._why_by_error()
        if self.outcome is not Outcome.INCONCLUSIVE:
            return text
        if abs(self.margin) <= self.accuracy or not helps:
            return f"{text}; a tie within the accuracy: refine the numerics if it should not be one"
        more = self.more_seeds
        if more is not None:
            return f"{text}; about {more} more seeds would decide it"
        return f"{text}; no realistic number of seeds would decide it"

    def _why_by_seed(self) -> str:
        n = len(self.samples)
        most = most_against(n)
        if most < 0:
            return f"{n} seeds can agree by chance; {FEWEST_SEEDS} that agree decide"
        side = 1 if self.margin >= 0 else -1
        return f"{self._against(side)} of {n} seeds lie on the other side; up to {most} may"

    def _why_by_error(self) -> tuple[str, bool]:
        """What decides, and whether more seeds would help."""
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
        return f"margin {margin}; {rule}", in_errors


def _is_number(sample: object) -> bool:
    # Floats, which most are, are asked at once: a run looks at tens of thousands.
    return sample == sample if type(sample) is float else not math.isnan(as_float(sample))


def _median(values: np.ndarray, threshold: float) -> float:
    """Median of sorted values, some of which may be infinite."""
    n = values.size
    low, high = float(values[(n - 1) // 2]), float(values[n // 2])
    if math.isfinite(low) and math.isfinite(high):
        return (low + high) / 2
    # The two middle values may be of different kinds; the one nearer to the threshold is the cautious choice.
    return min(low, high, key=lambda v: abs(v - threshold))
