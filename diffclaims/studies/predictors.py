"""What may order classes before anything is trained: each predictor as an expected ln(tau_A/tau_B) of pairs.

In which direction a predictor is read is stated here, once, and not turned where it is wrong. Those of the images
need the data set; the others need what a recording holds. All choices are ours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from diffclaims.api.effects import GENERALIZED_FRACTIONS
from diffclaims.api.pairs import Pairs
from diffclaims.errors import NotMeasured
from diffclaims.problem.experiment import Experiment
from diffclaims.problem.names import by_name
from diffclaims.studies.predict import CENTROIDS, predicted
from diffclaims.unet.measure.wiener import ClassMoments

if TYPE_CHECKING:
    from diffclaims.unet.data.prepare import PreparedData

Floats = NDArray[np.float64]

#: The class of the larger one is expected first.
VARIANCE = "total variance"
PARTICIPATION = "participation ratio"
#: That of the smaller one, in standard deviations of the class along the line between the two.
DISTANCE = "distance to the other centroid"
#: That of the smaller one, mean over the low noise levels.
WIENER = "loss of the Wiener filter"
#: That of the smaller tau_gen, at the middle threshold.
THEORY = f"theory {CENTROIDS[0]}"
THEORY_ALONE = f"theory {CENTROIDS[1]}"


@dataclass(frozen=True, eq=False)
class OfImages:
    """What only the images of an experiment tell.

    Attributes
    ----------
    participation : ndarray, shape (K,)
        Participation ratio of the spectrum of each class's covariance.
    distance : ndarray, shape (K, K)
        Of class k's centroid from that of class l, in standard deviations of class k along that line.
    """

    participation: Floats
    distance: Floats


def of_images(curves: xr.Dataset, folder: Path | None) -> OfImages:
    """Measure the images that a recording was trained on.

    Parameters
    ----------
    curves : xarray.Dataset
        A recording, which states its configuration.
    folder : path, optional
        Of the data set, as in ``--data-dir``.

    Raises
    ------
    NotMeasured
        When the recording does not state its configuration.
    DataError
        When the data set is not there.
    """
    data = _prepared(curves, folder, 0)
    moments = [ClassMoments.of(x) for x in data.population]
    distance = distances(moments)
    order = [data.classes.index(str(c)) for c in Experiment.from_json(curves.attrs["experiment"]).classes]
    participation = np.array([m.participation for m in moments])
    return OfImages(participation[order], distance[np.ix_(order, order)])


def _prepared(curves: xr.Dataset, folder: Path | None, seed: int) -> PreparedData:
    """The images of one run of a recording."""
    from diffclaims.unet.config import RunConfig
    from diffclaims.unet.data.prepare import prepare

    if "config" not in curves.attrs:
        raise NotMeasured("the recording does not state which images it was trained on")
    config = RunConfig.from_json(json.dumps({**json.loads(curves.attrs["config"]), "seed": seed}))
    return prepare(config.data, config.data.source.load(folder), seed=seed, n_held_out=1)


def training_images(
    curves: xr.Dataset, folder: Path | None, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    """Return the images that one run of a recording was trained on, and the name of the class of each.

    Parameters
    ----------
    curves : xarray.Dataset
        A recording, which states its configuration.
    folder : path, optional
        Of the data set.
    seed : int
    """
    data = _prepared(curves, folder, seed)
    return data.train, np.array(data.classes)[data.labels]


def distances(moments: Sequence[ClassMoments]) -> Floats:
    """Return how far each class's centroid is from each other one, in its own standard deviations along that line.

    Parameters
    ----------
    moments : sequence of K ClassMoments

    Returns
    -------
    ndarray, shape (K, K)
    """
    found = np.zeros((len(moments), len(moments)))
    for k, own in enumerate(moments):
        for j, other in enumerate(moments):
            if j != k:
                line = own.mean - other.mean
                variance = (own.eigenvectors.T @ line) ** 2 @ own.eigenvalues
                found[k, j] = line @ line / np.sqrt(variance)
    return found


def of_pairs(
    pairs: Pairs,
    experiments: Mapping[str, Experiment],
    recorded: Mapping[str, xr.Dataset],
    images: Mapping[str, OfImages],
) -> dict[str, Floats]:
    """Return each predictor for each pair, as an expected ``ln(tau_first/tau_second)``.

    Parameters
    ----------
    pairs : Pairs
    experiments, recorded : mapping
        By name of the experiment, as the pairs name them.
    images : mapping of str to OfImages
        Empty where the data set is not at hand: two predictors are left out then.

    Returns
    -------
    dict of str to ndarray, shape (n_pairs,)
        By name; 0 where a predictor tells the two from each other by nothing.
    """
    theory = {k: predicted(e)[:, len(GENERALIZED_FRACTIONS) // 2] for k, e in experiments.items()}
    wiener = {k: _wiener(recorded[k], e) for k, e in experiments.items()}
    found = {VARIANCE: -pairs.contrast(experiments, lambda m: np.log(m.class_variance))}
    if images:
        rows = [(images[name], i, j) for name, i, j in pairs.asked]
        found[PARTICIPATION] = np.array([np.log(m.participation[j] / m.participation[i]) for m, i, j in rows])
        found[DISTANCE] = np.array([np.log(m.distance[i, j] / m.distance[j, i]) for m, i, j in rows])
    found[WIENER] = np.array([wiener[name][i] - wiener[name][j] for name, i, j in pairs.asked])
    for number, name in enumerate((THEORY, THEORY_ALONE)):
        with np.errstate(invalid="ignore"):
            ratio = np.array([theory[e][number, i] - theory[e][number, j] for e, i, j in pairs.asked])
        found[name] = np.where(np.isnan(ratio), 0.0, ratio)
    return found


def separations(pairs: Pairs, images: Mapping[str, OfImages]) -> Floats:
    """Return how far apart the classes of each pair are: the geometric mean of the distances that each sees."""
    both = [(images[name].distance, i, j) for name, i, j in pairs.asked]
    return np.array([np.sqrt(d[i, j] * d[j, i]) for d, i, j in both])


def _wiener(curves: xr.Dataset, experiment: Experiment) -> Floats:
    """ln of the loss of the class's Wiener filter, mean over the low noise levels."""
    loss = by_name(curves, experiment.mixture.classes)["wiener_loss"]
    rest = [d for d in loss.dims if d not in ("class", "noise_level")]
    low = loss.isel(noise_level=curves["low"].values.astype(bool)).mean(["noise_level", *rest])
    return np.asarray(np.log(low.transpose("class").values.astype(np.float64)))
