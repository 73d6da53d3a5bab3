"""The subject `theory`: the random-features model in the limit of many dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from diffclaims import theory
from diffclaims.api.outcome import SIGMAS
from diffclaims.api.subject import Tags
from diffclaims.errors import DiffclaimsError, NotMeasured
from diffclaims.problem.experiment import Experiment
from diffclaims.theory.curves import asking_curves
from diffclaims.theory.speciation import speciation
from diffclaims.theory.together import Asking, alone, together
from diffclaims.threads import on_one_thread

Floats = NDArray[np.float64]

#: A class is done when its test loss has turned up and its memorized gap is this large; claims read gaps up to 0.2.
MEMORIZED = 0.3


class Theory:
    """Exact in the limit; every answer states its numerical accuracy.

    Learning curves end when every class is learned and memorized. Later, when a test loss has grown to many
    times what it was, accurate losses need the finest quadratures, and no milestone is left to be read off
    them; `diffclaims.theory.learning_curves` gives them at any time.

    Parameters
    ----------
    n_dims : int
        Dimensions of the data where the limit has none to itself: speciation times grow with ln d.
    n_samples : int
        Samples a class for return probabilities without a closed form.
    accuracy : float
        Accuracy asked of the losses. An effect of 0.02 in ln tau needs no more; what was reached is
        in every dataset.
    n_times : int
        Training times over the default range; they are interpolated between.
    """

    name = "theory"
    tags = Tags(
        exact=True,
        stochastic=False,
        measures=frozenset({"learning_curves", "speciation", "spectrum"}),
    )

    def __init__(
        self, *, n_dims: int = 100, n_samples: int = 2**14, accuracy: float = 3e-4, n_times: int = 200
    ) -> None:
        self.n_dims = n_dims
        self.n_samples = n_samples
        self.accuracy = accuracy
        self.n_times = n_times

    @on_one_thread
    def learning_curves(self, experiment: Experiment) -> xr.Dataset:
        """Losses against training time, kind "curves", until every class is done."""
        return alone(self._curves(experiment))

    @on_one_thread
    def several_learning_curves(
        self, experiments: Sequence[Experiment]
    ) -> list[xr.Dataset | DiffclaimsError]:
        """Return `learning_curves` of each, or the error that it raises, in less time than one by one.

        Losses differ from those that are asked for alone by much less than the accuracy.
        """
        return together([self._curves(one) for one in experiments])

    def _curves(self, experiment: Experiment) -> Asking[xr.Dataset]:
        self._takes(experiment)
        mixture, model = experiment.mixture, experiment.model
        # Centroids in many directions are sampled; the solver knows what it can promise there.
        sampled = np.linalg.matrix_rank(mixture.centroid_gram, tol=1e-12) > 3
        accuracy = None if sampled else self.accuracy
        times = theory.default_training_times(mixture, model, self.n_times)
        learnable = 1 - theory.bayes_loss(mixture, model)

        def done(test: Floats, train: Floats) -> bool:
            return _done(test, train, learnable)

        curves = yield from asking_curves(mixture, model, times, accuracy=accuracy, until=done)
        losses = (curves.variables[n].values for n in ("test_loss", "train_loss"))
        if curves.sizes["training_time"] == times.size or done(*losses):
            return curves
        # The first resolution was wrong about it.
        return (yield from asking_curves(mixture, model, times, accuracy=accuracy))

    @on_one_thread
    def speciation(self, experiment: Experiment, diffusion_times: ArrayLike) -> xr.Dataset:
        """Speciation under a perfect score, kind "speciation"."""
        self._takes(experiment)
        result = speciation(
            experiment.mixture, diffusion_times, n_dims=self.n_dims, n_samples=self.n_samples, rng=0
        )
        if "accuracy" not in result.attrs:
            # Sampled: what the probabilities are known to, for readers that ask for no errors.
            errors = [result[name].max() for name in result.data_vars if str(name).endswith("_stderr")]
            result.attrs["accuracy"] = SIGMAS * float(max(errors))
        return result

    @on_one_thread
    def spectrum(self, experiment: Experiment) -> xr.Dataset:
        """Spectrum of the feature covariance, resolved by class, kind "spectrum"."""
        self._takes(experiment)
        return theory.spectrum(experiment.mixture, experiment.model)

    def _takes(self, experiment: Experiment) -> None:
        if experiment.data != "gaussian":
            raise NotMeasured(
                f"the theory knows Gaussian mixtures, not {experiment.data!r}; ask for its moment-matched "
                'mixture with experiment.replace(data="gaussian")'
            )


def _done(test: Floats, train: Floats, learnable: Floats) -> bool:
    """Whether every milestone of every class lies behind the last training time; losses of shape (K, n)."""
    turned = test.argmin(axis=1) < test.shape[1] - 2
    memorized = test[:, -1] - train[:, -1] >= MEMORIZED * learnable
    return bool((turned & memorized).all())


SUBJECT = Theory()
