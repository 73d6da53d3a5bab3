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
from diffclaims.problem.arguments import checked
from diffclaims.problem.names import Name, default_names, names_of
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
    classes : sequence of int or of str, optional
        Names of the classes, in the order of the weights; 0 to K - 1 by default. Every result that is
        resolved by class has them as its coordinate ``class``, and labelled samples are matched by them.

    Raises
    ------
    InvalidInput
        For any other shape, sign, sum or matrix, or names that are not different, as many as the weights,
        and all integers or all strings.

    Notes
    -----
    The setting is that of arXiv:2605.06367; the description by direction types is ours.
    """

    weights: Floats
    variances: Floats
    fractions: Floats
    centroid_gram: Floats
    #: Names of the classes.
    classes: tuple[Name, ...]
    #: What `from_samples` measured about its own approximation; empty for a mixture given by hand.
    diagnostics: dict[str, float]

    def __init__(
        self,
        weights: ArrayLike,
        variances: ArrayLike,
        fractions: ArrayLike = (1.0,),
        centroid_gram: ArrayLike | None = None,
        classes: Sequence[Name] | None = None,
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
        c = _gram(centroid_gram, w.size)
        for name, value in (("weights", w), ("variances", s), ("fractions", f), ("centroid_gram", c)):
            value = np.array(value)
            value.setflags(write=False)
            object.__setattr__(self, name, value)
        names = default_names(w.size) if classes is None else names_of(classes, w.size)
        object.__setattr__(self, "classes", names)
        object.__setattr__(self, "diagnostics", {})

    @property
    def named(self) -> bool:
        """Whether the classes have names other than 0 to K - 1."""
        return self.classes != default_names(self.n_classes)

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
        """Return the same mixture with its classes, and their names, in another order."""
        idx = np.asarray(order)
        if sorted(idx.tolist()) != list(range(self.n_classes)):
            raise InvalidInput.of(
                "order", list(order), f"be a permutation of 0..{self.n_classes - 1}", "name each class once"
            )
        return self.replace(
            weights=self.weights[idx],
            variances=self.variances[idx],
            centroid_gram=self.centroid_gram[np.ix_(idx, idx)],
            classes=[self.classes[i] for i in idx],
        )

    def reweighted(self, weights: ArrayLike) -> GaussianMixture:
        """Return the same classes with other weights."""
        return self.replace(weights=weights)

    def renamed(self, classes: Sequence[Name] | None) -> GaussianMixture:
        """Return the same mixture with other names of its classes, or with none."""
        out = self.replace(classes=classes)
        object.__setattr__(out, "diagnostics", self.diagnostics)
        return out

    def replace(self, **changes: Any) -> GaussianMixture:
        """Return a copy with some arguments changed; the names of the classes stay where they are not."""
        fields = ("weights", "variances", "fractions", "centroid_gram", "classes")
        return GaussianMixture(**({name: getattr(self, name) for name in fields} | changes))

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists, for JSON; names of the classes only where they were given."""
        data = {
            "weights": self.weights.tolist(),
            "variances": self.variances.tolist(),
            "fractions": self.fractions.tolist(),
            "centroid_gram": self.centroid_gram.tolist(),
        }
        return data | {"classes": list(self.classes)} if self.named else data

    @classmethod
    @checked
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
            Class of each sample: integers or strings, which become the names of the classes.
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
        mixture = cls(found.weights, found.variances, found.fractions, found.centroid_gram, found.classes)
        object.__setattr__(mixture, "diagnostics", found.diagnostics)
        return mixture

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> GaussianMixture:
        """Rebuild what `to_dict` gave."""
        return cls(
            data["weights"], data["variances"], data["fractions"], data["centroid_gram"], data.get("classes")
        )

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
        if self.named:
            parts.append(f"classes={list(self.classes)!r}")
        return f"GaussianMixture({', '.join(parts)})"


def _gram(centroid_gram: ArrayLike | None, n_classes: int) -> Floats:
    """Check a Gram matrix of centroids; zero where there is none."""
    if centroid_gram is None:
        return np.zeros((n_classes, n_classes))
    c = numbers("centroid_gram", centroid_gram)
    if c.shape != (n_classes, n_classes):
        raise InvalidInput.of(
            "centroid_gram", centroid_gram, f"have shape ({n_classes}, {n_classes})", "give mu_k . mu_l / d"
        )
    scale = max(float(np.abs(c).max()), 1e-300)
    if np.abs(c - c.T).max() > GRAM_TOLERANCE * scale:
        raise InvalidInput.of(
            "centroid_gram", centroid_gram, "be symmetric", "give mu_k . mu_l / d for both orders"
        )
    lowest = float(np.linalg.eigvalsh((c + c.T) / 2).min())
    if lowest < -GRAM_TOLERANCE * scale * n_classes:
        raise InvalidInput.of(
            "centroid_gram",
            centroid_gram,
            f"be positive semi-definite (its lowest eigenvalue is {lowest:.3g})",
            "give inner products of actual vectors, mu_k . mu_l / d",
        )
    return np.asarray((c + c.T) / 2)
