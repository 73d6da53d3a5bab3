"""Other ways to train, for comparison only: as one writes it first, another library's network, many in one.

None of them draws its numbers from (seed, step), so no run could be resumed with them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from diffclaims.unet.config import RunConfig
from diffclaims.unet.model.objective import NetworkDenoiser
from diffclaims.unet.model.stepper import build

Images = NDArray[np.float32]
Step = Callable[[int], object]


def _draw(config: RunConfig, images: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    o = config.objective
    x = images[torch.randint(len(images), shape, device=images.device)]
    u = torch.rand(shape, device=images.device)
    sigma = torch.exp(np.log(o.sigma_min) + (np.log(o.sigma_max) - np.log(o.sigma_min)) * u)
    return x, sigma, torch.randn_like(x)


def plain(
    config: RunConfig, images: Images, device: torch.device, module: NetworkDenoiser | None = None
) -> Step:
    """Return a step as one writes it first: the same loss, all else as torch has it by default."""
    module = (module or build(config, device)).to(device)
    optimizer = torch.optim.Adam(module.parameters(), lr=config.optimizer.rate)
    data = torch.from_numpy(images).to(device)

    def step(_: int) -> None:
        loss = module.loss(*_draw(config, data, (config.optimizer.batch,))).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def diffusers(config: RunConfig, images: Images, device: torch.device) -> Step:
    """Return a plain step of the network of the library diffusers with the same widths, if it is installed."""
    from diffusers import UNet2DModel

    side, kinds = config.data.resolution, list[bool]()
    for _ in config.network.multipliers:
        kinds.append(side in config.network.attention)
        side //= 2
    widths = tuple(config.network.width * m for m in config.network.multipliers)

    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner: Any = UNet2DModel(
                sample_size=config.data.resolution,
                in_channels=config.data.channels,
                out_channels=config.data.channels,
                layers_per_block=1,
                block_out_channels=widths,
                down_block_types=tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in kinds),
                up_block_types=tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(kinds)),
                norm_num_groups=min(8, widths[0] // 4),
                add_attention=False,
            )

        def forward(self, x: Tensor, level: Tensor) -> Tensor:
            out: Tensor = self.inner(x, level).sample
            return out

    return plain(config, images, device, NetworkDenoiser(Wrapped(), config.objective))


def batched(config: RunConfig, images: Images, device: torch.device, models: int) -> Step:
    """Return a step of several models in one, by ``torch.func.vmap`` over their stacked weights.

    Expected to be slow where the network is large enough to keep the device busy: convolutions with a weight for
    each model become grouped ones, for which there are no fast kernels.
    """

    class Loss(nn.Module):
        def __init__(self, denoiser: NetworkDenoiser) -> None:
            super().__init__()
            self.denoiser = denoiser

        def forward(self, x: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
            return self.denoiser.loss(x, sigma, noise).mean()

    losses = [Loss(build(config, device)) for _ in range(models)]
    weights, buffers = torch.func.stack_module_state(losses)
    skeleton = copy.deepcopy(losses[0]).to("meta")
    optimizer = torch.optim.Adam(weights.values(), lr=config.optimizer.rate, fused=True)
    data = torch.from_numpy(images).to(device)

    def one(w: dict[str, Tensor], b: dict[str, Tensor], *drawn: Tensor) -> Tensor:
        out: Tensor = torch.func.functional_call(skeleton, (w, b), drawn)
        return out

    def step(_: int) -> None:
        drawn = _draw(config, data, (models, config.optimizer.batch))
        loss = torch.func.vmap(one)(weights, buffers, *drawn).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step
