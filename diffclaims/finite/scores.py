"""Scores at one diffusion time: the true one of a mixture, and those that random features learn.

Second layers are trained on the same samples and with the same first layer, at all diffusion times that are asked
for or at some, with a spline between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from diffclaims.finite.backend import Array, Backend
from diffclaims.finite.between import fill, trained_steps
from diffclaims.finite.draw import Draw, Population
from diffclaims.finite.flow import Flow
from diffclaims.finite.gram import ClassFeatureMoments, Features, Moments, mixed, mixture_moments
from diffclaims.finite.setup import DEFAULT_TIMES
from diffclaims.problem.model import RandomFeatures

Floats = NDArray[np.float64]
#: A score at one diffusion time: points (n, d) to scores (n, d).
Score = Callable[[Floats], Floats]
#: Makes the score of one seed's draw at the model's diffusion time.
ScoreMaker = Callable[[Draw, RandomFeatures], Score]
#: Points whose features are computed together: as many as leave them in a core's own cache.
POINTS_AT_ONCE = 512
#: Activations with act(-u) = -act(u).
ODD = ("tanh", "erf")


def log_posterior(population: Population, y: Floats, signal: float, noise: float) -> Floats:
    """Log p(l | x_t) of the mixture noised to one time, shape (n, K)."""
    total = signal * population.variances + noise
    out = np.empty((len(y), len(population.weights)))
    for k, (mu, v) in enumerate(zip(population.centroids, total, strict=True)):
        out[:, k] = np.log(population.weights[k]) - 0.5 * np.log(v).sum()
        out[:, k] -= 0.5 * ((y - np.sqrt(signal) * mu) ** 2 @ (1 / v))
    return np.asarray(out - logsumexp(out, axis=1, keepdims=True))


def exact_score(
    population: Population, model: RandomFeatures, adjust: Callable[[Floats], Floats] | None = None
) -> Score:
    """Score of the noised mixture; `adjust` may change the posteriors (n, K) that it is made of."""
    signal, noise = model.signal, model.noise
    total = signal * population.variances + noise

    def score(y: Floats) -> Floats:
        p = np.exp(log_posterior(population, y, signal, noise))
        p = p if adjust is None else adjust(p)
        return np.asarray((p @ (np.sqrt(signal) * population.centroids / total)) - y * (p @ (1 / total)))

    return score


def learned_scores(
    draw: Draw, models: Sequence[RandomFeatures], training_time: float | str, every: int, xp: Backend
) -> list[Score]:
    """Scores at the diffusion times of all models, trained at each `every`-th and the last, on one draw."""
    kept = trained_steps(len(models), every)
    readouts = []
    for i in kept:
        train, test = mixture_moments(draw, models[i], backend=xp, test=training_time == "best")
        readouts.append(_stopped(models[i], train, test, training_time, xp))
    if len(kept) < len(models):
        times = np.array([model.diffusion_time for model in models])
        filled = fill(times, kept, np.array([xp.numpy(readout) for readout in readouts]))
        readouts = [xp.array(readout) for readout in filled]
    return [_with_readout(draw, model, readout, xp) for model, readout in zip(models, readouts, strict=True)]


def trained_score(
    draw: Draw, model: RandomFeatures, moments: ClassFeatureMoments, training_time: float | str, xp: Backend
) -> Score:
    """Score of features trained on given moments; ``"best"`` needs moments of the population as well."""
    test = None
    if training_time == "best":
        assert draw.population is not None
        test = mixed(draw.population.weights, moments.test)
    readout = _stopped(model, mixed(moments.shares, moments.train), test, training_time, xp)
    return _with_readout(draw, model, readout, xp)


def _stopped(
    model: RandomFeatures, train: Moments, test: Moments | None, training_time: float | str, xp: Backend
) -> Array:
    """Second layer (d, p) trained on given moments; with ``"best"`` stopped at the least loss on others."""
    flow = Flow.of(train, model.noise, backend=xp)
    if training_time == "best":
        # Losses are linear in the moments: one rotation serves the whole mixture.
        assert test is not None
        tau = float(DEFAULT_TIMES[int(np.argmin(flow.losses(test, DEFAULT_TIMES)))])
    else:
        tau = float(training_time)
    return flow.readout(tau)


def _with_readout(draw: Draw, model: RandomFeatures, readout: Array, xp: Backend) -> Score:
    """Score of a second layer A/sqrt(p), of shape (d, p)."""
    w = Features(draw.features, model, backend=xp).w
    if xp.name == "numpy" and isinstance(model.activation, str):
        return _in_single_precision(w, readout, model.activation, xp)

    def score(y: Floats) -> Floats:
        return xp.numpy((readout @ xp.act(model, w @ xp.array(y).T)).T)

    return score


def _in_single_precision(w: Floats, readout: Floats, activation: str, xp: Backend) -> Score:
    """A score whose features are rounded to 7 digits: hundreds are averaged, and take a third of the time."""
    first, second = w.T.astype(np.float32), readout.T.astype(np.float32)

    def score(y: Floats) -> Floats:
        rounded = y.astype(np.float32)
        out = np.empty(y.shape)
        for i in range(0, len(y), POINTS_AT_ONCE):
            out[i : i + POINTS_AT_ONCE] = (
                xp.call(activation, rounded[i : i + POINTS_AT_ONCE] @ first) @ second
            )
        return out

    return score


def answers_opposite(population: Population, model: RandomFeatures) -> bool:
    """Whether mirrored points of two classes are opposite, and learned scores of them too: features have no bias."""
    opposite = len(population.weights) == 2 and np.allclose(population.centroids.sum(axis=0), 0, atol=1e-12)
    alike = np.array_equal(population.variances[0], population.variances[-1])
    return bool(opposite and alike and isinstance(model.activation, str) and model.activation in ODD)
