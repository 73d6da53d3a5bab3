"""What comes next if curves go on as they do."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from diffclaims.monitor.curves import LEARNED, MEMORIZED, MEMORIZING, ClassCurves
from diffclaims.problem.names import Name

Floats = NDArray[np.float64]

#: Measurements that a rate is fitted to, in ln(1 + step), and how far ahead it is trusted, as a factor in steps.
FITTED, AHEAD = 4, 10.0


def forecast(curves: Mapping[Name, ClassCurves], states: Mapping[Name, str]) -> tuple[str, float]:
    """Return the next event and its step; an empty text and NaN where none is on its way.

    Parameters
    ----------
    curves, states : mapping by class
        States of the last measurement.
    """
    events: list[tuple[float, str]] = []
    for name, c in curves.items():
        if not c.n:
            continue
        memorizing = c.memorizing()
        if not np.isfinite(memorizing).all():
            continue
        state, p = states[name], c.generalization()
        if np.isfinite(p).all() and p[-1] < LEARNED:
            events.append((_reaches(c.steps, p, LEARNED), f"{name} is learned"))
        if state in ("learned", "not learned"):
            events.append((_reaches(c.steps, memorizing.max(axis=1), MEMORIZING), f"{name} is memorizing"))
        elif state == "memorizing":
            events.append(
                (_reaches(c.steps, c.memorized(memorizing).max(axis=1), MEMORIZED), f"{name} is memorized")
            )
    events = [e for e in events if np.isfinite(e[0])]
    if not events:
        return "", float("nan")
    step, text = min(events)
    return f"{text} at about step {step:.0f}", step


def _reaches(steps: Floats, values: Floats, limit: float) -> float:
    x, y = np.log1p(steps[-FITTED:]), values[-FITTED:]
    if len(x) < 3:
        return float("nan")
    slope, offset = np.polyfit(x, y, 1)
    if slope <= 0:
        return float("nan")
    # Not before now: it has not happened.
    at = max(float((limit - offset) / slope), float(x[-1]))
    return float(np.expm1(at)) if at < x[-1] + np.log(AHEAD) else float("nan")
