"""What the entry functions share: read the question, prepare the data, draw by seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffclaims.errors import InvalidInput
from diffclaims.finite.draw import Draw, check_samples, draw_gaussian, draw_samples, sizes
from diffclaims.problem.experiment import Experiment
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.problem.names import Name
from diffclaims.problem.validate import Limit, increasing

Floats = NDArray[np.float64]
#: An experiment, or its mixture and model; for real samples the mixture may be None.
Question = Annotated[
    Experiment | tuple[GaussianMixture | None, RandomFeatures],
    Limit(
        "be an Experiment or a pair (mixture, model)",
        lambda v: (
            isinstance(v, Experiment)
            or (len(v) == 2 and isinstance(v[0], GaussianMixture | None) and isinstance(v[1], RandomFeatures))
        ),
        "build one of them",
    ),
]

#: Covers both phases of every case recorded here; 20 times a decade.
DEFAULT_TIMES = np.geomspace(1e-1, 1e5, 121)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A question made concrete.

    Attributes
    ----------
    model : RandomFeatures
        The model.
    experiment : Experiment or None
        For provenance; None for real samples without a mixture.
    classes : list
        Coordinate values of the dimension ``class``.
    weights : ndarray, shape (K,)
        Class weights.
    n_dims : int
        Dimension d.
    draw : callable
        ``draw(seed, n_test, partner=False)``.
    bayes : callable
        ``bayes(draw)``: Bayes loss of each class, shape (K,).
    attrs : dict
        What was decided, for the attributes of the result.
    """

    model: RandomFeatures
    experiment: Experiment | None
    classes: list[Name]
    weights: Floats
    n_dims: int
    draw: Callable[..., Draw]
    bayes: Callable[[Draw], Floats]
    attrs: dict[str, str | int | float]


def read(
    question: Question, *, n_dims: int | None, x: ArrayLike | None = None, labels: ArrayLike | None = None
) -> Setup:
    """Make a question concrete; see `diffclaims.finite.learning_curves` for the arguments."""
    mixture: GaussianMixture | None
    experiment: Experiment | None
    if isinstance(question, Experiment):
        experiment, mixture, model = question, question.mixture, question.model
    else:
        mixture, model = question
        experiment = None
        if mixture is not None:
            experiment = Experiment(mixture=mixture, model=model, data="gaussian" if x is None else "samples")
    if x is not None:
        if labels is None:
            raise InvalidInput.of("labels", labels, "come with x", "give the class of each sample")
        return _real(mixture, model, experiment, n_dims, x, labels)
    if labels is not None:
        raise InvalidInput.of(
            "labels", labels, "come with x", "give the samples that they name, or no labels"
        )
    if mixture is None:
        raise InvalidInput.of("mixture", None, "be given where x is not", "give a GaussianMixture or samples")
    if experiment is not None and experiment.data != "gaussian":
        raise InvalidInput.of(
            "x", x, f"hold the samples of the data {experiment.data!r}", "pass x and labels"
        )
    if n_dims is None:
        raise InvalidInput.of("n_dims", n_dims, "be given for a mixture", "give for instance n_dims=200")
    gaussian = mixture
    sizes(model, n_dims, gaussian.n_classes)

    def draw(seed: int, n_test: int | None, partner: bool = False) -> Draw:
        return draw_gaussian(gaussian, model, n_dims=n_dims, seed=seed, n_test=n_test, partner=partner)

    def bayes(one: Draw) -> Floats:
        assert one.population is not None
        return one.population.bayes_loss(model)

    return Setup(
        model=model,
        experiment=experiment,
        classes=list(gaussian.classes),
        weights=gaussian.weights,
        n_dims=n_dims,
        draw=draw,
        bayes=bayes,
        attrs={"bayes_loss_from": "the mixture at this dimension", "data": "gaussian"},
    )


def _real(
    mixture: GaussianMixture | None,
    model: RandomFeatures,
    experiment: Experiment | None,
    n_dims: int | None,
    x: ArrayLike,
    labels: ArrayLike,
) -> Setup:
    data, index, found = check_samples(x, labels, None if mixture is None else mixture.classes)
    d = data.shape[1]
    if n_dims is not None and n_dims != d:
        raise InvalidInput.of("n_dims", n_dims, f"be the size of a sample, {d}", "leave it out with x")
    counts = np.bincount(index)
    weights = counts / counts.sum() if mixture is None else mixture.weights
    # About the mean of the mixture, as the moment-matched theory has it; features have no bias to learn it.
    means = np.stack([data[index == k].mean(axis=0) for k in range(len(found))])
    data = data - weights @ means

    def bayes(one: Draw) -> Floats:
        if mixture is not None:
            # The same floor as the theory that is compared with it.
            ratio = model.noise / (model.signal * mixture.variances + model.noise)
            return np.asarray(1 - ratio @ mixture.fractions)
        return np.array(
            [
                1 - np.mean(model.noise / (model.signal * spectrum(data[index == k]) + model.noise))
                for k in range(len(found))
            ]
        )

    return Setup(
        model=model,
        experiment=experiment,
        classes=found,
        weights=weights,
        n_dims=d,
        draw=lambda seed, n_test, partner=False: draw_samples(
            data, index, weights, model, seed=seed, n_test=n_test, classes=found
        ),
        bayes=bayes,
        attrs={
            "bayes_loss_from": "the moments of the mixture"
            if mixture is not None
            else "the covariance of all samples of the class",
            "data": "samples" if experiment is None else experiment.data,
        },
    )


def spectrum(x: Floats) -> Floats:
    """Eigenvalues of the covariance of samples (N, d), shape (d,)."""
    centred = x - x.mean(axis=0)
    return np.maximum(np.linalg.eigvalsh(centred.T @ centred / len(x)), 0.0)


def check_times(training_times: ArrayLike | None) -> Floats:
    """Return increasing training times >= 0."""
    return DEFAULT_TIMES if training_times is None else increasing("training_times", training_times)
