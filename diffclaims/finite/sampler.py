"""U-turns with a learned score: noise a point of a class, run the backward process, see where it ends.

The backward process is stochastic: ancestral steps, each the exact posterior given the score's estimate of the
clean point. A point's end is judged by the exact posterior of the true mixture.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from diffclaims.errors import InvalidInput, SolveFailed
from diffclaims.finite.backend import Backend
from diffclaims.finite.curves import check_count
from diffclaims.finite.draw import TURNS, Population, check_seeds, generator
from diffclaims.finite.noise import Noise
from diffclaims.finite.scores import (
    Score,
    ScoreMaker,
    answers_opposite,
    exact_score,
    learned_scores,
    log_posterior,
)
from diffclaims.finite.setup import Question, read
from diffclaims.problem.arguments import checked
from diffclaims.problem.validate import increasing
from diffclaims.storage.provenance import provenance
from diffclaims.storage.schema import stamp

Floats = NDArray[np.float64]


@checked
def speciation(
    question: Question,
    diffusion_times: ArrayLike,
    *,
    n_dims: int,
    seeds: int | Sequence[int] = 4,
    n_points: int = 200,
    n_steps: int = 100,
    end: float = 1e-2,
    training_time: float | str = "best",
    score: str | ScoreMaker = "learned",
    scores_every: int = 1,
    mirrored: bool = False,
    sobol: bool = False,
    backend: str = "numpy",
    device: str = "cpu",
) -> xr.Dataset:
    """Return probabilities of U-turns under learned scores.

    Parameters
    ----------
    question : Experiment or tuple (GaussianMixture, RandomFeatures)
        Data and model; the model's own diffusion time is not used.
    diffusion_times : array_like, shape (T,)
        Increasing times at which U-turns turn, above `end`.
    n_dims : int
        Dimension d: how sharp speciation is depends on it.
    seeds : int or sequence of int
        Seeds, or how many; each draws weights, samples, points and noise.
    n_points : int
        Fresh points of each class and diffusion time, per seed.
    n_steps : int
        Backward steps from the largest time to `end`, equal in log signal-to-noise; the asked
        times are added to them.
    end : float
        Diffusion time at which the backward process stops and its point is judged.
    training_time : float or "best"
        Training time of every score; ``"best"`` stops each at its least weighted test loss over the
        population, an oracle's early stopping.
    score : {"learned", "exact"} or callable
        ``"exact"`` uses the true score of the mixture: the control of the sampler itself. A callable
        ``score(draw, model)`` returns a score, points (n, d) to (n, d), at ``model.diffusion_time``, as
        `diffclaims.finite.PlantedError` does; its attribute ``name``, if any, is recorded.
    scores_every : int
        Train a score at every so many times of the grid, and at its last one; second layers between come from a
        spline (`diffclaims.finite.between`). Only for learned scores.
    mirrored : bool
        Give every second class the random numbers of the class before it, with the opposite sign: for its points,
        their noise and all backward steps. Each class's own probabilities are drawn as before; that they
        err together makes their ratio scatter less. Opposite centroids gain most, for features without a bias
        answer opposite points by opposite scores.
    sobol : bool
        Take the numbers along the line between centroids, for the start and for each step, from scrambled Sobol
        sequences (`diffclaims.finite.noise`): each point has the same law, and their mean scatters less.
    backend, device
        As in `diffclaims.finite.learning_curves`, for training.

    Returns
    -------
    xarray.Dataset
        Kind "speciation": ``transition`` (seed, class, to_class, diffusion_time), the mean posterior
        p(l | endpoint) of the TRUE mixture, not a hard label: under a perfect score it equals E p(l | x_t),
        also where classes overlap; ``return_probability``, its diagonal; ``commitment``, which is the
        true mixture's at the turning points and knows no score. Standard errors (without the seed
        dimension): over seeds, or over points for a single seed.

    Raises
    ------
    InvalidInput
        For arguments that cannot be used, and samples in place of a mixture, whose posterior is unknown.
    SolveFailed
        If a learned score drives the backward process to infinity.

    Notes
    -----
    The definitions are ours. With a perfect score ``pi_k P(k -> l) = pi_l P(l -> k)``.
    """
    setup = read(question, n_dims=n_dims)
    turns = _checked(diffusion_times, n_points, n_steps, end, training_time, score)
    _check_every(scores_every, score)
    listed = check_seeds(seeds)
    xp = Backend(name=backend, device=device)
    grid = time_grid(turns, end, n_steps)
    models = [dataclasses.replace(setup.model, diffusion_time=float(t)) for t in grid[:-1]]
    k = len(setup.classes)
    transition = np.empty((len(listed), k, k, turns.size))
    spread = np.empty_like(transition)
    commitment = np.empty((len(listed), k, turns.size))
    for i, seed in enumerate(listed):
        draw = setup.draw(seed, None)
        assert draw.population is not None
        if callable(score):
            scores = [score(draw, model) for model in models]
        elif score == "exact":
            scores = [exact_score(draw.population, model) for model in models]
        else:
            scores = learned_scores(draw, models, training_time, scores_every, xp)
        noise = Noise(generator(seed, TURNS), draw.population, n_points, mirrored=mirrored, sobol=sobol)
        opposite = mirrored and score == "learned" and answers_opposite(draw.population, setup.model)
        ends, commitment[i] = _u_turns(draw.population, turns, grid, scores, noise, opposite)
        transition[i] = ends.mean(axis=1).transpose(1, 2, 0)
        spread[i] = ends.std(axis=1).transpose(1, 2, 0)
    dataset = _dataset(transition, spread, commitment, n_points, listed, setup.classes, turns)
    attrs = provenance(
        subject="finite",
        experiment=setup.experiment,
        seeds=listed,
        device=device,
        backend=backend,
        n_dims=n_dims,
        n_features=round(setup.model.psi_p * n_dims),
        n_samples=round(setup.model.psi_n * n_dims),
        n_points=n_points,
        n_steps=len(grid) - 1,
        n_regular_steps=n_steps,
        end=end,
        score=str(getattr(score, "name", "callable")) if callable(score) else score,
        scores_every=scores_every,
        training_time=training_time if score == "learned" else "none",
        sampler="ancestral, stochastic",
        mirrored=int(mirrored),
        sobol=int(sobol),
        endpoint="mean posterior of the true mixture at the end",
        commitment_of="the true mixture",
    )
    return stamp(dataset, "speciation", attrs)


def _dataset(
    transition: Floats,
    spread: Floats,
    commitment: Floats,
    n_points: int,
    listed: Sequence[int],
    classes: Sequence[Any],
    turns: Floats,
) -> xr.Dataset:
    """What U-turns gave by seed, with the errors of their mean: over seeds, or over points for a single seed."""
    if len(listed) > 1:
        stderr = transition.std(axis=0, ddof=1) / np.sqrt(len(listed))
        commitment_stderr = commitment.std(axis=0, ddof=1) / np.sqrt(len(listed))
    else:
        stderr = spread[0] / np.sqrt(n_points)
        commitment_stderr = np.sqrt(commitment[0] * (1 - commitment[0]) / n_points)
    on = np.arange(transition.shape[1])
    pair, own = ("class", "to_class", "diffusion_time"), ("class", "diffusion_time")
    return xr.Dataset(
        {
            "transition": (("seed", *pair), transition),
            "transition_stderr": (pair, stderr),
            "return_probability": (("seed", *own), transition[:, on, on]),
            "return_probability_stderr": (own, stderr[on, on]),
            "commitment": (("seed", *own), commitment),
            "commitment_stderr": (own, commitment_stderr),
        },
        coords={
            "seed": listed,
            "class": classes,
            "to_class": classes,
            "diffusion_time": turns,
        },
    )


def _checked(
    diffusion_times: ArrayLike,
    n_points: int,
    n_steps: int,
    end: float,
    training_time: float | str,
    score: str | ScoreMaker,
) -> Floats:
    """Return the turning points, or say which argument cannot be used."""
    for name, value in (("n_points", n_points), ("n_steps", n_steps)):
        check_count(name, value)
    if isinstance(score, str) and score not in ("learned", "exact"):
        raise InvalidInput.of("score", score, 'be "learned", "exact" or a callable', "choose one of them")
    if training_time != "best" and (isinstance(training_time, str) or not training_time > 0):
        raise InvalidInput.of("training_time", training_time, 'be above 0, or "best"', "give one of them")
    turns = increasing("diffusion_times", diffusion_times)
    if not 0 < end < turns[0]:
        raise InvalidInput.of(
            "end", end, f"lie between 0 and the least diffusion time, {turns[0]:g}", "lower it"
        )
    return turns


def _check_every(scores_every: int, score: str | ScoreMaker) -> None:
    check_count("scores_every", scores_every)
    if scores_every > 1 and score != "learned":
        raise InvalidInput.of(
            "scores_every",
            scores_every,
            'be 1 where score is not "learned"',
            "leave it out, for no score is trained",
        )


def time_grid(turns: Floats, end: float, n_steps: int) -> Floats:
    """Decreasing diffusion times, equal in log signal-to-noise, that contain every turning time."""

    def log_snr(t: Floats) -> Floats:
        return np.asarray(-np.log(np.expm1(2 * t)))

    edges = log_snr(np.array([turns.max(), end]))
    regular = 0.5 * np.log1p(np.exp(-np.linspace(edges[0], edges[1], n_steps + 1)))
    # A regular point next to a turning point would only cost a training run.
    near = 0.2 * (edges[1] - edges[0]) / n_steps
    away = np.abs(log_snr(regular)[:, None] - log_snr(turns)[None]).min(axis=1) > near
    return np.asarray(
        np.sort(np.concatenate([regular[away & (regular > end * (1 + 1e-9))], turns, [end]]))[::-1]
    )


def _u_turns(
    population: Population,
    turns: Floats,
    grid: Floats,
    scores: list[Score],
    noise: Noise,
    opposite: bool,
) -> tuple[Floats, Floats]:
    """Posteriors at the end (T, n_points, K, K) and commitment (K, T).

    With `opposite` each point of the second of two classes stays opposite to one of the first, which alone is moved.
    """
    k, d, n_points = noise.k, noise.d, noise.n_points
    moved = 1 if opposite else k
    commitment = np.empty((k, turns.size))
    out = np.empty((turns.size, n_points, k, k))
    # One turning time after the other: its points then stay in a core's own cache.
    for i, turn in enumerate(turns):
        first = int(np.flatnonzero(grid == turn)[0])
        signal, upper = np.exp(-2 * turn), -np.expm1(-2 * turn)
        spread = np.sqrt(signal * population.variances)
        y = np.sqrt(signal) * population.centroids + noise.start(grid[first:], spread, np.sqrt(upper))
        best = log_posterior(population, y.reshape(-1, d), signal, upper).argmax(axis=1)
        commitment[:, i] = (best.reshape(n_points, k) == np.arange(k)).mean(axis=0)
        y = y[:, :moved]
        for score, t, down in zip(scores[first:], grid[first:-1], grid[first + 1 :], strict=True):
            y = _step(y, score, t, down, noise.step()[:, :moved])
        if opposite:
            y = np.concatenate([y, -y], axis=1)
        last = log_posterior(population, y.reshape(-1, d), np.exp(-2 * grid[-1]), -np.expm1(-2 * grid[-1]))
        out[i] = np.exp(last).reshape(n_points, k, k)
    return out, commitment


def _step(y: Floats, score: Score, t: float, down: float, normal: Floats) -> Floats:
    """One backward step of points (n, K, d) from t to the smaller time `down`, with normal numbers of the same shape.

    The posterior's mean of the next point is linear in this one and in the clean one, (y + upper score)/sqrt(signal).
    """
    upper, lower, between = -np.expm1(-2 * t), -np.expm1(-2 * down), -np.expm1(-2 * (t - down))
    from_clean = np.exp(t - down) * between / upper
    flat = y.reshape(-1, y.shape[-1])
    found = score(flat)
    if np.shape(found) != flat.shape:
        raise InvalidInput.of(
            "score",
            np.shape(found),
            f"answer points {flat.shape} by as many vectors",
            "return one for each point",
        )
    y = (np.exp(down - t) * lower / upper + from_clean) * y + upper * from_clean * found.reshape(y.shape)
    y += np.sqrt(between * lower / upper) * normal
    if not np.isfinite(y).all():
        raise SolveFailed(
            f"the backward process left the finite numbers at diffusion time {t:.4g}; "
            "the learned score is too large there: stop training earlier, or take more steps"
        )
    return y
