"""What the equations take from a mixture and a model, of one problem or of several beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Parameters:
    """Numbers of one problem; of several, all arrays have a first axis for them, here "...".

    Attributes
    ----------
    weights : ndarray, shape (..., K)
    variances : ndarray, shape (..., J, K)
    signal, noise, psi_p, psi_n : ndarray, shape (...)
    """

    weights: Floats
    variances: Floats
    signal: Floats
    noise: Floats
    psi_p: Floats
    psi_n: Floats

    @classmethod
    def of(cls, mixture: GaussianMixture, model: RandomFeatures) -> Parameters:
        """Return those of one problem."""
        sizes = (np.asarray(x) for x in (model.signal, model.noise, model.psi_p, model.psi_n))
        return cls(mixture.weights, mixture.variances.T, *sizes)

    @classmethod
    def stacked(cls, several: Sequence[Parameters]) -> Parameters:
        """Return those of several problems, which have as many classes and direction types."""
        return cls(*(np.stack([getattr(one, f.name) for one in several]) for f in fields(cls)))

    def repeated(self, count: int) -> Parameters:
        """Return each problem so many times in a row."""
        return Parameters(*(np.repeat(getattr(self, f.name), count, axis=0) for f in fields(self)))
