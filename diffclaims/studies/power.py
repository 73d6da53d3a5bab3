"""What a pool of seeds says of one case: how often a number of seeds decides it, and how often wrongly.

Seeds are independent, so that a repetition of 8 seeds that must all agree is decided with the probability ``q^8``, q
that of one seed whose effects all lie on the side of the truth. Every seed of the pool counts once, and the
Clopper-Pearson interval of q gives that of the power.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import binom

from diffclaims.api.evidence import DECISIVE, FEWEST_SEEDS, evidence, most_against
from diffclaims.api.outcome import Outcome
from diffclaims.studies.proportion import interval

Floats = NDArray[np.float64]

#: Power that is asked for.
POWER = 0.95
#: Coverage of the intervals.
COVERAGE = 0.95
#: More seeds than this are not worth naming.
MOST_SEEDS = 200
#: Scatter below this is none.
TINY = 1e-9


@dataclass(frozen=True, kw_only=True)
class Rate:
    """A probability and the interval of it that a pool gives."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{_percent(self.value)} [{_percent(self.low)}, {_percent(self.high)}]"


def _percent(share: float) -> str:
    return f"{100 * share:.{2 if share < 0.1 else 1}f}"


def _rate(value: float, low: float, high: float, n_seeds: int, allowed: int) -> Rate:
    """How often at most `allowed` of `n_seeds` seeds are not right, from how often one is."""
    if allowed < 0:
        return Rate(value=0.0, low=0.0, high=0.0)
    value, low, high = (float(binom.cdf(allowed, n_seeds, 1 - q)) for q in (value, low, high))
    return Rate(value=value, low=low, high=high)


def _counted(right: NDArray[np.bool_], n_seeds: int, allowed: int) -> Rate:
    """The same, from a pool."""
    return _rate(float(right.mean()), *interval(int(right.sum()), right.size), n_seeds, allowed)


@dataclass(frozen=True)
class Judged:
    """What the pool of one case says.

    Parameters
    ----------
    data : Dataset
        One of `split`.
    """

    data: xr.Dataset

    @property
    def margins(self) -> Floats:
        """Values above thresholds, (effect, seed)."""
        data = self.data
        return np.asarray(data["samples"].values - data["threshold"].values[:, None], dtype=np.float64)

    @property
    def gauged(self) -> tuple[Floats, Floats]:
        """The same on the claim's own scale, (effect, seed), and accuracies there, (effect,)."""
        if "gauge" not in self.data:
            return self.margins, np.asarray(self.data["accuracy"].values, dtype=np.float64)
        return np.asarray(self.data["gauge"].values, dtype=np.float64), np.zeros(self.data.sizes["effect"])

    def beyond(self, side: int) -> NDArray[np.bool_]:
        """Which lie beyond their threshold, and the accuracy, on a side: +1 or -1; (effect, seed)."""
        return np.asarray(side * self.margins > self.data["accuracy"].values[:, None])

    @property
    def medians(self) -> Floats:
        """Medians above thresholds, (effect,)."""
        return np.asarray(np.quantile(self.margins, 0.5, axis=1, method="lower"))

    @property
    def truth(self) -> Outcome:
        """The side of the medians: holds where all lie above their thresholds."""
        return Outcome.HOLDS if (self.medians > 0).all() else Outcome.FAILS

    def _ways(self) -> Iterator[tuple[NDArray[np.int64], Callable[[int], int]]]:
        """Effects that decide, and how many seeds may lie against them: every way to be decided rightly."""
        if self.truth is Outcome.HOLDS:
            yield np.arange(len(self.medians)), most_against
            return
        order = np.argsort(-self.beyond(-1).sum(axis=1), kind="stable")
        for m in range(1, int((self.medians <= 0).sum()) + 1):
            yield order[:m], _failing(m, order.size)

    @property
    def side(self) -> int:
        """+1 where the claim holds, -1 where it fails."""
        return 1 if self.truth is Outcome.HOLDS else -1

    def power(self, n_seeds: int = FEWEST_SEEDS) -> Rate:
        """How often the case is decided as the truth is.

        Where all seeds must agree, as 8 must, and it holds, this is exact up to the interval. Else it is a bound from
        below: seeds that are wrong are counted together, whichever effect they are wrong in, and effects that
        need not fail add no evidence.
        """
        beyond = self.beyond(self.side)
        rates = [_counted(_all(beyond[rows]), n_seeds, allowed(n_seeds)) for rows, allowed in self._ways()]
        return max(rates, key=lambda r: r.value)

    def normal_power(self, n_seeds: int = FEWEST_SEEDS) -> Rate:
        """The same if every effect scatters normally on the claim's scale: a seed misses at most as often as all do.

        The interval is that of each effect's distance in units of its scatter. Effects with infinite values are
        counted.
        """
        rates = []
        for rows, allowed in self._ways():
            miss = sum((self._miss(int(i)) for i in rows), np.zeros(3))
            value, low, high = (max(1 - float(m), 0.0) for m in miss)
            rates.append(_rate(value, low, high, n_seeds, allowed(n_seeds)))
        return max(rates, key=lambda r: r.value)

    def _miss(self, i: int) -> Floats:
        """How often an effect lies on the wrong side: estimate, and the largest and least that the pool allows."""
        margins, accuracy = self.gauged
        x, n = self.side * margins[i], margins.shape[1]
        if not np.isfinite(x).all():
            right = self.beyond(self.side)[i]
            low, high = interval(int(right.sum()), n)
            return np.array([1 - right.mean(), 1 - low, 1 - high])
        distance = (float(x.mean()) - float(accuracy[i])) / max(float(x.std(ddof=1)), TINY)
        off = -float(ndtri((1 - COVERAGE) / 2)) * math.sqrt(1 / n + distance**2 / (2 * (n - 1)))
        return np.asarray(ndtr([-distance, off - distance, -off - distance]))

    @property
    def needed(self) -> int | None:
        """Least number of seeds with a power of `POWER`; None beyond `MOST_SEEDS`."""
        numbers = range(FEWEST_SEEDS, MOST_SEEDS + 1)
        return next((n for n in numbers if self.power(n).value >= POWER), None)

    @property
    def weakest(self) -> int:
        """The effect that decides and lies least far on the side of the truth, in units of its scatter."""
        rows, _ = next(iter(self._ways()))
        margins = self.gauged[0][rows]
        scatter, medians = _scatter(margins), np.quantile(margins, 0.5, axis=1, method="lower")
        ratios = np.where(np.isnan(scatter), np.inf, self.side * medians / np.maximum(scatter, TINY))
        return int(rows[ratios.argmin()])

    @property
    def scatter(self) -> Floats:
        """Standard deviation of a seed, of each effect; NaN where some are infinite."""
        return _scatter(self.margins)

    def false(self, side: int, of: str = "") -> Rate:
        """How often 8 seeds of a null say holds (+1) or fails (-1).

        Parameters
        ----------
        side : int
        of : str
            What is in the names of the effects that are zero; the others are real, and cannot fail.
        """
        zero = np.array([of in str(name) for name in self.data["effect"].values])
        right = _all(self.beyond(side)[zero])
        if side > 0:
            return _counted(right, FEWEST_SEEDS, most_against(FEWEST_SEEDS))
        return _counted(right, FEWEST_SEEDS, _failing(int(zero.sum()), zero.size)(FEWEST_SEEDS))


def _scatter(margins: Floats) -> Floats:
    finite = np.where(np.isfinite(margins), margins, np.nan)
    return np.asarray(np.where(np.isnan(finite).any(axis=1), np.nan, np.std(finite, axis=1, ddof=1)))


def _all(which: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Seeds of which all effects are so."""
    return np.asarray(which.all(axis=0))


def _failing(m: int, total: int) -> Callable[[int], int]:
    """Most seeds that may lie against m of the effects, by number of seeds, for their evidence to fail a claim."""

    def allowed(n_seeds: int) -> int:
        found = -1
        while found + 1 <= n_seeds // 2 and m * evidence(n_seeds, found + 1) >= DECISIVE * total:
            found += 1
        return found

    return allowed
