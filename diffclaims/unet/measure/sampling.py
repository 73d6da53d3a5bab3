"""Samplers of any denoiser: one stochastic (ancestral), one deterministic (Heun).

Both go down a log-spaced grid of noise levels and end with the denoiser's estimate at the lowest one.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from diffclaims.monitor.sampling import Draw, ancestral, heun, noise_grid, starting_points, uturn_grid
from diffclaims.unet.model.objective import Denoiser

SAMPLERS = ("ancestral", "heun")
#: Evaluated together; larger batches are slower on a CPU, whose caches they leave.
BATCH = 128


def _noise_of(generator: torch.Generator) -> Draw:
    return lambda y: torch.randn(y.shape, generator=generator, device=y.device, dtype=y.dtype)


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
    grid, draw = noise_grid(high, low, steps), _noise_of(generator)
    out = [
        ancestral(denoiser, y, grid, draw) if sampler == "ancestral" else heun(denoiser, y, grid)
        for y in torch.split(start, BATCH)
    ]
    return torch.cat(out).float().cpu().numpy()


@torch.no_grad()
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
    draw = _noise_of(generator)
    out = torch.cat([ancestral(denoiser, part, grid, draw) for part in torch.split(y, BATCH)])
    return out.reshape(len(x), returns, *x.shape[1:]).float().cpu().numpy()
