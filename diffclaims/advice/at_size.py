"""The finite-size model on the samples themselves: late times, of which the moments of images say little."""

from __future__ import annotations

import dataclasses

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from diffclaims.advice.forecast import GENERALIZED, MEMORIZED, N_TIMES
from diffclaims.advice.measure import Measured, measure, shrink
from diffclaims.advice.samples import Samples
from diffclaims.errors import InvalidInput
from diffclaims.finite.curves import learning_curves
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.problem.moments import mixture_of
from diffclaims.theory.curves import default_training_times
from diffclaims.times.learning import learning_times

Floats = NDArray[np.float64]

#: Most features, training samples, and test samples of a class; seeds of the features and of the split.
MOST_FEATURES, MOST_TRAINED, MOST_TESTED, SEEDS = 1600, 3000, 200, 2


def at_size(
    found: Measured, weights: Floats, model: RandomFeatures, *, shrinkage: str, seed: int
) -> xr.Dataset:
    """Train the random-features model on the samples and return the times of each class.

    Images are made smaller, and samples fewer, until features and training samples are at most `MOST_FEATURES` and
    `MOST_TRAINED`.

    Parameters
    ----------
    found : Measured
    weights : ndarray, shape (K,)
    model : RandomFeatures
        Its features per dimension and its noise level are kept, and not its number of samples.
    shrinkage : str
        As in `diffclaims.advice.measure.shrink`.
    seed : int

    Returns
    -------
    xarray.Dataset
        ``finite_tau_gen``, ``finite_tau_best`` and ``finite_tau_mem`` of each class, geometric means over seeds, and
        in the attributes ``finite_sizes``.

    Raises
    ------
    InvalidInput
        For samples that are too long, or a class with too few of them.
    """
    samples = _shorter(found.samples, int(MOST_FEATURES / model.psi_p))
    d = samples.n_dims
    n = int(min(MOST_TRAINED, 0.8 * (found.counts / weights).min()))
    small = shrink(measure(samples), shrinkage)
    moments = mixture_of(
        small.means,
        small.covariances,
        small.counts,
        [samples.classes[k] for k in small.kept],
        weights=weights,
    )
    mixture = GaussianMixture(
        weights, moments.variances, moments.fractions, moments.centroid_gram, moments.classes
    )
    model = dataclasses.replace(model, psi_n=n / d)
    rng = np.random.default_rng(seed)
    rows, labels = [], []
    for k, share in enumerate(weights):
        own = rng.permutation(small.members(k))[: int(np.ceil(n * share)) + MOST_TESTED]
        rows.append(samples.rows(np.sort(own)))
        labels += [moments.classes[k]] * own.size
    curves = learning_curves(
        (mixture, model),
        default_training_times(mixture, model, N_TIMES),
        x=np.concatenate(rows),
        labels=labels,
        seeds=range(seed, seed + SEEDS),
    )
    times = learning_times(curves, GENERALIZED, MEMORIZED)
    sizes = f"{d} dimensions, {round(model.psi_p * d)} features, {n} training samples, {SEEDS} seeds"
    # The mean of logarithms, over seeds.
    mean = {
        f"finite_tau_{m}": (
            "class",
            np.exp(np.log(times[f"tau_{m}"].transpose("seed", "class").values).mean(0)),
        )
        for m in ("gen", "best", "mem")
    }
    return xr.Dataset(mean, {"class": times["class"].values}, {"finite_sizes": sizes})


def _shorter(samples: Samples, most: int) -> Samples:
    """The same samples with at most so many numbers each."""
    factor = samples.factor
    while samples.n_dims > most:
        if samples.values.ndim < 3:
            raise InvalidInput.of(
                "finite",
                f"<samples of {samples.n_dims} numbers>",
                f"have samples of at most {most} numbers",
                "give images with their height and width, which are made smaller, or leave it out",
            )
        factor += 1
        samples = dataclasses.replace(samples, factor=factor)
    return samples
