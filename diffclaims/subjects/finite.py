"""The subject `finite`: the random-features model at finite size, trained by exact gradient flow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from diffclaims.api.subject import Tags
from diffclaims.errors import NotMeasured
from diffclaims.problem.experiment import Experiment
from diffclaims.threads import on_one_thread

#: Accuracy that is asked of the theory where it only says how long to look.
EXPECTED = 1e-2
#: How much longer than the theory expects: finite size comes later.
LONGER = 3.0

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
        Dimension d of the U-turns, which train scores along the backward steps.
    seeds, speciation_seeds : int
        How many seeds, of the learning curves and of the U-turns.
    n_times : int
        Training times over all of learning, log-spaced; a curve has those up to its last milestone and some more.
    n_points : int
        Points of each class and diffusion time in a U-turn, per seed.
    n_steps : int
        Backward steps of a U-turn, equal in log signal-to-noise; the times that are asked for are added.
    scores_every : int
        As in `diffclaims.finite.speciation`.
    max_features, max_samples : int
        Largest p and n that are tried: a seed costs of the order of ``p^2 (n + p)``.
    reduced : bool, optional
        Whether a seed of the learning curves is a pair of runs, with the samples' own scatter taken off
        (`paired` and `control` in `diffclaims.finite.learning_curves`). By default where classes of equal weight have
        centroids of different norms: there neurons that overlap much with one centroid scatter the order.
    mirrored, sobol : bool
        As in `diffclaims.finite.speciation`.
    backend, device : str
        As in `diffclaims.finite.learning_curves`.
    """

    n_dims: int = 128
    speciation_dims: int = 50
    seeds: int = 24
    speciation_seeds: int = 24
    n_times: int = 60
    n_points: int = 1024
    n_steps: int = 24
    scores_every: int = 3
    max_features: int = 4000
    max_samples: int = 20_000
    reduced: bool | None = None
    mirrored: bool = True
    sobol: bool = True
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

    def settings(self, kind: str, experiment: Experiment) -> dict[str, int]:
        """What attributes an answer of a kind ("curves" or "speciation") will have; a recording is known by them."""
        if kind == "curves":
            reduces = int(self._reduces(experiment))
            return {"n_dims": self.n_dims, "paired": reduces, "control": reduces}
        return {
            "n_dims": self.speciation_dims,
            "n_points": self.n_points,
            "n_regular_steps": self.n_steps,
            "scores_every": self.scores_every,
            "mirrored": int(self.mirrored),
            "sobol": int(self.sobol),
        }

    @on_one_thread
    def learning_curves(self, experiment: Experiment) -> xr.Dataset:
        """Losses by seed, until some time after the theory expects the last milestone."""
        from diffclaims import finite
        from diffclaims.subjects.theory import Theory
        from diffclaims.theory.curves import default_training_times

        self._takes(experiment, self.n_dims)
        times = default_training_times(experiment.mixture, experiment.model, self.n_times)
        expected = Theory(accuracy=EXPECTED, n_times=self.n_times).learning_curves(experiment)
        return finite.learning_curves(
            experiment,
            times[times <= LONGER * float(expected["training_time"].values[-1])],
            n_dims=self.n_dims,
            seeds=self.seeds,
            paired=self._reduces(experiment),
            control=self._reduces(experiment),
            backend=self.backend,
            device=self.device,
        )

    @on_one_thread
    def speciation(self, experiment: Experiment, diffusion_times: ArrayLike) -> xr.Dataset:
        """Return probabilities by seed, under learned scores."""
        from diffclaims import finite

        self._takes(experiment, self.speciation_dims)
        return finite.speciation(
            experiment,
            diffusion_times,
            n_dims=self.speciation_dims,
            seeds=self.speciation_seeds,
            n_points=self.n_points,
            n_steps=self.n_steps,
            scores_every=self.scores_every,
            mirrored=self.mirrored,
            sobol=self.sobol,
            backend=self.backend,
            device=self.device,
        )

    def _reduces(self, experiment: Experiment) -> bool:
        """Whether seeds are pairs of runs."""
        if self.reduced is not None:
            return self.reduced
        mixture = experiment.mixture
        norms = np.diag(mixture.centroid_gram)
        return bool(np.ptp(mixture.weights) < 1e-9 and np.ptp(norms) > 1e-9)

    def _takes(self, experiment: Experiment, n_dims: int) -> None:
        if experiment.data != "gaussian":
            raise NotMeasured(
                f"the samples of {experiment.data!r} are not at hand here; "
                "diffclaims.finite.learning_curves takes them as x and labels"
            )
        for what, ratio, limit in (
            ("max_features", experiment.model.psi_p, self.max_features),
            ("max_samples", experiment.model.psi_n, self.max_samples),
        ):
            if ratio * n_dims > limit:
                raise NotMeasured(
                    f"{ratio:g} x {n_dims} dimensions is more than {what} = {limit}: too long for one seed"
                )


SUBJECT = FiniteSubject()
