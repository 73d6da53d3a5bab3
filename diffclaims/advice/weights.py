"""Class weights that open or widen the safe window, by the theory.

The safe window is the training times at which every class is generalized and none is memorized. A search raises the
weight of the class that is learned last, of the one that is memorized first, or of both, whichever widens the window
most. Where the window was closed and opens on the way, the least change that opens it is the root of its width
between the weights at hand and those found. The search is ours: it may miss weights that would do better, and
says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from diffclaims.advice.forecast import Forecast

Floats = NDArray[np.float64]
#: Forecast for class weights.
Ask = Callable[[Floats], Forecast]

#: First and last step of ln weight, and forecasts that the search may ask for.
STEP, LAST_STEP, MOST_ASKED = 0.6, 0.15, 16
#: A window that widens by less, in ln time, is not worth other weights.
WORTH = 0.05
#: A window that ends ten times later than it starts needs none.
WIDE = float(np.log(10))
#: What is said, by word.
STATES = {
    "unlearned": "a class is never learned in the theory, so that there is no window to open",
    "endless": "no class is memorized in the theory at these sizes, so that no weights are needed",
    "wide": "the window ends more than ten times later than it starts, so that no weights are needed",
    "opens": "the window is closed with the weights at hand, and opens with others",
    "widens": "the window is open, and is wider with other weights",
    "open": "the window is open, and no weights that were tried widen it",
    "closed": "the window is closed, and no weights that were tried open it: it can vanish",
    "one": "there is one class, and no weights to choose",
}


@dataclass(frozen=True, eq=False)
class Advised:
    """What came out.

    Attributes
    ----------
    state : str
        A key of `STATES`.
    best : ndarray, shape (K,)
        Weights with the widest window found; those at hand where none is wider.
    opening : ndarray, shape (K,)
        The weights nearest to those at hand, on the way to `best`, with which the window opens; NaN where it is not
        closed, or none open it.
    before, after : float
        Width of the window with the weights at hand and with `best`, ln of its end over its start.
    n_asked : int
        Forecasts that were made.
    """

    state: str
    best: Floats
    opening: Floats
    before: float
    after: float
    n_asked: int


def advised(weights: Floats, ask: Ask, first: Forecast) -> Advised:
    """Search for weights.

    Parameters
    ----------
    weights : ndarray, shape (K,)
        Those at hand.
    ask : callable ``(weights) -> Forecast``
    first : Forecast
        For the weights at hand.
    """
    none = np.full(weights.shape, np.nan)
    start = first.window
    known = "one" if weights.size == 1 else {-np.inf: "unlearned", np.inf: "endless"}.get(start)
    known = known or ("wide" if start > WIDE else None)
    if known:
        return Advised(known, weights, none, start, start, 0)
    best, found, asked = _ascend(weights, ask, first)
    if found <= start + WORTH:
        return Advised("open" if start > 0 else "closed", weights, none, start, start, asked)
    if start > 0:
        return Advised("widens", best, none, start, found, asked)
    if found <= 0:
        return Advised("closed", best, none, start, found, asked)
    way = np.log(best) - np.log(weights)

    def width(share: float) -> float:
        if share in (0.0, 1.0):
            return max(start, -1e3) if share == 0 else min(found, 1e3)
        return float(np.clip(ask(_normal(np.log(weights) + share * way)).window, -1e3, 1e3))

    # A little beyond the root, so that the window is open there and not about to.
    root, report = brentq(width, 0.0, 1.0, xtol=0.02, full_output=True)
    opening = _normal(np.log(weights) + min(1.0, root + 0.02) * way)
    return Advised("opens", best, opening, start, found, asked + report.function_calls)


def _normal(logs: Floats) -> Floats:
    w = np.exp(logs - logs.max())
    return np.asarray(w / w.sum())


def _ascend(weights: Floats, ask: Ask, first: Forecast) -> tuple[Floats, float, int]:
    """Raise the weights of the classes that bound the window, as long as it gets wider."""
    logs, now, step, asked = np.log(weights), first, STEP, 0
    while step >= LAST_STEP and asked < MOST_ASKED and np.isfinite(now.window):
        bound = {int(now.gen.argmax()), int(now.mem.argmin())}
        tried = [{k} for k in bound] + ([bound] if 1 < len(bound) < weights.size else [])
        offers = []
        for raised in tried:
            other = logs.copy()
            other[list(raised)] += step
            offers.append((ask(_normal(other)), other))
            asked += 1
        best, other = max(offers, key=lambda o: o[0].window)
        if best.window > now.window + 1e-3:
            now, logs = best, other
        else:
            step /= 2
    return _normal(logs), now.window, asked
