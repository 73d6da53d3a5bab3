"""The subject `theory`: the random-features model in the limit of many dimensions."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from diffclaims import theory
from diffclaims.errors import NotMeasured
from diffclaims.experiment import Experiment
from diffclaims.subjects.protocol import Tags
from diffclaims.theory.speciation import speciation
from diffclaims.verdict import SIGMAS


class Theory:
    """Exact in the limit; every answer states its numerical accuracy.

    Parameters
    ----------
    n_dims : int
        Dimensions of the data where the limit has none to itself: speciation times grow with ln d.
    n_samples : int
        Samples a class for return probabilities without a closed form.
    accuracy : float
        Accuracy asked of the losses. An effect of 0.02 in ln tau needs no more; what was reached is
        in every dataset.
    """

    name = "theory"
    tags = Tags(
        exact=True,
        stochastic=False,
        measures=frozenset({"learning_curves", "speciation", "spectrum"}),
    )

    def __init__(self, *, n_dims: int = 100, n_samples: int = 2**14, accuracy: float = 3e-4) -> None:
        self.n_dims = n_dims
        self.n_samples = n_samples
        self.accuracy = accuracy

    def learning_curves(self, experiment: Experiment) -> xr.Dataset:
        """Losses against training time, kind "curves"."""
        self._takes(experiment)
        # Centroids in many directions are sampled; the solver knows what it can promise there.
        sampled = np.linalg.matrix_rank(experiment.mixture.centroid_gram, tol=1e-12) > 3
        return theory.learning_curves(
            experiment.mixture, experiment.model, accuracy=None if sampled else self.accuracy
        )

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


SUBJECT = Theory()
