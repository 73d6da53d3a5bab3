"""Training loops as one writes them first, for comparison only: none of them could be resumed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from diffclaims.unet.config import RunConfig
from diffclaims.unet.model.objective import NetworkDenoiser
from diffclaims.unet.model.stepper import build

Images = NDArray[np.float32]
Step = Callable[[int], object]


def plain_loop(
    config: RunConfig, images: Images, device: torch.device, module: torch.nn.Module | None = None
) -> Step:
    """Return a step as one writes it first: the same loss, all else as torch has it by default."""
    o, denoiser = config.objective, build(config, device)
    if module is not None:
        denoiser = NetworkDenoiser(module, o).to(device)
    optimizer = torch.optim.Adam(denoiser.parameters(), lr=config.optimizer.rate)
    data, ratio = torch.from_numpy(images).to(device), math.log(o.sigma_max / o.sigma_min)

    def step(_: int) -> None:
        x = data[torch.randint(len(data), (config.optimizer.batch,), device=device)]
        sigma = o.sigma_min * torch.exp(ratio * torch.rand(len(x), device=device))
        loss = denoiser.loss(x, sigma, torch.randn_like(x)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def diffusers_loop(config: RunConfig, images: Images, device: torch.device) -> Step:
    """Return the plain step of the library diffusers' network with the same widths."""
    from diffusers import UNet2DModel

    n, side = config.network, config.data.resolution
    widths = tuple(n.width * m for m in n.multipliers)
    kinds = ["Attn" * (side // 2**i in n.attention) for i in range(len(widths))]

    class Wrapped(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner: Any = UNet2DModel(
                sample_size=side, in_channels=config.data.channels, out_channels=config.data.channels,
                layers_per_block=1, block_out_channels=widths, norm_num_groups=min(8, widths[0] // 4),
                down_block_types=tuple(f"{k}DownBlock2D" for k in kinds),
                up_block_types=tuple(f"{k}UpBlock2D" for k in reversed(kinds)), add_attention=False,
            )  # fmt: skip

        def forward(self, x: torch.Tensor, level: torch.Tensor) -> Any:
            return self.inner(x, level).sample

    return plain_loop(config, images, device, Wrapped())
