"""When it is safe to stop: after every class is learned, and before the first is memorized."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffclaims.problem.names import Name

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Window:
    """The safe stopping window.

    Attributes
    ----------
    open : bool
        Whether the last measurement lies in it.
    reason : str
    start, stop : float
        Steps; +inf where they are not reached, NaN where nothing is known.
    start_low, start_high, stop_low, stop_high : float
        95 % intervals.
    certainty : float
        Share of resamplings in which there is a window, as far as one can see by now: the start is reached before the
        stop, or neither is reached.
    next_event : str
        What comes next at the present rate; empty where nothing is on its way.
    next_step, next_seconds : float
        When, in steps and in seconds from the last measurement; NaN where nothing is on its way.
    """

    open: bool
    reason: str
    start: float = float("nan")
    stop: float = float("nan")
    start_low: float = float("nan")
    start_high: float = float("nan")
    stop_low: float = float("nan")
    stop_high: float = float("nan")
    certainty: float = float("nan")
    next_event: str = ""
    next_step: float = float("nan")
    next_seconds: float = float("nan")


def window(times: Mapping[Name, Mapping[str, Floats]], before: float) -> Window:
    """Return the window of some classes whose times are known.

    Parameters
    ----------
    times : mapping of class to its times, shape (1 + B,)
        As `ClassCurves.times` has them.
    before : float
        Step of the last measurement but one, -1 for none: what began later is not confirmed.
    """
    known = {
        c: t
        for c, t in times.items()
        if not np.isnan(t["learned_at"]).any() and not np.isnan(t["memorizing_at"]).any()
    }
    if not known:
        return Window(False, "no window: no class has held-out samples to judge it by")
    names = list(known)
    starts = np.array([known[c]["learned_at"] for c in names])
    stops = np.array([known[c]["memorizing_at"] for c in names])
    start, stop = starts.max(axis=0), stops.min(axis=0)
    late, early = names[int(starts[:, 0].argmax())], names[int(stops[:, 0].argmin())]
    is_open, reason = _reason(float(start[0]), float(stop[0]), late, early, starts[:, 0], names)
    if np.isfinite(stop[0]) and stop[0] > before:
        reason += f"; measure once more, for only the last measurement says so of {early}"
    left = [str(c) for c in times if c not in known]
    if left:
        reason += f"; not counted, since unknown: {', '.join(left)}"
    some = (start < stop) | (np.isinf(start) & np.isinf(stop))
    (a, b), (c, d) = (np.quantile(x[1:], [0.025, 0.975], method="nearest").tolist() for x in (start, stop))
    return Window(is_open, reason, float(start[0]), float(stop[0]), a, b, c, d, float(some[1:].mean()))


def _reason(
    start: float, stop: float, late: Name, early: Name, starts: Floats, names: list[Name]
) -> tuple[bool, str]:
    if np.isinf(stop) and np.isinf(start):
        waiting = ", ".join(str(c) for c, s in zip(names, starts, strict=True) if np.isinf(s))
        return False, f"not open yet: not learned: {waiting}; none is memorizing"
    if np.isinf(stop):
        return True, f"open since step {start:.0f}, when {late} was learned as the last; none is memorizing"
    if stop <= start:
        learned = "not learned yet" if np.isinf(start) else f"learned at step {start:.0f} only"
        when = "from the start" if stop <= 0 else f"from step {stop:.0f} on"
        if early == late:
            return False, f"no window: {early} is being memorized {when} and {learned}"
        return False, f"no window: {early} is being memorized {when}, while {late} is {learned}"
    return (
        False,
        f"closed at step {stop:.0f}, when {early} began to be memorized; it was open from step {start:.0f}",
    )
