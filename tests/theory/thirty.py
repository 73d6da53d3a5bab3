"""Thirty classes with centroids: the theory of fewer directions beside the mean over finite draws, as d grows."""

import numpy as np
import xarray as xr

from diffclaims import finite, theory
from tests.theory.hard import many_classes

#: Multiples of 15, at psi_n = 4, so that every class has the same number of samples.
SEEDS = {60: 16, 120: 4}
MAX_RANK = 45
TIMES = np.geomspace(1.0, 1e4, 9)
LOSSES = ("test_loss", "train_loss")


def solved(mixture=None):
    """The theory's losses, shape (2, 30, 9), and the accuracy that it states."""
    own, model = many_classes(30)
    found = theory.learning_curves(mixture or own, model, TIMES, max_rank=MAX_RANK)
    return np.stack([found[v].values for v in LOSSES]), found.attrs["accuracy"]


def simulated(n_dims, seeds):
    """Mean and its standard error over seeds, shapes (2, 30, 9). What seeds do at random is pooled over classes."""
    found = finite.learning_curves(many_classes(30), TIMES, n_dims=n_dims, seeds=seeds)
    each = np.stack([found[v].transpose("seed", "class", "training_time").values for v in LOSSES], axis=1)
    spread = each.var(axis=0, ddof=1).mean(axis=1, keepdims=True)
    return each.mean(axis=0), np.broadcast_to(np.sqrt(spread / len(each)), each.shape[1:])


def extrapolated(n_dims, mean, stderr):
    """Limit of `mean` as d grows, by least squares of limit + c/d, and its standard error; the first axis is d."""
    weight = 1.0 / np.asarray(stderr) ** 2
    x = 1.0 / np.reshape(n_dims, (-1, 1, 1, 1))
    total, first, second = (weight.sum(axis=0), (weight * x).sum(axis=0), (weight * x**2).sum(axis=0))
    scale = total * second - first**2
    limit = (second * (weight * mean).sum(axis=0) - first * (weight * x * mean).sum(axis=0)) / scale
    return limit, np.sqrt(second / scale)


def rms(x):
    return float(np.sqrt(np.mean(np.square(x))))


def dataset(exact, accuracy, means, stderrs):
    """What `docs/pictures.py` draws."""
    by_loss = ("loss", "class", "training_time")
    return xr.Dataset(
        {
            "thirty_theory": (by_loss, exact, {"accuracy": accuracy, "max_rank": MAX_RANK}),
            "thirty_finite": (("n_dims", *by_loss), means, {"long_name": "mean over seeds"}),
            "thirty_stderr": (("n_dims", *by_loss), stderrs),
            "thirty_seeds": ("n_dims", list(SEEDS.values())),
        },
        {"n_dims": list(SEEDS), "loss": list(LOSSES), "training_time": TIMES},
    )
