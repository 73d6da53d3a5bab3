"""Moments of the training data by class: what the claims ask of an experiment's data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from diffclaims.monitor.data import Data
from diffclaims.monitor.noise import Floats
from diffclaims.monitor.store import Arrays
from diffclaims.problem.moments import mean_and_covariance, rounding_of

#: Training samples of a class that moments are taken of.
MOST = 2048
#: Covariances of all classes together may have so many numbers; else directions are not kept.
_NUMBERS = 1 << 24


def moments_of(data: Data, weights: Sequence[float] | None = None) -> Arrays:
    """Measure the moments of the training samples.

    Returns
    -------
    dict
        ``centroid_gram``, shape (K, K): inner products of the centroids about their midpoint, over d.
        ``variance_along``, shape (K, d): variance of each class along the eigenvectors of the covariance within
        all classes, the largest first; or, shape (K, 1), its mean over directions, where a class has no more samples
        than there are directions that vary, or these are too many. NaN for a class of one sample.
        ``centroid_distance``, shape (2,): the least and the largest between two classes; NaN for one class.
    """
    k_all, d = len(data.classes), int(np.prod(data.train.x.shape[1:]))
    keep = k_all * d * d <= _NUMBERS
    means, variances, covariances, counts = np.empty((k_all, d)), np.empty(k_all), [], []
    for k in range(k_all):
        x = data.some_of(k, MOST).reshape(-1, d)
        rounding, x = rounding_of(x.dtype), x.astype(np.float64)
        counts.append(len(x))
        if keep and len(x) > 1:
            means[k], covariance = mean_and_covariance(x.__getitem__, np.arange(len(x)), d, rounding)
            covariances.append(covariance)
            variances[k] = np.diag(covariance).mean()
        else:
            means[k] = x.mean(axis=0)
            variances[k] = x.var(axis=0, ddof=1).mean() if len(x) > 1 else np.nan
    out: Arrays = {"variance_along": variances[:, None]}
    if len(covariances) == k_all:
        share = np.array([len(data.train.of_class(c)) for c in data.classes]) if weights is None else weights
        pooled = np.einsum("k,kab->ab", np.asarray(share) / np.sum(share), np.stack(covariances))
        if min(counts) > (np.diag(pooled) > 0).sum():
            basis = np.linalg.eigh(pooled)[1][:, ::-1]
            along = np.stack([np.einsum("ai,ai->i", basis, c @ basis) for c in covariances])
            out["variance_along"] = np.maximum(along, 0.0)
    centred = means - means.mean(axis=0)
    out["centroid_gram"] = centred @ centred.T / d
    return out | {"centroid_distance": _distances(means)}


def _distances(means: Floats) -> Floats:
    if len(means) < 2:
        return np.full(2, np.nan)
    a, b = np.triu_indices(len(means), 1)
    apart = np.sqrt(np.square(means[a] - means[b]).sum(axis=1))
    return np.array([apart.min(), apart.max()])
