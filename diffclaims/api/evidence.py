"""How surely most repetitions lie on one side of a threshold: a sign test that may be looked at after every seed.

A value on the stated side of the threshold is a success. If the median lies on the other side, successes have a
probability of at most one half, whatever the distribution: skewed, heavy-tailed, or with values that are only
known to be infinite. A bet on successes then does not grow on average, so that its capital reaches 100 with a
probability of at most 1 %, at any of the looks (Ville's inequality). The bet here is a mixture over
success probabilities p between 1/2 and 1 with density proportional to p^5. Such bets are those of
Waudby-Smith and Ramdas (arXiv:2010.09686), for quantiles Howard and Ramdas (arXiv:1906.09712); the mixture is ours.
"""

from __future__ import annotations

import functools
import math

from scipy.special import betaincc, betaln

#: Evidence that decides: a false decision has a probability of at most one in so many.
DECISIVE = 100.0
#: Power of p in the density of the mixture, plus one. With 6, eight seeds that all agree decide, as with no
#: smaller number they can, and more seeds are used nearly as well as by a test at one look.
_SHAPE = 6.0


def evidence(n_seeds: int, n_against: int) -> float:
    """Return the evidence that a median lies on the stated side of its threshold.

    Parameters
    ----------
    n_seeds : int
        Independent values, 0 or more.
    n_against : int
        How many of them do not lie on the stated side.

    Returns
    -------
    float
        An e-value: 1 where nothing is known; with a probability of at most 1/x it ever exceeds x, at any number
        of seeds, if the median does not lie on the stated side.
    """
    successes = _SHAPE + n_seeds - n_against
    tail = float(betaincc(successes, 1.0 + n_against, 0.5))
    if tail == 0.0:
        return 0.0
    log = n_seeds * math.log(2) + float(betaln(successes, 1.0 + n_against)) + math.log(tail)
    log -= float(betaln(_SHAPE, 1.0)) + math.log(float(betaincc(_SHAPE, 1.0, 0.5)))
    return math.exp(min(log, 700.0))


@functools.cache
def most_against(n_seeds: int, needed: float = DECISIVE) -> int:
    """Return how many of the values may lie against a decision; -1 where so few cannot decide.

    Parameters
    ----------
    n_seeds : int
    needed : float
        Evidence that decides.
    """
    low, high = -1, n_seeds // 2
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if evidence(n_seeds, middle) >= needed else (low, middle - 1)
    return low


#: Fewer seeds decide nothing, even where all agree.
FEWEST_SEEDS = next(n for n in range(1, 100) if most_against(n) >= 0)
