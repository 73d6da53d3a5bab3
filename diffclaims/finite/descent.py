"""Plain gradient descent, SGD and Adam on the same model: how far practice is from the flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from diffclaims.errors import InvalidInput
from diffclaims.finite.backend import Array, Backend
from diffclaims.finite.curves import check_count, curves_dataset
from diffclaims.finite.draw import STEPS, Draw, check_seeds, generator
from diffclaims.finite.flow import loss_of
from diffclaims.finite.gram import SAMPLE_ORDER, ClassFeatureMoments, Features, class_moments
from diffclaims.finite.setup import Question, read
from diffclaims.problem.arguments import checked
from diffclaims.problem.model import RandomFeatures
from diffclaims.problem.validate import Limit

Floats = NDArray[np.float64]
OPTIMIZERS = ("gd", "sgd", "adam")
Beta = Annotated[float, Limit("be from 0 up to, but not, 1", lambda v: 0 <= v < 1, "give 0.9, say")]


@checked
def descend(
    question: Question,
    n_steps: int,
    *,
    optimizer: str = "gd",
    learning_rate: float | None = None,
    batch_size: int = 128,
    betas: tuple[Beta, Beta] = (0.9, 0.999),
    records: ArrayLike | None = None,
    n_dims: int | None = None,
    seeds: int | Sequence[int] = 4,
    n_test: int | None = None,
    x: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    backend: str = "numpy",
    device: str = "cpu",
) -> xr.Dataset:
    """Train by steps and return the losses of each class, as `learning_curves` does for the flow.

    Parameters
    ----------
    question : Experiment or tuple (GaussianMixture or None, RandomFeatures)
        Data and model.
    n_steps : int
        Number of steps.
    optimizer : {"gd", "sgd", "adam"}
        ``gd`` descends the loss averaged over all training samples and all noise. ``sgd`` and
        ``adam`` take `batch_size` samples with replacement and a fresh noise draw for each, every step.
    learning_rate : float, optional
        For gd and sgd the training time of one step, in units of the flow's tau; by default 1 over
        the flow's largest rate for gd (twice that diverges), and 1/10 of that for sgd. For adam its usual
        step on A, 1e-2 by default.
    batch_size : int
        Samples a step.
    betas : tuple of float
        Decay rates of Adam's moments.
    records : array_like of int, optional
        Steps at which losses are recorded; by default about 60 in geometric progression, and the last.
    n_dims, seeds, n_test, x, labels, backend, device
        As in `learning_curves`.

    Returns
    -------
    xarray.Dataset
        Kind "curves". ``training_time`` is learning_rate * step for gd and sgd; for adam, which
        has no time in the flow's units, the step itself (attribute ``training_time_is``). Losses are
        averages over all noise, never over a batch.

    Raises
    ------
    InvalidInput
        For an unknown optimizer, a step at which gradient descent diverges, and as `learning_curves`.
    """
    _check(optimizer, n_steps, batch_size, n_test, learning_rate)
    setup = read(question, n_dims=n_dims, x=x, labels=labels)
    at = _records(records, n_steps)
    listed = check_seeds(seeds)
    xp = Backend(name=backend, device=device)
    draws = [setup.draw(seed, n_test) for seed in listed]
    test, train = [], []
    rate = learning_rate
    for draw in draws:
        moments = class_moments(draw, setup.model, backend=xp)
        # One rate for all seeds, so that they share their training times.
        rate = _default_rate(optimizer, moments, setup.model, xp) if rate is None else rate
        if optimizer == "gd":
            losses = _batch_free(moments, setup.model, rate, at, xp)
        else:
            losses = _stochastic(draw, moments, setup.model, optimizer, rate, batch_size, betas, at, xp)
        test.append(losses[0])
        train.append(losses[1])
    assert rate is not None
    return curves_dataset(
        setup,
        np.array(test),
        np.array(train),
        setup.bayes(draws[0]),
        np.asarray(at * (1.0 if optimizer == "adam" else rate), dtype=np.float64),
        listed,
        xp,
        n_noise=None,
        n_test=n_test,
        order=SAMPLE_ORDER,
        extra={
            "optimizer": optimizer,
            "learning_rate": rate,
            "n_steps": int(at[-1]),
            "batch_size": draws[0].n_samples if optimizer == "gd" else batch_size,
            "training_time_is": "step" if optimizer == "adam" else "learning rate * step",
        },
    )


def _check(
    optimizer: str, n_steps: int, batch_size: int, n_test: int | None, learning_rate: float | None
) -> None:
    """Reject what cannot be used, without looking at the data."""
    if optimizer not in OPTIMIZERS:
        raise InvalidInput.of("optimizer", optimizer, f"be one of {list(OPTIMIZERS)}", "choose one of them")
    check_count("n_steps", n_steps)
    check_count("batch_size", batch_size)
    check_count("n_test", n_test)
    if learning_rate is not None and not (np.isfinite(learning_rate) and learning_rate > 0):
        raise InvalidInput.of("learning_rate", learning_rate, "be above 0", "leave it out for the default")


def _default_rate(optimizer: str, moments: ClassFeatureMoments, model: RandomFeatures, xp: Backend) -> float:
    """Adam's usual step; half of what is stable for gd, and a tenth of that for sgd."""
    if optimizer == "adam":
        return 1e-2
    rate = _stable(moments, model, xp) / 2
    return rate / 10 if optimizer == "sgd" else rate


def _records(records: ArrayLike | None, n_steps: int) -> NDArray[np.int64]:
    if records is None:
        return np.unique(np.geomspace(1, n_steps, 60).round().astype(np.int64))
    at = np.asarray(records)
    if at.dtype.kind not in "iu" or at.ndim != 1 or at.size == 0 or at[0] < 0 or at[-1] > n_steps:
        raise InvalidInput.of("records", records, f"be steps from 0 to {n_steps}", "give integers")
    if (np.diff(at) <= 0).any():
        raise InvalidInput.of("records", records, "increase", "sort them, each once")
    return at.astype(np.int64)


def _stable(moments: ClassFeatureMoments, model: RandomFeatures, xp: Backend) -> float:
    """Training time of a step above which gradient descent diverges: 2 over the largest rate."""
    u, v = moments.total()
    kappa = 2 * model.noise * v.shape[1] / v.shape[0]
    return float(2.0 / (kappa * float(xp.eigh(u)[0][-1])))


def _losses(readout: Array, moments: ClassFeatureMoments, noise: float) -> list[list[float]]:
    return [[loss_of(readout, m, noise) for m in side] for side in (moments.test, moments.train)]


def _finish(recorded: list[list[list[float]]]) -> tuple[Floats, Floats]:
    out = np.array(recorded)  # (record, side, class)
    if not np.isfinite(out).all():
        raise InvalidInput.of("learning_rate", "too large", "keep the losses finite", "lower it")
    return out[:, 0].T, out[:, 1].T


def _batch_free(
    moments: ClassFeatureMoments, model: RandomFeatures, rate: float, at: NDArray[np.int64], xp: Backend
) -> tuple[Floats, Floats]:
    if rate > (limit := _stable(moments, model, xp)):
        raise InvalidInput.of(
            "learning_rate", rate, f"be below {limit:.4g}, where gradient descent diverges", "lower it"
        )
    u, v = moments.total()
    p, d = v.shape
    kappa = 2 * model.noise * d / p
    target = v.T / np.sqrt(model.noise)
    readout = xp.zeros(d, p)
    recorded, step = [], 0
    for stop in at:
        for _ in range(int(stop) - step):
            readout = readout - (rate * kappa) * (readout @ u + target)
        step = int(stop)
        recorded.append(_losses(readout, moments, model.noise))
    return _finish(recorded)


def _stochastic(
    draw: Draw,
    moments: ClassFeatureMoments,
    model: RandomFeatures,
    optimizer: str,
    rate: float,
    batch_size: int,
    betas: tuple[float, float],
    at: NDArray[np.int64],
    xp: Backend,
) -> tuple[Floats, Floats]:
    rng = generator(draw.seed, STEPS)
    data = np.concatenate(draw.train)
    w = Features(draw.features, model, backend=xp).w
    p, d = draw.n_features, draw.n_dims
    readout, first, second = xp.zeros(d, p), xp.zeros(d, p), xp.zeros(d, p)
    root = np.sqrt(model.noise)
    recorded, step = [], 0
    for stop in at:
        while step < stop:
            step += 1
            xi = rng.standard_normal((batch_size, d))
            rows = rng.integers(len(data), size=batch_size)
            phi = xp.act(model, w @ xp.array(np.sqrt(model.signal) * data[rows] + root * xi).T)
            residual = root * (readout @ phi) + xp.array(xi).T
            # d loss / d readout, for the loss per dimension.
            gradient = (2 * root / (d * batch_size)) * (residual @ phi.T)
            if optimizer == "sgd":
                # dA/dtau = -d^2 dL/dA, and readout = A/sqrt(p).
                readout = readout - rate * (d * d / p) * gradient
                continue
            slope = gradient / np.sqrt(p)
            first = betas[0] * first + (1 - betas[0]) * slope
            second = betas[1] * second + (1 - betas[1]) * slope * slope
            scale = xp.call("sqrt", second / (1 - betas[1] ** step)) + 1e-12
            readout = readout - (rate / np.sqrt(p)) * (first / (1 - betas[0] ** step)) / scale
        recorded.append(_losses(readout, moments, model.noise))
    return _finish(recorded)
