"""What answers without a network lose on the measured pairs of sample and noise: trivial ones, and Gaussians."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from diffclaims.monitor.data import Data
from diffclaims.monitor.gaussian import Gaussian, mixture
from diffclaims.monitor.noise import pairs

Floats = NDArray[np.float64]

#: Training samples that a Gaussian is fitted to, of each class, and of all together.
FITTED, FITTED_IN_ALL = 256, 1024
#: A mixture in which every class has its own covariance is asked of at most so many classes.
MOST_PARTS = 20

#: As `diffclaims.monitor.pairs.Answer`, of a class.
Answer = Callable[[int, Floats, float], Floats]


@dataclass(frozen=True, eq=False)
class References:
    """Losses of answers that take no network.

    Attributes
    ----------
    trivial, told, untold : ndarray, shape (L, n)
        Of all held-out samples that are measured, class after class: of trivial answers, and of Gaussian ones that
        are told the class, and that are not.
    train_log, held_out_log : ndarray, shape (L, n)
        ``ln W`` of each sample, mean over its draws.
    """

    trivial: Floats
    told: Floats
    untold: Floats
    train_log: Floats
    held_out_log: Floats


def references(data: Data, levels: Floats, seed: int) -> References:
    """Measure them, once for a training.

    Parameters
    ----------
    data : Data
    levels : ndarray, shape (L,)
    seed : int
    """
    fits = [_rows(data.some_of(k, FITTED)) for k in range(len(data.classes))]
    answers = {"told": _told(fits), "untold": _untold(fits, data)}
    out: dict[str, list[Floats]] = {n: [] for n in ("trivial", *answers, "train_log", "held_out_log")}
    for split, k, chosen in data.items():
        measured = pairs(chosen, levels, seed)
        out[f"{split}_log"].append(measured.log(_calibration(data, k).denoise))
        if split == "held_out":
            mean = fits[k].mean(axis=0)
            out["trivial"].append(measured.lowest([lambda y, s: y, partial(_constant, mean)]))
            for name, some in answers.items():
                out[name].append(measured.lowest([partial(f, k) for f in some]))
    empty = np.empty((len(levels), 0))
    return References(**{name: np.concatenate([empty, *blocks], axis=1) for name, blocks in out.items()})


def _constant(value: Floats, y: Floats, sigma: float) -> Floats:
    return value


def _told(fits: list[Floats]) -> list[Answer]:
    own, shared, _ = _gaussians(fits)
    return [lambda k, y, s: own[k].denoise(y, s), lambda k, y, s: shared[k].denoise(y, s)]


def _untold(fits: list[Floats], data: Data) -> list[Answer]:
    own, shared, whole = _gaussians(fits)
    counts = np.array([len(data.train.of_class(c)) for c in data.classes], dtype=np.float64)
    weights = counts / counts.sum()
    answers: list[Answer] = [lambda k, y, s: whole.denoise(y, s)]
    if len(fits) <= MOST_PARTS:
        answers += [
            lambda k, y, s: mixture(own, weights, y, s),
            lambda k, y, s: mixture(shared, weights, y, s),
        ]
    return answers


def _gaussians(fits: list[Floats]) -> tuple[list[Gaussian], list[Gaussian], Gaussian]:
    """Each class with its own covariance, with the one within all classes, and all as one."""
    means = [x.mean(axis=0) for x in fits]
    each = max(2, FITTED_IN_ALL // len(fits))
    within = np.concatenate([x[:each] - m for x, m in zip(fits, means, strict=True)])
    common = Gaussian.fit(within, np.zeros(within.shape[1]))
    shared = [common.at(m) for m in means]
    own = [Gaussian.fit(x) if len(x) > 1 else g for x, g in zip(fits, shared, strict=True)]
    return own, shared, Gaussian.fit(np.concatenate([x[:each] for x in fits]))


def _calibration(data: Data, k: int) -> Gaussian:
    """A Gaussian of all measured samples of a class: training and held-out ones are alike to it."""
    blocks = [_rows(c.x) for _, j, c in data.items() if j == k]
    return Gaussian.fit(np.concatenate(blocks))


def _rows(x: NDArray[np.floating]) -> Floats:
    return x.reshape(len(x), -1).astype(np.float64)
