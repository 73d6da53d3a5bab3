"""Samplers of any denoiser: one stochastic (ancestral), one deterministic (Heun).

Both go down a log-spaced grid of noise levels and end with the denoiser's estimate at the lowest one.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffclaims.monitor.sampling import call, heun, noise_grid, starting_points
from diffclaims.unet.model.objective import Denoiser

SAMPLERS = ("ancestral", "heun")
#: Evaluated together; larger batches are slower on a CPU, whose caches they leave.
BATCH = 128


def uturn_grid(level: float, high: float, low: float, steps: int) -> NDArray[np.float64]:
    """Noise levels of the way back from `level`, as fine as `steps` of them from `high` down to `low`."""
    n = max(2, int(np.ceil(steps * np.log(level / low) / np.log(high / low)))) if level > low else 1
    return noise_grid(level, low, n)


@torch.no_grad()
def ancestral(denoiser: Denoiser, y: Tensor, grid: NDArray[np.float64], generator: torch.Generator) -> Tensor:
    """Run the backward process with noise, from y at level ``grid[0]``, shape (B, 1, R, R).

    Each step draws from the Gaussian p(x_next | x_now, x_0 = D): exact where the posterior of x_0 is
    concentrated, and in the limit of many steps always.
    """
    for now, then in itertools.pairwise(grid):
        d = call(denoiser, y, float(now))
        keep = float(then**2 / now**2)
        spread = float(np.sqrt(then**2 * (now**2 - then**2)) / now)
        y = (
            d
            + keep * (y - d)
            + spread * torch.randn(y.shape, generator=generator, device=y.device, dtype=y.dtype)
        )
    return call(denoiser, y, float(grid[-1]))


@torch.no_grad()
def sample(
    denoiser: Denoiser,
    train: NDArray[np.float32],
    *,
    n: int,
    sampler: str,
    high: float,
    low: float,
    steps: int,
    seed: int,
    device: torch.device,
) -> NDArray[np.float32]:
    """Draw n images, shape (n, 1, R, R), with `sampler` one of `SAMPLERS`; the same seed, the same start."""
    generator = torch.Generator(device).manual_seed(seed)
    start = starting_points(train, high, n, generator, device)
    grid = noise_grid(high, low, steps)
    out = [
        ancestral(denoiser, y, grid, generator) if sampler == "ancestral" else heun(denoiser, y, grid)
        for y in torch.split(start, BATCH)
    ]
    return torch.cat(out).float().cpu().numpy()


def uturns(
    denoiser: Denoiser,
    images: NDArray[np.float32],
    *,
    level: float,
    returns: int,
    high: float,
    low: float,
    steps: int,
    seed: int,
    device: torch.device,
) -> NDArray[np.float32]:
    """Noise each image to `level` once, and run `returns` stochastic backward processes from there.

    The grid below `level` is as fine as that of `sample` from `high`. Returns shape (n, returns, 1, R, R).
    """
    generator = torch.Generator(device).manual_seed(seed)
    x = torch.from_numpy(images).to(device)
    y = x + level * torch.randn(x.shape, generator=generator, device=device)
    y = y.repeat_interleave(returns, dim=0)
    grid = uturn_grid(level, high, low, steps)
    out = torch.cat([ancestral(denoiser, part, grid, generator) for part in torch.split(y, BATCH)])
    return out.reshape(len(x), returns, *x.shape[1:]).float().cpu().numpy()
