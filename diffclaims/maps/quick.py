"""The theory, asked only for what a map reads: few training times, none long after the last milestone.

Late in training, when a class is long memorized and its test loss has grown to many times what it
was, accurate losses need the finest quadratures, and nothing is read off them. A curve is therefore
measured up to a horizon first, and beyond it only where some class is not done by then.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from diffclaims import theory
from diffclaims.effects import MEMORIZATION
from diffclaims.experiment import Experiment
from diffclaims.subjects.theory import Theory

#: Share of the default range of log training time that is measured first.
HORIZON = 0.5
#: A class is done when its test loss has turned up and its gap is this far beyond the last threshold.
BEYOND = 1.5


class Quick(Theory):
    """`Theory` for maps.

    Parameters
    ----------
    accuracy : float
        Asked of the losses at the times that are measured; what was reached is in the datasets.
    n_times : int
        Training times over the default range; they are interpolated between.
    """

    def __init__(self, *, accuracy: float, n_times: int) -> None:
        super().__init__(accuracy=accuracy)
        self.n_times = n_times

    def learning_curves(self, experiment: Experiment) -> xr.Dataset:
        """Losses against training time, kind "curves", until every class is done."""
        self._takes(experiment)
        mixture, model = experiment.mixture, experiment.model
        times = theory.default_training_times(mixture, model, self.n_times)
        sampled = np.linalg.matrix_rank(mixture.centroid_gram, tol=1e-12) > 3
        accuracy = None if sampled else self.accuracy
        first = times[: max(4, round(HORIZON * times.size))]
        curves = theory.learning_curves(mixture, model, first, accuracy=accuracy)
        if done(curves):
            return curves
        return theory.learning_curves(mixture, model, times, accuracy=accuracy)


def done(curves: xr.Dataset) -> bool:
    """Whether every milestone of every class lies behind the last training time."""
    test, train = (curves[n].transpose("class", "training_time").values for n in ("test_loss", "train_loss"))
    learnable = 1 - curves["bayes_loss"].values
    turned = test.argmin(axis=1) < test.shape[1] - 2
    memorized = test[:, -1] - train[:, -1] >= BEYOND * max(MEMORIZATION) * learnable
    return bool((turned & memorized).all())
