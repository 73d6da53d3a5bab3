"""Moments of each class, also of small ones, and which classes can be asked about."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from diffclaims.advice.samples import Samples
from diffclaims.errors import InvalidInput
from diffclaims.extras import need
from diffclaims.problem.moments import mean_and_covariance, rounding_of

Floats = NDArray[np.float64]

#: Ways to estimate the covariance of a class with fewer samples than it has dimensions that vary.
SHRINKAGES = ("auto", "none", "ledoit-wolf", "oas")


@dataclass(frozen=True, eq=False)
class Measured:
    """Moments of the classes that vary.

    Attributes
    ----------
    samples : Samples
    kept : ndarray of int, shape (K,)
        Their positions among all classes of the samples; all arrays are in this order.
    means : ndarray, shape (K, d)
    covariances : ndarray, shape (K, d, d)
    counts : ndarray of int, shape (K,)
    small : ndarray of bool, shape (K,)
        Whether the class has no more samples than there are dimensions that vary.
    shrunk : ndarray, shape (K,)
        How far its covariance was drawn towards one that is alike in all dimensions that vary; 0 to 1.
    varying : ndarray of bool, shape (d,)
    marks : dict
        By position among all classes: a sentence on each class that is left out.
    """

    samples: Samples
    kept: NDArray[np.intp]
    means: Floats
    covariances: Floats
    counts: NDArray[np.int64]
    small: NDArray[np.bool_]
    shrunk: Floats
    varying: NDArray[np.bool_]
    marks: dict[int, str]

    def members(self, k: int) -> NDArray[np.intp]:
        """Positions of the samples of the class at position k of `kept`."""
        return np.flatnonzero(self.samples.index == self.kept[k])

    @property
    def variance(self) -> Floats:
        """Variance per dimension of each class, shape (K,)."""
        return np.asarray(np.trace(self.covariances, axis1=1, axis2=2) / self.means.shape[1])

    @property
    def participation(self) -> Floats:
        """Participation ratio of each class's spectrum: how many directions carry its variance, shape (K,)."""
        traces = np.trace(self.covariances, axis1=1, axis2=2)
        return np.asarray(traces**2 / np.einsum("kab,kab->k", self.covariances, self.covariances))

    def distances(self) -> Floats:
        """Distance of each centroid from each other one, in standard deviations of the class along that line.

        Returns
        -------
        ndarray, shape (K, K)
            Infinite where the class does not vary along the line.
        """
        lines = self.means[:, None] - self.means
        squares = np.einsum("kla,kla->kl", lines, lines)
        variance = np.stack(
            [np.einsum("la,la->l", x @ c, x) for x, c in zip(lines, self.covariances, strict=True)]
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            found = squares / np.sqrt(np.maximum(variance, 0.0))
        return np.where(squares > 0, found, 0.0)


def measure(samples: Samples) -> Measured:
    """Measure mean and covariance of each class that has two samples or more and varies.

    Raises
    ------
    InvalidInput
        When no class is left.
    """
    counts, d = samples.counts, samples.n_dims
    marks: dict[int, str] = {}
    kept, means, covariances = [], [], []
    rounding = rounding_of(samples.values.dtype)
    for k, name in enumerate(samples.classes):
        own = np.flatnonzero(samples.index == k)
        if own.size < 2:
            samples.rows(own)
            number = "one sample" if own.size else "no sample"
            marks[k] = f"{name} has {number}: it has no variance to measure, and is left out."
            continue
        mean, covariance = mean_and_covariance(samples.rows, own, d, rounding)
        kept.append(k)
        means.append(mean)
        covariances.append(covariance)
    totals = np.array([np.trace(covariance) for covariance in covariances])
    vary = totals > rounding**2 * totals.max(initial=0.0)
    for k in np.array(kept, dtype=np.intp)[~vary]:
        n_own = int((samples.index == k).sum())
        marks[int(k)] = (
            f"{samples.classes[k]} has {n_own} samples that are all the same: it does not vary, and is left out."
        )
    kept, means = list(compress(kept, vary)), list(compress(means, vary))
    covariances = list(compress(covariances, vary))
    if not kept:
        raise InvalidInput.of(
            "y",
            f"<{len(samples.classes)} classes with {counts.tolist()[:20]} samples>",
            "have a class with two different samples",
            "give more samples of each class",
        )
    found = np.stack(covariances)
    varying = np.einsum("kaa->a", found) > 0
    n = counts[kept]
    small = n <= varying.sum()
    return Measured(
        samples, np.array(kept), np.stack(means), found, n, small, np.zeros(len(kept)), varying, marks
    )


def choose(found: Measured, how: str) -> str:
    """Return the shrinkage that "auto" stands for: none where all samples together span all dimensions that vary.

    Raises
    ------
    InvalidInput
        For a word that is none of `SHRINKAGES`.
    """
    if how not in SHRINKAGES:
        raise InvalidInput.of("shrinkage", how, f"be one of {', '.join(SHRINKAGES)}", "choose one")
    if how != "auto":
        return how
    spanned = int(found.counts.sum()) - len(found.kept)
    return "oas" if spanned < found.varying.sum() else "none"


def shrink(found: Measured, how: str) -> Measured:
    """Draw covariances of small classes towards one that is alike in all dimensions that vary.

    Parameters
    ----------
    found : Measured
    how : {"none", "ledoit-wolf", "oas"}
        Which formula of scikit-learn says how far.

    Notes
    -----
    ``(1 - a) S + a mean(diag S) 1`` on the dimensions that vary, S the unbiased covariance; the total variance stays.
    The variance of a class along directions that were chosen without it is unbiased, however few its samples, and
    shrinkage makes it wrong; where the samples of all classes do not span the space, there are no such directions.
    docs/advise.md has the errors that were measured.
    """
    if how == "none" or not found.small.any():
        return found
    sklearn = need("sklearn.covariance", "advise", "classes with few samples (or choose shrinkage none)")
    formula = sklearn.ledoit_wolf if how == "ledoit-wolf" else sklearn.oas
    covariances, shrunk = found.covariances.copy(), np.zeros(len(found.kept))
    on = np.ix_(found.varying, found.varying)
    for k in map(int, np.flatnonzero(found.small)):
        # Centred here: scikit-learn is not to do it once more.
        x = (found.samples.rows(found.members(k)) - found.means[k])[:, found.varying]
        shrunk[k] = float(formula(x, assume_centered=True)[1])
        own = covariances[k][on]
        alike = np.eye(len(own)) * np.trace(own) / len(own)
        covariances[k][on] = (1 - shrunk[k]) * own + shrunk[k] * alike
    return dataclasses.replace(found, covariances=covariances, shrunk=shrunk)
