"""A share that was counted, with its interval."""

from __future__ import annotations

from scipy.stats import binomtest


def interval(count: int, total: int) -> tuple[float, float]:
    """Clopper-Pearson interval of a proportion, of coverage 0.95 or more."""
    low, high = binomtest(count, total).proportion_ci(0.95, method="exact")
    return float(low), float(high)


def percent(count: int, total: int) -> str:
    """A count of wrong decisions in percent, with its interval."""
    if count < 0:
        return "not defined"
    low, high = interval(count, total)
    return f"{100 * count / total:.2f} [{100 * low:.2f}, {100 * high:.2f}]"
