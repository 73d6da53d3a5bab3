"""Floating-point operations of the network, counted by torch, an addition and a multiplication being two."""

from __future__ import annotations

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from diffclaims.unet.config import RunConfig
from diffclaims.unet.model.stepper import build


def flops_per_image(config: RunConfig) -> tuple[int, int]:
    """Return operations for one image, of a training step and of one evaluation.

    Convolutions and products of matrices are counted; what works element by element, and the optimizer, is not.
    """
    denoiser, side, n = build(config, torch.device("cpu")), config.data.resolution, 2
    x, sigma = torch.zeros(n, config.data.channels, side, side), torch.ones(n)
    # Attention as plain products: not every release of torch counts its fused forms.
    with sdpa_kernel(SDPBackend.MATH):
        with FlopCounterMode(display=False) as training:
            denoiser.loss(x, sigma, x).mean().backward()  # type: ignore[no-untyped-call]
        with torch.no_grad(), FlopCounterMode(display=False) as evaluation:
            denoiser(x, sigma)
    return training.get_total_flops() // n, evaluation.get_total_flops() // n
