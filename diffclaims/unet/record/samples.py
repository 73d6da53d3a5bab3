"""What generated images are: copies of training images, their classes, and how far from real ones."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from diffclaims.unet.config import RunConfig
from diffclaims.unet.data.data_set import LabelledImages, part_of
from diffclaims.unet.data.prepare import PreparedData
from diffclaims.unet.measure.classifier import Classifier
from diffclaims.unet.measure.memorization import copy_radius, find_copies, frechet_distance, kernel_distance
from diffclaims.unet.measure.sampling import SAMPLERS
from diffclaims.unet.model.randomness import mix
from diffclaims.unet.record.raw import RawRun

#: Real held-out images per class behind copy radii and feature distances.
N_REAL = 1000

PER_CLASS = ("memorized_fraction", "copied_fraction", "class_share", "distinct_copies")
WHOLE = ("rejected_share", "frechet_distance", "kernel_distance")


def count_real(config: RunConfig, source: LabelledImages) -> int:
    """Return how many real images a class samples are compared with: of the test images all but a few."""
    label = config.data.source.label
    there = (int((source.test_labels == label(c)).sum() // part_of(c)[2]) for c in config.data.classes)
    return min(N_REAL, *there) - 5


def sample_dataset(
    run: RawRun, data: PreparedData, classifier: Classifier, real: NDArray[np.float32]
) -> xr.Dataset | None:
    """Return what the samples of a run are, without the seed dimension; None where it drew none.

    Parameters
    ----------
    run : RawRun
    data : PreparedData
    classifier : Classifier
        Tells classes, and the features in which distances are measured.
    real : array, shape (K, n, C, R, R)
        Held-out images.
    """
    steps = [s for s, found in sorted(run.samples.items()) if f"samples_{SAMPLERS[0]}" in found]
    if not steps:
        return None
    k_all = len(data.classes)
    radii = np.array([copy_radius(real[k], data.of_class(k)) for k in range(k_all)])
    share = np.array(data.counts) / sum(data.counts)
    mixed = _mixed_features(run, share, classifier, real)
    unit = mixed.std(axis=0) + 1e-9  # features in units of their spread over real images
    shape = (len(SAMPLERS), len(steps))
    per_class = {n: np.full((*shape, k_all), np.nan) for n in PER_CLASS[:3]}
    per_class[PER_CLASS[3]] = np.zeros((*shape, k_all), dtype=np.int64)
    whole = {n: np.full(shape, np.nan) for n in WHOLE}
    labels = [run.config.data.source.label(c) for c in data.classes]
    for at in np.ndindex(shape):
        images = run.samples[steps[at[1]]][f"samples_{SAMPLERS[at[0]]}"].astype(np.float32)
        label = classifier.classes_of(images, labels)
        copies = find_copies(images, label, data.train, data.labels, radii)
        found = copies.memorized, copies.copied, copies.count / len(images), copies.distinct
        for name, values in zip(PER_CLASS, found, strict=True):
            per_class[name][at] = values
        features = classifier(images)[1]
        whole["rejected_share"][at] = (label == k_all).mean()
        whole["frechet_distance"][at] = frechet_distance(features / unit, mixed / unit)
        whole["kernel_distance"][at] = kernel_distance(features / unit, mixed / unit)
    dims = ("sampler", "sample_time", "class")
    return xr.Dataset(
        {
            **{n: (dims, v) for n, v in per_class.items()},
            "copy_radius": (("class",), radii),
            "training_share": (("class",), share),
            **{n: (dims[:2], v) for n, v in whole.items()},
        },
        {
            "sampler": list(SAMPLERS),
            "sample_time": np.array(steps, dtype=np.float64),
            "class": list(data.classes),
        },
    )


def _mixed_features(
    run: RawRun, share: NDArray[np.float64], classifier: Classifier, real: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Features of real images, of each class as many as its share."""
    rng = np.random.default_rng(mix(run.config.seed, 101))
    drawn = np.asarray(rng.choice(np.arange(share.size), size=real.shape[1], p=share)).tolist()
    return classifier(np.stack([real[k][i] for i, k in enumerate(drawn)]))[1]
