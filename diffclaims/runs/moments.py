"""The experiment that several trainings are seeds of: moments of their data, sizes, noise level."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from diffclaims.errors import InvalidInput
from diffclaims.monitor.record import Record
from diffclaims.problem.experiment import Experiment
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.problem.moments import TYPE_SPREAD, gathered
from diffclaims.problem.names import Name

Floats = NDArray[np.float64]


def experiment_of(
    records: Sequence[Record], order: Sequence[int], weights: Sequence[float], name: str
) -> Experiment:
    """Return the experiment of some trainings, with the mean of the moments of their training samples.

    psi_p is parameters over d^2 (1 where no parameters were found), psi_n training samples over d, and the diffusion
    time that of the geometric mean of the lower half of the noise levels, t = ln(1 + sigma^2)/2.

    Parameters
    ----------
    records : sequence of Record
        Seeds of one experiment.
    order : sequence of int
        Position in a record of each class of the experiment.
    weights : sequence of float
        Of the classes, in the experiment's order.
    name : str
        Of the experiment.
    """
    about = records[0].about
    d = int(np.prod(about["shape"]))
    classes = [about["classes"][k] for k in order]
    found = [record.store.reference() for record in records]
    sigmas = [r.about["levels"][: (len(r.about["levels"]) + 1) // 2] for r in records]
    sigma2 = float(np.exp(2 * np.mean([np.log(s).mean() for s in sigmas])))
    n = sum(about["counts"]["train"])
    return Experiment(
        mixture=_mixture(
            [f["variance_along"][list(order)] for f in found], _gram(found, order), weights, classes, n
        ),
        model=RandomFeatures(
            psi_p=about["n_parameters"] / d**2 or 1.0,
            psi_n=n / d,
            diffusion_time=0.5 * float(np.log1p(sigma2)),
        ),
        data=f"{name}, watched",
    )


def _gram(found: Sequence[dict[str, Floats]], order: Sequence[int]) -> Floats:
    return np.asarray(np.mean([f["centroid_gram"][np.ix_(order, order)] for f in found], axis=0))


def _mixture(
    along: Sequence[Floats], gram: Floats, weights: Sequence[float], classes: Sequence[Name], n: int
) -> GaussianMixture:
    """Return the mixture of the mean moments; of one type where one of the trainings keeps no directions."""
    # A class with few samples in one training keeps its mean variance alone.
    size = min(a.shape[1] for a in along)
    variance = np.mean([a if a.shape[1] == size else a.mean(axis=1, keepdims=True) for a in along], axis=0)
    if not np.isfinite(variance).all():
        bad = [str(c) for c, v in zip(classes, variance, strict=True) if not np.isfinite(v).all()]
        limit = "have two samples or more of each class in every training"
        raise InvalidInput.of("training set", f"<one sample of {', '.join(bad)}>", limit, "add samples")
    if size == 1:
        return GaussianMixture(weights, variance, centroid_gram=gram, classes=classes)
    pooled = np.asarray(weights) @ variance
    down = np.argsort(-pooled)
    variance, types = gathered(
        variance[:, down], pooled[down], max(TYPE_SPREAD, float(np.sqrt(size / (n * len(along)))))
    )
    member = np.eye(types.max() + 1)[types]
    sizes = member.sum(axis=0)
    return GaussianMixture(weights, variance @ member / sizes, sizes / size, gram, classes)
