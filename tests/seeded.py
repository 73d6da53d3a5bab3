"""A stochastic subject with given seeds, small enough for tests."""

from __future__ import annotations

from dataclasses import dataclass

import xarray as xr
from numpy.typing import ArrayLike

from diffclaims import finite
from diffclaims.api.subject import Tags
from diffclaims.errors import NotMeasured
from diffclaims.problem.experiment import Experiment
from diffclaims.theory.curves import default_training_times


@dataclass(frozen=True, kw_only=True)
class SeededModel:
    """The random-features model at small size; the score of its U-turns is the exact one of the mixture.

    Parameters
    ----------
    seeds : tuple of int
        One training run each; every experiment is measured with the same seeds, as by `finite`.
    n_dims : int
        Dimension d of the learning curves.
    speciation_dims, n_points : int
        Dimension and points a class of the U-turns.
    """

    seeds: tuple[int, ...]
    n_dims: int
    speciation_dims: int
    n_points: int

    name = "finite"
    tags = Tags(exact=False, stochastic=True, measures=frozenset({"learning_curves", "speciation"}))

    def learning_curves(self, experiment: Experiment) -> xr.Dataset:
        """Losses by seed, with noise averaged exactly."""
        times = default_training_times(experiment.mixture, experiment.model)
        return finite.learning_curves(experiment, times, n_dims=self.n_dims, seeds=self.seeds)

    def speciation(self, experiment: Experiment, diffusion_times: ArrayLike) -> xr.Dataset:
        """Return probabilities by seed, under the exact score."""
        return finite.speciation(
            experiment,
            diffusion_times,
            n_dims=self.speciation_dims,
            seeds=self.seeds,
            n_points=self.n_points,
            score="exact",
        )

    def spectrum(self, experiment: Experiment) -> xr.Dataset:
        """Not measured."""
        raise NotMeasured("the spectrum is not measured by seed")
