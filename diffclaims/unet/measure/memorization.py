"""Copies of training images among generated ones, in pixel distance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffclaims.memorization.copies import QUANTILE, RATIO
from diffclaims.memorization.distances import two_nearest

Floats = NDArray[np.float64]


def _flat(images: NDArray[np.floating]) -> Floats:
    return np.asarray(images, dtype=np.float64).reshape(len(images), np.prod(images.shape[1:], dtype=int))


def copy_radius(held_out: NDArray[np.floating], train: NDArray[np.floating]) -> float:
    """Return the 5 % quantile of the distances from real held-out images to the nearest training image.

    Both of one class. Distances grow with a class's variance; this radius grows with them, so that
    counting samples within it favours no class.
    """
    return float(np.quantile(two_nearest(_flat(held_out), _flat(train))[0][:, 0], QUANTILE))


@dataclass(frozen=True, kw_only=True)
class Copies:
    """Per class of the generated images, shape (K,): NaN where a class was not generated.

    Attributes
    ----------
    memorized : share whose nearest/second-nearest distance is below `RATIO`
    copied : share nearer to a training image of its class than the class's `copy_radius`
    distinct : number of different training images that memorized or copied ones are nearest to
    count : number of generated images of the class
    """

    memorized: Floats
    copied: Floats
    distinct: NDArray[np.int64]
    count: NDArray[np.int64]


def find_copies(
    samples: NDArray[np.floating],
    sample_class: NDArray[np.int64],
    train: NDArray[np.floating],
    train_class: NDArray[np.int64],
    radii: Floats,
) -> Copies:
    """Count copies of training images, class by class.

    Parameters
    ----------
    samples : array, shape (m, ...)
    sample_class : int array, shape (m,)
        Class of each sample; -1 or K and above for none, which are left out.
    train : array, shape (n, ...)
    train_class : int array, shape (n,)
    radii : array, shape (K,)
        `copy_radius` of each class.

    Notes
    -----
    The nearest/second-nearest ratio is that of Yoon et al. (2023), taken over all training images. The
    fixed radius is ours.
    """
    k_all = len(radii)
    memorized, copied = np.full(k_all, np.nan), np.full(k_all, np.nan)
    distinct, count = np.zeros(k_all, dtype=np.int64), np.zeros(k_all, dtype=np.int64)
    made, pool = _flat(samples), _flat(train)
    distance, nearest = two_nearest(made, pool)
    for k in range(k_all):
        own = sample_class == k
        count[k] = own.sum()
        if not count[k]:
            continue
        is_memorized = distance[own, 0] < RATIO * distance[own, 1]
        is_copy = two_nearest(made[own], pool[train_class == k])[0][:, 0] < radii[k]
        memorized[k], copied[k] = is_memorized.mean(), is_copy.mean()
        distinct[k] = len(np.unique(nearest[own][is_memorized | is_copy]))
    return Copies(memorized=memorized, copied=copied, distinct=distinct, count=count)


def frechet_distance(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Return the squared Frechet distance between Gaussians fitted to features a (m, f) and b (n, f).

    Its bias falls with the number of samples; compare only equal numbers.
    """
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    cx, cy = np.cov(x.T), np.cov(y.T)
    # tr sqrt(cx cy) by the eigenvalues of the symmetric product sqrt(cx) cy sqrt(cx).
    values, vectors = np.linalg.eigh(cx)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ cy @ root), 0)).sum()
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(cx) + np.trace(cy) - 2 * cross)


def kernel_distance(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Return the unbiased squared maximum mean discrepancy, kernel (x.y/f + 1)^3; it can be negative."""
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)

    def kernel(u: Floats, v: Floats) -> Floats:
        return np.asarray((u @ v.T / u.shape[1] + 1) ** 3)

    kx, ky = kernel(x, x), kernel(y, y)
    m, n = len(x), len(y)
    within = (kx.sum() - np.trace(kx)) / (m * (m - 1)) + (ky.sum() - np.trace(ky)) / (n * (n - 1))
    return float(within - 2 * kernel(x, y).mean())
