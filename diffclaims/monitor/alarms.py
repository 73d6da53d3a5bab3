"""When an alarm began that is raised at some measurements and not at others, and whether it still stands.

All measurements of a training look at the same few samples. An alarm that comes by chance, as of an untrained network
whose losses are larger for some samples than for others, goes away as the network learns; memory stays, and grows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from diffclaims.times.crossing import first_reached

Floats = NDArray[np.float64]


def began(raised: NDArray[np.bool_]) -> int | None:
    """Return at which measurement the alarm began that stands at the last one; None for none.

    An alarm at one measurement that the next does not confirm is withdrawn. One that was confirmed is withdrawn by
    two measurements in a row without it. An alarm at the last measurement stands: nobody is told that all is well.

    Parameters
    ----------
    raised : bool ndarray, shape (T,)
    """
    quiet = np.flatnonzero(~raised[1:] & ~raised[:-1])
    first = int(quiet[-1]) + 2 if quiet.size else 0
    on = first + np.flatnonzero(raised[first:])
    unconfirmed = on.size == 1 and on[0] < len(raised) - 1
    return None if not on.size or unconfirmed else int(on[0])


def standing_since(steps: Floats, values: Floats, limit: float) -> Floats:
    """Return when curves reached a limit that they have not left, by `began`.

    Parameters
    ----------
    steps : ndarray, shape (T,)
    values : ndarray, shape (T, B)

    Returns
    -------
    ndarray, shape (B,)
        In ln(1 + step) between two measurements, as by `first_reached`; +inf where no alarm stands, NaN for a curve
        that is not finite.
    """
    out = np.full(values.shape[1], np.inf)
    for b, curve in enumerate(values.T):
        if not np.isfinite(curve).all():
            out[b] = np.nan
        elif (i := began(curve >= limit)) is not None:
            kept = slice(max(0, i - 1), None)
            out[b] = first_reached(steps[kept], curve[kept], limit, from_start=True)
    return out
