"""Samplers of any denoiser as a function of noisy samples and their noise levels, and losses of the same."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: ``(x_noisy, sigma, shape (B,)) -> x0``, tensors.
Function = Callable[[Any, Any], Any]
#: ``(y) -> standard normal noise of its shape``, tensors.
Draw = Callable[[Any], Any]


def relative_errors(function: Function, x: Any, noise: Any, sigma: Any) -> Any:
    """Return ``|x0 - D(x0 + sigma noise)|^2/(d sigma^2)`` of each pair: tensors (B, ...), and sigma (B,)."""
    noisy = x + sigma.reshape(-1, *(1,) * (x.ndim - 1)) * noise
    return ((function(noisy, sigma) - x) ** 2).mean(dim=tuple(range(1, x.ndim))) / sigma**2


def noise_grid(high: float, low: float, steps: int) -> NDArray[np.float64]:
    """Noise levels from `high` down to `low`, log-spaced, `steps` of them (one if they are equal)."""
    return np.geomspace(high, low, steps) if high > low * (1 + 1e-9) else np.array([low])


def uturn_grid(level: float, high: float, low: float, steps: int) -> NDArray[np.float64]:
    """Noise levels of the way back from `level`, as fine as `steps` of them from `high` down to `low`."""
    n = max(2, int(np.ceil(steps * np.log(level / low) / np.log(high / low)))) if level > low else 1
    return noise_grid(level, low, n)


def call(function: Function, x: Any, sigma: float) -> Any:
    """Ask at one noise level."""
    return function(x, x.new_full((len(x),), sigma))


def heun(function: Function, y: Any, grid: NDArray[np.float64]) -> Any:
    """Solve the probability-flow equation dy/dsigma = (y - D)/sigma by Heun's method, from y at ``grid[0]``."""
    for now, then in itertools.pairwise(grid):
        slope = (y - call(function, y, float(now))) / float(now)
        guess = y + float(then - now) * slope
        other = (guess - call(function, guess, float(then))) / float(then)
        y = y + float(then - now) * (slope + other) / 2
    return call(function, y, float(grid[-1]))


def ancestral(function: Function, y: Any, grid: NDArray[np.float64], draw: Draw) -> Any:
    """Run the backward process with noise, from y at level ``grid[0]``, shape (B, ...).

    Each step draws from the Gaussian p(x_next | x_now, x_0 = D): exact where the posterior of x_0 is
    concentrated, and in the limit of many steps always.
    """
    for now, then in itertools.pairwise(grid):
        d = call(function, y, float(now))
        keep = float(then**2 / now**2)
        spread = float(np.sqrt(then**2 * (now**2 - then**2)) / now)
        y = d + keep * (y - d) + spread * draw(y)
    return call(function, y, float(grid[-1]))


def starting_points(train: NDArray[np.floating], sigma: float, n: int, generator: Any, device: Any) -> Any:
    """Draw starting points at level sigma from the Gaussian with the training set's mean and covariance.

    At the highest level the classes' means still differ by about sigma, so plain noise of variance sigma^2
    would favour some classes; matching two moments leaves no such bias, and knows no single image.
    """
    import torch

    flat = train.reshape(len(train), -1).astype(np.float64)
    mean = flat.mean(axis=0)
    # Draws of mean + sum_i g_i (x_i - mean)/sqrt(n) have exactly the covariance of the training set.
    spread = torch.from_numpy(((flat - mean) / np.sqrt(len(flat))).astype(np.float32)).to(device)
    g = torch.randn(n, len(flat), generator=generator, device=device)
    y = torch.from_numpy(mean.astype(np.float32)).to(device) + g @ spread
    y = y + sigma * torch.randn(y.shape, generator=generator, device=device)
    return y.reshape(n, *train.shape[1:])
