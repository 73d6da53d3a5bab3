"""What the network is trained to do, and the denoiser that results.

All noise levels are standard deviations sigma of the noise added to an image x: y = x + sigma xi. A
*denoiser* maps y (B, 1, R, R) and sigma (B,) to its estimate of x. Networks, exact posterior means and
Gaussian references are all denoisers, so one code path measures them all.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from diffclaims.unet.config import ObjectiveConfig

Denoiser = Callable[[Tensor, Tensor], Tensor]


def ddpm_levels() -> Tensor:
    """Noise levels of the linear schedule of 1000 steps, increasing; sigma^2 = (1 - abar)/abar."""
    beta = np.linspace(1e-4, 2e-2, 1000)
    signal = np.cumprod(1 - beta)
    return torch.from_numpy(np.sqrt((1 - signal) / signal).astype(np.float32))


@functools.cache
def _table(device: torch.device) -> Tensor:
    """`ddpm_levels` on a device, moved there once: a copy from the host at every step would wait for all others."""
    return ddpm_levels().to(device)


def draw_levels(config: ObjectiveConfig, n: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """Draw n training noise levels."""
    if config.noise == "fixed":
        return torch.full((n,), config.sigma_fixed, device=device)
    u = torch.rand(n, generator=generator, device=device)
    if config.noise == "log-uniform":
        low, high = np.log(config.sigma_min), np.log(config.sigma_max)
        return torch.exp(low + (high - low) * u)
    table = _table(device)
    return table[(u * len(table)).long().clamp_(max=len(table) - 1)]


def _column(sigma: Tensor) -> Tensor:
    return sigma[:, None, None, None]


class NetworkDenoiser(nn.Module):
    """Wrap a network as a denoiser.

    ``"edm"``: D = c_skip y + c_out F(c_in y), after Karras et al., arXiv:2206.00364, table 1.
    ``"eps"``: D = y - sigma F(y / sqrt(1 + sigma^2)), the variance-preserving form of the same noise level.
    """

    def __init__(self, network: nn.Module, config: ObjectiveConfig) -> None:
        super().__init__()
        self.network, self.config = network, config

    def forward(self, y: Tensor, sigma: Tensor) -> Tensor:
        s, label = _column(sigma), torch.log(sigma) / 4
        if self.config.objective == "eps":
            eps: Tensor = self.network(y * torch.rsqrt(1 + s**2), label)
            return torch.sub(y, s * eps)
        d2 = self.config.sigma_data**2
        total = s**2 + d2
        out: Tensor = self.network(y * torch.rsqrt(total), label)
        return torch.add(y * (d2 / total), out * (s * self.config.sigma_data * torch.rsqrt(total)))

    def loss(self, x: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
        """Return the training loss of each image, shape (B,): mean over pixels, weighted."""
        error: Tensor = ((self(x + _column(sigma) * noise, sigma) - x) ** 2).mean(dim=(1, 2, 3))
        if self.config.objective == "eps":
            return error / sigma.square()
        d = self.config.sigma_data
        return error * (sigma.square() + d**2) / (sigma * d).square()
