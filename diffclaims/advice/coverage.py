"""How well the samples of a class are covered by the other ones: a predictor without any theory.

Each of some samples is held out in turn, and its distance to the nearest other sample of its class is taken, in units
of the class: the root mean squared distance between two of its samples. Near 1 no sample tells anything of another;
near 0 each has a neighbour. Expected, and written down before any recording was looked at: a class that is covered
better is generalized earlier and memorized later. The construction is ours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from diffclaims.advice.samples import Samples

Floats = NDArray[np.float64]

#: Samples held out per class, and samples whose distances are in memory at once.
N_HELD_OUT, _BLOCK = 200, 4096
#: A neighbour nearer than this share of the unit is the same sample: rounding leaves about 1e-8 of it.
SAME = 1e-6


def coverage(
    samples: Samples, members: NDArray[np.intp], variance: float, seed: int
) -> tuple[float, float, float]:
    """Return how far held-out samples of a class are from the nearest other one.

    Parameters
    ----------
    samples : Samples
    members : ndarray of int
        Positions of the samples of the class, two or more.
    variance : float
        Its total variance.
    seed : int
        Of which are held out, if not all are.

    Returns
    -------
    mean, stderr : float
        Over held-out samples, in units of the class.
    repeated : float
        Share of held-out samples with an equal one in the class.
    """
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(members.size)[:N_HELD_OUT]
    x = samples.rows(members[chosen])
    # About one sample of the class, so that squares do not cancel.
    origin = x[0].copy()
    x -= origin
    own = np.einsum("na,na->n", x, x)
    nearest = np.full(chosen.size, np.inf)
    for start in range(0, members.size, _BLOCK):
        block = samples.rows(members[start : start + _BLOCK]) - origin
        squares = own[:, None] - 2 * x @ block.T + np.einsum("na,na->n", block, block)
        inside = (chosen >= start) & (chosen < start + len(block))
        squares[np.flatnonzero(inside), chosen[inside] - start] = np.inf
        nearest = np.minimum(nearest, squares.min(axis=1))
    found = np.sqrt(np.maximum(nearest, 0.0) / (2 * variance))
    stderr = float(found.std(ddof=1) / np.sqrt(found.size))
    return float(found.mean()), stderr, float((found < SAME).mean())
