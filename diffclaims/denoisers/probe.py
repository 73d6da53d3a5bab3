"""Data, noised in the same way for every question to a denoiser."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffclaims.denoisers.denoiser import Denoiser
from diffclaims.denoisers.labels import as_taken, indices_of, tensor_of
from diffclaims.denoisers.options import Options
from diffclaims.errors import InvalidInput
from diffclaims.extras import need

#: Rows that are kept of the data, and coordinates that noise is drawn for: a mean over 4096 squares is within 10 %.
LARGEST, LEAST_COORDINATES = 128, 4096
#: Levels of the questions, in standard deviations of the data.
LEVELS = (0.05, 0.15, 0.5, 1.5, 5.0, 10.0)


class Probe:
    """A few samples with noise of fixed random numbers.

    Parameters
    ----------
    x : array_like or tensor, shape (n, ...)
        Samples, at least two that differ.
    labels : array_like of int or str, shape (n,), optional
        Names are told as their positions among the sorted names.
    device : torch.device
    seed : int
    scale_bytes : bool
        Whether bytes are brought to [-1, 1], as `diffclaims.advise` does.

    Attributes
    ----------
    bytes_scaled : bool
        Whether they were.
    std : float
        Root mean square deviation of a coordinate from its mean over the samples.
    """

    def __init__(
        self,
        x: ArrayLike,
        labels: ArrayLike | None,
        device: Any,
        seed: int = 0,
        *,
        scale_bytes: bool = True,
    ) -> None:
        torch = need("torch", "unet", "denoisers")
        given = tensor_of("x", x)
        if given.ndim < 2 or len(given) < 2 or not bool(torch.isfinite(given.float()).all()):
            limit = "hold at least two finite samples, (n, ...)"
            raise InvalidInput.of("x", tuple(given.shape), limit, "give training data")
        self.bytes_scaled = scale_bytes and given.dtype == torch.uint8
        given = given if given.is_floating_point() and given.element_size() >= 4 else given.float()
        given = given / 127.5 - 1 if self.bytes_scaled else given
        classes = as_taken(indices_of(labels), len(given), given.device, Options())
        generator = torch.Generator().manual_seed(seed)
        keep = torch.randperm(len(given), generator=generator)[:LARGEST]
        repeat = max(1, -(-LEAST_COORDINATES // given[keep].numel()))
        self.x = given[keep].repeat(repeat, *(1,) * (given.ndim - 1)).to(device)
        self.noise = torch.randn(self.x.shape, generator=generator, dtype=torch.float64).to(self.x)
        self.labels = None if classes is None else classes[keep].repeat(repeat).to(device)
        self.range = float(given.min()), float(given.max())
        self._moments(given[keep], None if classes is None else classes[keep], repeat, device)

    def _moments(self, x: Any, labels: Any, repeat: int, device: Any) -> None:
        flat = x.reshape(len(x), -1).double()
        centred = flat - flat.mean(dim=0)
        self.std = float(centred.square().mean().sqrt())
        if self.std == 0:
            raise InvalidInput.of("x", "all samples alike", "hold samples that differ", "give training data")
        self.eigenvalues: NDArray[np.float64] = (centred.svd().S ** 2 / len(x)).cpu().numpy()
        self.dimension = flat.shape[1]
        means = flat.mean(dim=0).expand(len(x), -1).clone()
        if labels is not None:
            for label in labels.unique():
                means[labels == label] = flat[labels == label].mean(dim=0)
        self.means = means.reshape(x.shape).repeat(repeat, *(1,) * (x.ndim - 1)).to(self.x)

    def noisy(self, sigma: float) -> Any:
        """Return the samples at a noise level."""
        return self.x + sigma * self.noise

    def loss(self, denoiser: Denoiser, sigma: float, labels: Any) -> float:
        """Return the mean squared error of x0, of a coordinate."""
        return float((denoiser.denoise(self.noisy(sigma), sigma, labels) - self.x).square().mean())

    def trivial(self, sigma: float) -> float:
        """Return the error of the better of two answers that take no network: the input, and the mean."""
        return min(sigma**2, self.std**2)

    def linear_spread(self, sigma: float) -> float:
        """Return how far the best linear denoiser's answers lie from the mean, squared, of a coordinate."""
        values = self.eigenvalues
        return float((values**2 / (values + sigma**2)).sum() / self.dimension)

    def levels(self, denoiser: Denoiser) -> list[float]:
        """Return the levels of the questions that a denoiser can be asked, increasing."""
        return sorted({float(s) for s in denoiser.nearest(self.std * np.array(LEVELS))})


def own_samples(denoiser: Denoiser, shape: tuple[int, ...], labels: Any, n: int = 64, seed: int = 0) -> Any:
    """Return samples that a denoiser makes itself, to ask it about where there are no data.

    Parameters
    ----------
    denoiser : Denoiser
    shape : tuple of int
        Of one sample.
    labels : array_like of int, shape (n,), or None
    n : int
    seed : int

    Returns
    -------
    tensor, shape (n, ...)
        By 24 steps of the probability flow, equal in ln sigma, from 80 down to 0.01 or what can be asked.
    """
    torch = need("torch", "unet", "denoisers")
    sigmas = denoiser.nearest(np.geomspace(80, 0.01, 25))
    generator = torch.Generator().manual_seed(seed)
    x = sigmas[0] * torch.randn((n, *shape), generator=generator).to(device_of(denoiser))
    for here, there in pairwise(sigmas):
        x0 = denoiser.denoise(x, here, labels)
        x = x0 + (x - x0) * (there / here)
    return denoiser.denoise(x, sigmas[-1], labels)


def device_of(denoiser: Denoiser) -> Any:
    """Return the device of a denoiser's network; the CPU where it has no parameters."""
    return getattr(denoiser.network.first_parameter(), "device", "cpu")
