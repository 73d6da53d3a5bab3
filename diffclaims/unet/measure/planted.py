"""Denoisers whose answers are known, to be measured by the code that measures networks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from diffclaims.unet.measure.wiener import ClassMoments


class EmpiricalDenoiser:
    """Posterior mean over the training images themselves: the perfect memorizer."""

    def __init__(self, train: NDArray[np.float32]) -> None:
        self.images = torch.from_numpy(train.reshape(len(train), -1).astype(np.float64))

    def __call__(self, y: Tensor, sigma: Tensor) -> Tensor:
        flat = y.reshape(len(y), -1).double()
        logits = -(torch.cdist(flat, self.images) ** 2) / (2 * sigma.double()[:, None] ** 2)
        return (logits.softmax(dim=1) @ self.images).reshape(y.shape).to(y.dtype)


class GaussianDenoiser:
    """Posterior mean of a mixture of Gaussian classes: knows their moments, and no image."""

    def __init__(self, moments: Sequence[ClassMoments], weights: ArrayLike) -> None:
        self.log_weights = torch.log(torch.as_tensor(np.asarray(weights, dtype=np.float64)))
        self.parts = [tuple(map(torch.from_numpy, (m.mean, m.eigenvalues, m.eigenvectors))) for m in moments]

    def __call__(self, y: Tensor, sigma: Tensor) -> Tensor:
        flat, s2 = y.reshape(len(y), -1).double(), sigma.double()[:, None] ** 2
        logits, means = [], []
        for mean, values, vectors in self.parts:
            z, variance = (flat - mean) @ vectors, values + s2
            logits.append(-0.5 * (z**2 / variance + torch.log(variance)).sum(dim=1))
            means.append(mean + (z * values / variance) @ vectors.T)
        p = (torch.stack(logits, dim=1) + self.log_weights).softmax(dim=1)
        return torch.einsum("bk,kbd->bd", p, torch.stack(means)).reshape(y.shape).to(y.dtype)
