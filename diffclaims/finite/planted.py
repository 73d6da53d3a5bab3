"""Scores with an error of known kind and size, and how large the error of any score is.

Kinds and sizes are ours. Size 0 is the exact score.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffclaims.errors import InvalidInput
from diffclaims.finite.draw import TURNS, Draw, Population, generator
from diffclaims.finite.scores import Score, exact_score
from diffclaims.problem.arguments import check_fields
from diffclaims.problem.model import RandomFeatures

Floats = NDArray[np.float64]

#: Kinds of planted errors, and what size e does.
KINDS: dict[str, str] = {
    "scale": "the score times 1 + e",
    "field": "plus a smooth random field, fixed in x and for all times, of e times the score's norm",
    "responsibility": "the minority's posterior times 1 - e, the rest given to the other class",
    "centroid": "the score of a mixture whose minority has its centroid times 1 - e",
    "variance": "the score of a mixture whose minority has its variances times 1 - e",
    "weights": "the score of a mixture of weights w + e (1/2 - w)",
    "mirror": "the score of (1 - e/2) p(y) + (e/2) p(-y); at 1 the best score that is odd in y",
}
# Streams of random numbers beside those of the U-turns.
_ERROR, _FIELD = 1, 2
#: Points a class from which the score's norm is taken.
_NORM_POINTS = 1000


@dataclass(frozen=True, kw_only=True)
class PlantedError:
    """The exact score of two classes, with an error: an argument `score` of `diffclaims.finite.speciation`.

    Parameters
    ----------
    kind : str
        A key of `diffclaims.finite.planted.KINDS`.
    size : float
        Relative size e; below 0 for ``"scale"`` alone, at most 1 for the others but ``"field"``.

    Raises
    ------
    InvalidInput
        For an unknown kind or a size out of its range.

    Notes
    -----
    Calling it with a draw of two classes and a model returns the score at the model's diffusion time, points
    (n, d) to (n, d). The minority is the class of least weight, the first of two equal ones.
    """

    kind: str
    size: float

    def __post_init__(self) -> None:
        check_fields(self)
        if self.kind not in KINDS:
            raise InvalidInput.of("kind", self.kind, f"be one of {', '.join(KINDS)}", "choose one of them")
        low, high = (-1.0 if self.kind == "scale" else 0.0), (9.0 if self.kind in ("scale", "field") else 1.0)
        if not low <= self.size <= high:
            raise InvalidInput.of("size", self.size, f"lie in [{low:g}, {high:g}]", "give a relative size")

    @property
    def name(self) -> str:
        """As it is recorded."""
        return f"exact, {self.kind} {self.size:g}"

    def __call__(self, draw: Draw, model: RandomFeatures) -> Score:
        """Return the score of one draw at one diffusion time."""
        population = draw.population
        if population is None or len(population.weights) != 2:
            raise InvalidInput.of("draw", draw, "have a population of two classes", "give a mixture of two")
        exact, e = exact_score(population, model), self.size
        minority = int(population.weights.argmin())
        if self.kind == "scale":
            return lambda y: (1 + e) * exact(y)
        if self.kind == "field":
            field = _field(draw, population, model, exact)
            return lambda y: exact(y) + e * field(y)
        if self.kind == "responsibility":

            def shrunk(p: Floats) -> Floats:
                kept = (1 - e) * p[:, minority]
                return np.stack([kept, 1 - kept][:: 1 if minority == 0 else -1], axis=1)

            return exact_score(population, model, shrunk)
        return exact_score(self._wrong(population, minority), model)

    def _wrong(self, population: Population, minority: int) -> Population:
        """Return the mixture whose exact score is the wrong one."""
        e, w = self.size, population.weights
        if self.kind == "weights":
            return dataclasses.replace(population, weights=w + e * (0.5 - w))
        if self.kind == "mirror":
            m, v = population.centroids, population.variances
            # A weight of 0 has no logarithm; this one is below any rounding of the others.
            return Population(
                weights=np.concatenate([(1 - e / 2) * w, np.maximum(e / 2 * w, 1e-300)]),
                centroids=np.concatenate([m, -m]),
                variances=np.concatenate([v, v]),
            )
        name = "centroids" if self.kind == "centroid" else "variances"
        value = getattr(population, name).copy()
        value[minority] *= 1 - e
        return dataclasses.replace(population, **{name: value})


def _field(draw: Draw, population: Population, model: RandomFeatures, exact: Score) -> Score:
    """Return a random field of the exact score's mean squared norm, both averaged over the two classes alike.

    Its waves are those of the seed, the same at all diffusion times and weights; their length is that of the data.
    """
    rng, d = generator(draw.seed, TURNS, _FIELD), population.n_dims
    waves = rng.standard_normal((d, d)) / np.sqrt(d)
    phases = rng.uniform(0, 2 * np.pi, d)
    out = rng.standard_normal((d, d))

    def raw(y: Floats) -> Floats:
        return np.asarray(np.cos(y @ waves.T + phases) @ out)

    y = np.concatenate(_noised(population, model, _NORM_POINTS, rng))
    scale = np.sqrt((exact(y) ** 2).sum() / (raw(y) ** 2).sum())
    return lambda y: scale * raw(y)


def _noised(
    population: Population, model: RandomFeatures, n_points: int, rng: np.random.Generator
) -> list[Floats]:
    """Return fresh noised points of each class, each of shape (n_points, d)."""
    out = []
    for k in range(len(population.weights)):
        x = population.sample(k, n_points, rng)
        out.append(np.sqrt(model.signal) * x + np.sqrt(model.noise) * rng.standard_normal(x.shape))
    return out


def score_error(
    draw: Draw, models: Sequence[RandomFeatures], scores: Sequence[Score], *, n_points: int = 200
) -> tuple[Floats, Floats]:
    """Relative mean squared error of scores against the exact ones, on the data of each class.

    Parameters
    ----------
    draw : Draw
        One seed's, with a population of two classes.
    models : sequence of RandomFeatures, length T
        Whose diffusion times count.
    scores : sequence of callable, length T
        A score at each of those times, points (n, d) to (n, d).
    n_points : int
        Fresh points of each class and time.

    Returns
    -------
    total : ndarray, shape (K, T)
        ``E |s - s*|^2 / E |s*|^2`` over the noised points of the class.
    axis : ndarray, shape (K, T)
        The same of the component along the difference of the centroids, which decides the class.

    Raises
    ------
    InvalidInput
        If the population is not known, whose score is then not known either.
    """
    population = draw.population
    if population is None:
        raise InvalidInput.of("draw", draw, "have a population", "give a mixture")
    rng = generator(draw.seed, TURNS, _ERROR)
    difference = population.centroids[0] - population.centroids[1]
    along = difference / max(float(np.linalg.norm(difference)), 1e-300)
    total, axis = np.empty((2, len(population.weights), len(models)))
    for i, (model, score) in enumerate(zip(models, scores, strict=True)):
        exact = exact_score(population, model)
        for k, y in enumerate(_noised(population, model, n_points, rng)):
            true = exact(y)
            off = score(y) - true
            total[k, i] = (off**2).sum() / (true**2).sum()
            axis[k, i] = ((off @ along) ** 2).sum() / ((true @ along) ** 2).sum()
    return total, axis
