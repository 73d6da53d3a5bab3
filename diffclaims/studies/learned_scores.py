"""Scores of one model trained at several weights of a class, each sample's moments computed once.

A seed's samples of a class at one weight are the first of those at another.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from diffclaims.finite.backend import Backend
from diffclaims.finite.draw import Draw, draw_gaussian
from diffclaims.finite.gram import ClassFeatureMoments, Features, Moments
from diffclaims.finite.scores import Score, ScoreMaker, trained_score
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures

Floats = NDArray[np.float64]


#: Of the noise averages, and the order of Mehler's sum: a third of the time of the defaults, and far below the
#: scatter of samples.
TOLERANCE, ORDER = 1e-4, 3


def shifted_tanh(x: Floats) -> Floats:
    """Return tanh(x + 1): the same features with a bias, so that they are not odd."""
    return np.asarray(np.tanh(x + 1.0))


#: Activations by the name that the record keeps.
ACTIVATIONS: dict[str, str | Callable[[Floats], Floats]] = {"tanh": "tanh", "tanh(x + 1)": shifted_tanh}


class Learned:
    """Scores trained at several weights of the minority.

    Parameters
    ----------
    mixtures : sequence of GaussianMixture
        That differ in their weights alone.
    psi_n, psi_p : float
        As in `RandomFeatures`; psi_n = inf trains on the moments of the population.
    activation : str
        A key of `ACTIVATIONS`.
    n_dims : int
        Dimension d.
    """

    def __init__(
        self,
        mixtures: Sequence[GaussianMixture],
        psi_n: float,
        psi_p: float,
        activation: str,
        *,
        n_dims: int,
    ) -> None:
        self.mixtures, self.psi_n, self.n_dims = mixtures, psi_n, n_dims
        # Without samples the size of the training set means nothing.
        self.model = RandomFeatures(
            psi_p=psi_p,
            psi_n=psi_n if np.isfinite(psi_n) else 4.0,
            diffusion_time=1.0,
            activation=ACTIVATIONS[activation],
        )
        self._known: dict[tuple[int, float], list[Score]] = {}

    def at(self, which: int) -> ScoreMaker:
        """Return what makes the scores of the weight number `which`."""
        return lambda draw, model: self._trained(draw.seed, model)[which]

    def _trained(self, seed: int, model: RandomFeatures) -> list[Score]:
        key = (seed, model.diffusion_time)
        if key not in self._known:
            draws = [draw_gaussian(m, self.model, n_dims=self.n_dims, seed=seed) for m in self.mixtures]
            model = dataclasses.replace(self.model, diffusion_time=model.diffusion_time)
            pairs = zip(draws, self._moments(draws, model), strict=True)
            self._known[key] = [trained_score(d, model, m, "best", Backend()) for d, m in pairs]
        return self._known[key]

    def _moments(self, draws: Sequence[Draw], model: RandomFeatures) -> list[ClassFeatureMoments]:
        features = Features(draws[0].features, model, backend=Backend(), tolerance=TOLERANCE)
        classes = range(len(draws[0].train))
        # Centroids and variances are those of every weight.
        assert draws[0].population is not None
        test = [features.of_population(draws[0].population, k) for k in classes]
        if not np.isfinite(self.psi_n):
            return [ClassFeatureMoments(m.weights, test, test) for m in self.mixtures]
        nested = [_nested(features, [d.train[k] for d in draws]) for k in classes]
        return [ClassFeatureMoments(d.shares, [n[i] for n in nested], test) for i, d in enumerate(draws)]


def _nested(features: Features, sets: Sequence[Floats]) -> list[Moments]:
    """Return the moments of each of several sets of samples (n_i, d), each the start of the longest."""
    longest = max(sets, key=len)
    start, u, v, bound, found = 0, 0.0, 0.0, 0.0, {}
    for stop in sorted({len(x) for x in sets}):
        part = features.of_samples(longest[start:stop], order=ORDER)
        u, v = u + (stop - start) * part.u, v + (stop - start) * part.v
        bound += (stop - start) * part.bound
        found[stop] = Moments(u / stop, v / stop, bound / stop)
        start = stop
    return [found[len(x)] for x in sets]
