"""Exact class posteriors of Gaussian classes (QDA): what a perfect score of such data would do.

A U-turn of a perfect score from a point y at level sigma ends in class l with probability p(l | y), so the
probability of returning to class k is the mean of p(k | y) over y = x + sigma xi, x of class k.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax

from diffclaims.unet.measure.wiener import ClassMoments

Floats = NDArray[np.float64]


def log_densities(y: Floats, sigma: float, moments: Sequence[ClassMoments]) -> Floats:
    """Return ln p(y | class) up to a common constant, shape (n, K), for rows y (n, d) at level sigma."""
    return np.stack([m.gaussian.log_density(y, sigma) for m in moments], axis=1)


def posterior(y: Floats, sigma: float, moments: Sequence[ClassMoments], weights: ArrayLike) -> Floats:
    """Return p(class | y), shape (n, K)."""
    logits = log_densities(y, sigma, moments) + np.log(np.asarray(weights, dtype=np.float64))
    return np.asarray(softmax(logits, axis=1))


def oracle_uturns(
    images: Sequence[NDArray[np.floating]],
    levels: ArrayLike,
    moments: Sequence[ClassMoments],
    weights: ArrayLike,
    *,
    rng: np.random.Generator,
) -> tuple[Floats, Floats]:
    """Return the transition probabilities and the commitment of a perfect Gaussian score.

    Parameters
    ----------
    images : sequence of arrays, shape (n_k, ...)
        Starting points of each class; one noise each.
    levels : array_like, shape (L,)
        Noise levels.
    moments : sequence of ClassMoments
        Of each class.
    weights : array_like, shape (K,)
    rng : numpy.random.Generator

    Returns
    -------
    transition : array, shape (K, K, L)
        From the first class to the second.
    commitment : array, shape (K, L)
        Share of the points whose most likely class is their own.
    """
    sigmas = np.asarray(levels, dtype=np.float64)
    k_all = len(moments)
    transition, commitment = np.empty((k_all, k_all, sigmas.size)), np.empty((k_all, sigmas.size))
    for k, x in enumerate(images):
        flat = np.asarray(x, dtype=np.float64).reshape(len(x), -1)
        noise = rng.standard_normal(flat.shape)
        for i, sigma in enumerate(sigmas):
            p = posterior(flat + sigma * noise, float(sigma), moments, weights)
            transition[k, :, i] = p.mean(axis=0)
            commitment[k, i] = (p.argmax(axis=1) == k).mean()
    return transition, commitment
