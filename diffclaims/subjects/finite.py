"""The subject `finite`: the random-features model at finite size, trained by exact gradient flow."""

from __future__ import annotations

from dataclasses import dataclass

import xarray as xr
from numpy.typing import ArrayLike

from diffclaims.errors import NotMeasured
from diffclaims.experiment import Experiment
from diffclaims.subjects.protocol import Tags

_TAGS = Tags(
    exact=False,
    stochastic=True,
    measures=frozenset({"learning_curves", "speciation"}),
    slow=True,
)


@dataclass(frozen=True, kw_only=True)
class FiniteSubject:
    """Random features at finite size.

    Parameters
    ----------
    n_dims : int
        Dimension d of the learning curves.
    speciation_dims : int
        Dimension d of the U-turns, which train one score for each backward step.
    seeds : int
        How many seeds.
    n_points : int
        Points of each class and diffusion time in a U-turn, per seed.
    backend, device : str
        As in `diffclaims.finite.learning_curves`.
    """

    n_dims: int = 200
    speciation_dims: int = 50
    seeds: int = 4
    n_points: int = 200
    backend: str = "numpy"
    device: str = "cpu"

    @property
    def name(self) -> str:
        """As in ``--subject finite``."""
        return "finite"

    @property
    def tags(self) -> Tags:
        """What it can answer."""
        return _TAGS

    def learning_curves(self, experiment: Experiment) -> xr.Dataset:
        """Losses by seed, at the training times where the theory expects something to happen."""
        from diffclaims import finite
        from diffclaims.theory.curves import default_training_times

        _gaussian(experiment)
        return finite.learning_curves(
            experiment,
            default_training_times(experiment.mixture, experiment.model),
            n_dims=self.n_dims,
            seeds=self.seeds,
            backend=self.backend,
            device=self.device,
        )

    def speciation(self, experiment: Experiment, diffusion_times: ArrayLike) -> xr.Dataset:
        """Return probabilities by seed, under learned scores."""
        from diffclaims import finite

        _gaussian(experiment)
        return finite.speciation(
            experiment,
            diffusion_times,
            n_dims=self.speciation_dims,
            seeds=self.seeds,
            n_points=self.n_points,
            backend=self.backend,
            device=self.device,
        )


def _gaussian(experiment: Experiment) -> None:
    if experiment.data != "gaussian":
        raise NotMeasured(
            f"the samples of {experiment.data!r} are not at hand here; "
            "diffclaims.finite.learning_curves takes them as x and labels"
        )


SUBJECT = FiniteSubject()
