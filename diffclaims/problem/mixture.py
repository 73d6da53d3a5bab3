"""Gaussian mixtures whose classes differ in weight, covariance and centroid."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffclaims.errors import InvalidInput
from diffclaims.problem.validate import numbers, probabilities

Floats = NDArray[np.float64]

#: A Gram matrix may have eigenvalues this far below zero, relative to its largest.
GRAM_TOLERANCE = 1e-10


@dataclass(frozen=True, eq=False, init=False, repr=False)
class GaussianMixture:
    """K Gaussian classes with commuting covariances, in the limit of many dimensions.

    The d directions of space fall into J types; type j holds the fraction ``fractions[j]`` of them,
    and class k has variance ``variances[k, j]`` in each. Centroids are extensive:
    ``mu_k . mu_l = d * centroid_gram[k, l]``.

    Parameters
    ----------
    weights : array_like, shape (K,)
        Class probabilities, positive, summing to 1.
    variances : array_like, shape (K,) or (K, J)
        Variance of each class in each direction type (units of the data squared), >= 0, and
        positive in at least one type of every class.
    fractions : array_like, shape (J,)
        Share of the directions in each type, positive, summing to 1.
    centroid_gram : array_like, shape (K, K), optional
        Gram matrix of the centroids over d; symmetric, positive semi-definite. Zero by default,
        which also stands for centroids whose norm does not grow with d.

    Raises
    ------
    InvalidInput
        For any other shape, sign, sum or matrix.

    Notes
    -----
    The setting is that of arXiv:2605.06367; the description by direction types is ours.
    """

    weights: Floats
    variances: Floats
    fractions: Floats
    centroid_gram: Floats
    #: What `from_samples` measured about its own approximation; empty for a mixture given by hand.
    diagnostics: dict[str, float]

    def __init__(
        self,
        weights: ArrayLike,
        variances: ArrayLike,
        fractions: ArrayLike = (1.0,),
        centroid_gram: ArrayLike | None = None,
    ) -> None:
        w = probabilities("weights", weights)
        f = probabilities("fractions", fractions)
        s = numbers("variances", variances)
        if s.ndim == 1:
            s = s[:, None]
        if s.shape != (w.size, f.size):
            raise InvalidInput.of(
                "variances",
                variances,
                f"have shape ({w.size}, {f.size}): a row for each of the {w.size} weights, "
                f"a column for each of the {f.size} fractions",
                f"its shape is {s.shape}; give one variance per class and direction type",
            )
        if s.min() < 0 or (s @ f).min() <= 0:
            raise InvalidInput.of(
                "variances",
                variances,
                "be >= 0, and positive in at least one direction type of every class",
                "remove the classes that have no spread",
            )
        if centroid_gram is None:
            c = np.zeros((w.size, w.size))
        else:
            c = numbers("centroid_gram", centroid_gram)
            if c.shape != (w.size, w.size):
                raise InvalidInput.of(
                    "centroid_gram", centroid_gram, f"have shape ({w.size}, {w.size})", "give mu_k . mu_l / d"
                )
            scale = max(float(np.abs(c).max()), 1e-300)
            if np.abs(c - c.T).max() > GRAM_TOLERANCE * scale:
                raise InvalidInput.of(
                    "centroid_gram", centroid_gram, "be symmetric", "give mu_k . mu_l / d for both orders"
                )
            lowest = float(np.linalg.eigvalsh((c + c.T) / 2).min())
            if lowest < -GRAM_TOLERANCE * scale * w.size:
                raise InvalidInput.of(
                    "centroid_gram",
                    centroid_gram,
                    f"be positive semi-definite (its lowest eigenvalue is {lowest:.3g})",
                    "give inner products of actual vectors, mu_k . mu_l / d",
                )
            c = (c + c.T) / 2
        for name, value in (("weights", w), ("variances", s), ("fractions", f), ("centroid_gram", c)):
            value = np.array(value)
            value.setflags(write=False)
            object.__setattr__(self, name, value)
        object.__setattr__(self, "diagnostics", {})

    @property
    def n_classes(self) -> int:
        """Number of classes, K."""
        return int(self.weights.size)

    @property
    def n_types(self) -> int:
        """Number of direction types, J."""
        return int(self.fractions.size)

    @cached_property
    def class_variance(self) -> Floats:
        """Variance per direction of each class, ``sum_j fractions[j] * variances[k, j]``, shape (K,)."""
        return np.asarray(self.variances @ self.fractions)

    @cached_property
    def effective_dimension(self) -> Floats:
        """Participation ratio of each class's spectrum over d, in (0, 1], shape (K,).

        ``(sum_j w_j s_kj)^2 / sum_j w_j s_kj^2``: 1 for an isotropic class. Our definition.
        """
        return np.asarray(self.class_variance**2 / (self.variances**2 @ self.fractions))

    @property
    def centroid_norms(self) -> Floats:
        """Norm of each centroid over sqrt(d), shape (K,)."""
        return np.sqrt(np.maximum(np.diag(self.centroid_gram), 0.0))

    @property
    def is_isotropic(self) -> bool:
        """Whether every class has the same variance in all directions."""
        return bool(np.ptp(self.variances, axis=1).max() <= 1e-12 * self.variances.max())

    def take(self, order: Sequence[int]) -> GaussianMixture:
        """Return the same mixture with its classes in another order."""
        idx = np.asarray(order)
        if sorted(idx.tolist()) != list(range(self.n_classes)):
            raise InvalidInput.of(
                "order", list(order), f"be a permutation of 0..{self.n_classes - 1}", "name each class once"
            )
        return GaussianMixture(
            self.weights[idx], self.variances[idx], self.fractions, self.centroid_gram[np.ix_(idx, idx)]
        )

    def reweighted(self, weights: ArrayLike) -> GaussianMixture:
        """Return the same classes with other weights."""
        return GaussianMixture(weights, self.variances, self.fractions, self.centroid_gram)

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists, for JSON."""
        return {
            "weights": self.weights.tolist(),
            "variances": self.variances.tolist(),
            "fractions": self.fractions.tolist(),
            "centroid_gram": self.centroid_gram.tolist(),
        }

    @classmethod
    def from_samples(
        cls,
        x: ArrayLike,
        labels: ArrayLike,
        *,
        n_types: int | None = None,
        classes: Sequence[Any] | None = None,
        weights: ArrayLike | None = None,
    ) -> GaussianMixture:
        """Match the moments of labelled data.

        The directions are the eigenvectors of the pooled within-class covariance, gathered into
        types of like pooled variance; a type's variance in a class is the mean over its directions.
        Total variances and centroids are kept exactly. The construction is ours.

        Parameters
        ----------
        x : array_like, shape (n, d)
            Samples; any real type, converted one class at a time.
        labels : array_like, shape (n,)
            Class of each sample.
        n_types : int, optional
            Number of direction types, 1 to d. Left out: the fewest (16 at most) within which log
            variance spreads by at most 0.1, or by what sampling alone would give. Directions in
            which no class varies are a type of their own, except for ``n_types=1``.
        classes : sequence, optional
            Labels to use, in this order; other samples are left out. All, sorted, by default.
        weights : array_like, shape (K,), optional
            Class probabilities; the classes' frequencies by default.

        Returns
        -------
        GaussianMixture
            Its ``diagnostics`` say how well it describes the data, as plain numbers:

            - ``off_diagonal[label]``: share of the class covariance's energy (sum of squared
              entries) off the diagonal in the pooled eigenbasis; 0 if the covariances commute,
              ``off_diagonal_sampling[label]`` of it by sampling alone;
            - ``within_type[label]``: share of the energy lost by averaging over each type;
            - each of them also as ``_max`` over the classes;
            - ``centroid_share[j]``: share of the centroids' energy in type j, to be compared with
              ``fractions[j]``; ``centroid_unevenness``, half the sum of the differences, in [0, 1];
            - ``centroid_sampling_max``: what sampling alone adds to a centroid's squared norm;
            - ``constant_fraction``: share of directions without variance;
            - ``n_samples_least``: samples of the smallest class.

        Raises
        ------
        InvalidInput
            For other shapes, NaN, an unknown class, more types than dimensions, a class that does
            not vary, or a class with no more samples than there are dimensions that vary (measure
            on all the samples there are, and set ``weights`` for an imbalance).
        """
        from diffclaims.problem.moments import match_moments

        found = match_moments(x, labels, n_types=n_types, classes=classes, weights=weights)
        mixture = cls(found.weights, found.variances, found.fractions, found.centroid_gram)
        object.__setattr__(mixture, "diagnostics", found.diagnostics)
        return mixture

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> GaussianMixture:
        """Rebuild what `to_dict` gave."""
        return cls(data["weights"], data["variances"], data["fractions"], data["centroid_gram"])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GaussianMixture) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(json.dumps(self.to_dict()))

    def __repr__(self) -> str:
        def short(a: Floats) -> str:
            text = repr(a.tolist())
            return text if len(text) <= 80 else f"<array of shape {a.shape}>"

        parts = [f"weights={short(self.weights)}"]
        parts.append(f"variances={short(self.variances[:, 0] if self.n_types == 1 else self.variances)}")
        if self.n_types > 1:
            parts.append(f"fractions={short(self.fractions)}")
        if self.centroid_gram.any():
            parts.append(f"centroid_gram={short(self.centroid_gram)}")
        return f"GaussianMixture({', '.join(parts)})"
