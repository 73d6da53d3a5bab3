"""What the theory expects of a mixture: when each class is learned and memorized, and the window between."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.theory.curves import default_training_times, learning_curves
from diffclaims.times.learning import learning_times

Floats = NDArray[np.float64]

#: Training times of a forecast, interpolated between.
N_TIMES = 80
#: Accuracy asked of its losses.
ACCURACY = 1e-3
#: From so many classes on, responses are kept along one direction a class: a tenth of the time for ten classes, and
#: 1e-3 in ln tau_gen, 0.05 in ln tau_mem of digits and of Fashion-MNIST.
MANY = 6
#: Generalized fraction and memorized gap by which times are read.
GENERALIZED, MEMORIZED = 0.5, 0.1


def curves(
    mixture: GaussianMixture,
    model: RandomFeatures,
    *,
    max_rank: int | None = None,
    times: Floats | None = None,
) -> xr.Dataset:
    """Return the learning curves of the theory, by default at times that span all of learning."""
    times = default_training_times(mixture, model, N_TIMES) if times is None else times
    accuracy = ACCURACY if max_rank is None else None
    return learning_curves(mixture, model, times, accuracy=accuracy, max_rank=max_rank)


@dataclass(frozen=True, eq=False)
class Forecast:
    """Times of each class, +inf for one that is not reached, and the curves they were read off.

    Attributes
    ----------
    gen, best, mem : ndarray, shape (K,)
    curves : xarray.Dataset
    """

    gen: Floats
    best: Floats
    mem: Floats
    curves: xr.Dataset

    @classmethod
    def of(cls, mixture: GaussianMixture, model: RandomFeatures, like: Forecast | None = None) -> Forecast:
        """Solve the theory, at the training times of another forecast if one is given, which saves a fifth."""
        k = mixture.n_classes
        rank = k if k >= MANY and mixture.centroid_gram.any() else None
        times = None if like is None else like.curves["training_time"].values
        return cls.read(curves(mixture, model, max_rank=rank, times=times))

    @classmethod
    def read(cls, found: xr.Dataset) -> Forecast:
        """Read times off learning curves."""
        times = learning_times(found, GENERALIZED, MEMORIZED)
        gen, best, mem = (times[f"tau_{m}"].values.astype(np.float64) for m in ("gen", "best", "mem"))
        return cls(gen, best, mem, found)

    @property
    def window(self) -> float:
        """ln of the time at which the first class is memorized over that at which the last is learned.

        Above 0 there is a time at which every class is learned and none memorized; +inf where none is ever
        memorized, -inf where one is never learned.
        """
        last, first = float(self.gen.max()), float(self.mem.min())
        return -np.inf if last == np.inf else float(np.log(first / last))

    def at(self, time: float) -> tuple[Floats, Floats]:
        """Return generalized fraction and memorized gap of each class at a training time, shapes (K,).

        Beyond the times of the curves, which reach from where nothing is learned to where nothing moves, they are
        those at the end.
        """
        known = self.curves["training_time"].values
        one = self.curves.interp(training_time=min(max(time, known[0]), known[-1]))
        learnable = 1 - one["bayes_loss"].values
        test, train = one["test_loss"].values, one["train_loss"].values
        return (1 - test) / learnable, (test - train) / learnable


def model_of(n_dims: int, n_samples: float, diffusion_time: float, psi_p: float) -> RandomFeatures:
    """Return the random-features model that is asked in place of the network."""
    return RandomFeatures(psi_p=psi_p, psi_n=n_samples / n_dims, diffusion_time=diffusion_time)


def reweighted(mixture: GaussianMixture, weights: Floats) -> GaussianMixture:
    """Return the same classes with other weights, and their centroids about the new mean."""
    about = np.eye(len(weights)) - weights
    gram = about @ mixture.centroid_gram @ about.T
    return mixture.replace(weights=weights, centroid_gram=(gram + gram.T) / 2)
