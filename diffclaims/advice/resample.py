"""How far a forecast depends on which samples there are: the same forecast for resampled data.

Directions and their types stay those of all samples; variances along them and centroids are those of samples drawn
anew with replacement. Of a large class `MOST` samples stand for all, with the scatter that all would have. The
construction is ours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from diffclaims.advice.forecast import Forecast
from diffclaims.advice.measure import Measured
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.moments import Moments

Floats = NDArray[np.float64]

#: Samples of a class that are drawn from.
MOST = 2000


def resampled(found: Measured, moments: Moments, n: int, seed: int) -> list[GaussianMixture]:
    """Return the mixtures of n data sets whose samples are drawn with replacement from those given.

    Parameters
    ----------
    found : Measured
    moments : Moments
        Of its covariances.
    n, seed : int
    """
    k, n_types = moments.variances.shape
    variances = np.repeat(moments.variances[None], n, axis=0)
    shift = np.zeros((n, k, found.means.shape[1]))
    sizes = np.bincount(moments.types, minlength=n_types)
    in_type = np.zeros((len(moments.types), n_types))
    in_type[np.arange(len(moments.types)), moments.types] = 1.0 / sizes[moments.types]
    # Directions of types without any variance hold the constant pixels, which shrinkage leaves alone.
    alive = moments.fractions * (moments.variances.max(axis=0) > 0)
    for c in range(k):
        rng = np.random.default_rng((seed, c))
        own = found.members(c)
        x = found.samples.rows(np.sort(rng.permutation(own)[:MOST])) - found.means[c]
        energy = (x @ moments.basis) ** 2 @ in_type
        drawn = rng.multinomial(len(x), np.full(len(x), 1 / len(x)), size=n) / len(x) - 1 / len(x)
        scale = np.sqrt(len(x) / own.size)
        moved = scale * drawn @ energy
        a = found.shrunk[c]
        alike = (moved @ alive / alive.sum())[:, None] * (alive > 0)
        variances[:, c] += (1 - a) * moved + a * alike
        shift[:, c] = scale * drawn @ x
    variances = np.maximum(variances, 1e-3 * moments.variances)
    means = found.means + shift
    means -= np.einsum("k,nkd->nd", moments.weights, means)[:, None]
    grams = means @ means.swapaxes(1, 2) / means.shape[2]
    return [
        GaussianMixture(moments.weights, v, moments.fractions, g, moments.classes)
        for v, g in zip(variances, grams, strict=True)
    ]


def limits(drawn: list[Forecast], which: str) -> tuple[Floats, Floats, Floats]:
    """Return how times scatter over resampled data.

    Parameters
    ----------
    drawn : list of Forecast
    which : {"gen", "best", "mem"}

    Returns
    -------
    stderr : ndarray, shape (K,)
        Standard deviation of ln tau over those in which it is reached; NaN where that are fewer than two.
    first, last : ndarray, shape (K,)
        Earliest and latest place of each class among all.
    """
    times = np.log(np.stack([getattr(one, which) for one in drawn]))
    places = np.stack([place(row) for row in times])
    reached = np.isfinite(times)
    stderr = np.full(times.shape[1], np.nan)
    for k in np.flatnonzero(reached.sum(axis=0) > 1):
        stderr[k] = times[reached[:, k], k].std(ddof=1)
    return stderr, places.min(axis=0), places.max(axis=0)


def place(times: Floats) -> Floats:
    """Return the place of each class, 1 for the first; NaN for a time that is not reached."""
    found = 1.0 + (times[:, None] > times).sum(axis=1)
    return np.where(np.isfinite(times), found, np.nan)
