"""Optimizer steps, each a function of (seed, step) and the weights alone, however they are computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffclaims.unet.compute import Compute
from diffclaims.unet.config import RunConfig
from diffclaims.unet.network import UNet
from diffclaims.unet.objective import NetworkDenoiser, draw_levels
from diffclaims.unet.randomness import INITIAL, STEP, mix


def build(config: RunConfig, device: torch.device) -> NetworkDenoiser:
    """Return the untrained network of a run, wrapped as a denoiser."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix(config.seed, INITIAL))
        network = UNet(config.network, config.data.resolution)
    return NetworkDenoiser(network, config.objective).to(device)


def _optimizer(config: RunConfig, module: torch.nn.Module) -> torch.optim.Optimizer:
    o = config.optimizer
    if o.optimizer == "sgd":
        return torch.optim.SGD(module.parameters(), lr=o.rate, momentum=o.momentum)
    return torch.optim.Adam(module.parameters(), lr=o.rate, betas=(0.9, 0.99), fused=True)


class Stepper:
    """Optimizer steps of one run, each a function of (seed, step) and the weights alone.

    On a CUDA device all work is queued on the stream that is current when it is called.

    Parameters
    ----------
    config : RunConfig
    train : float32 array, shape (n, 1, R, R)
        Training images; they live on the device.
    compute : Compute
    """

    def __init__(self, config: RunConfig, train: NDArray[np.float32], compute: Compute) -> None:
        self.config = config
        self.device = torch.device(compute.device)
        self.denoiser = build(config, self.device)
        if compute.channels_last:
            self.denoiser = self.denoiser.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = _optimizer(config, self.denoiser)
        self._loss: Callable[..., Tensor] = self.denoiser.loss
        if compute.compile:
            self._loss = torch.compile(self.denoiser.loss, mode="reduce-overhead")
        self._bf16 = compute.bf16
        self._images = torch.from_numpy(train).to(self.device)
        self._generator = torch.Generator(self.device)

    def __call__(self, step: int) -> Tensor:
        """Take the step after `step` steps; return its training loss."""
        self._set_rate(step)
        return self._step(*self._draw(step))

    def _set_rate(self, step: int) -> None:
        o = self.config.optimizer
        rate = o.rate * min(1.0, (step + 1) / max(1, o.warmup))
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def _draw(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Draw all that is random in a step: indices of images, noise levels, noise."""
        batch, g, device = self.config.optimizer.batch, self._generator, self.device
        g.manual_seed(mix(self.config.seed, STEP, step))
        index = torch.randint(len(self._images), (batch,), generator=g, device=device)
        sigma = draw_levels(self.config.objective, batch, g, device)
        noise = torch.randn((batch, *self._images.shape[1:]), generator=g, device=device)
        return index, sigma, noise

    def _step(self, index: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            loss = self._loss(self._images[index], sigma, noise).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach()

    def state(self) -> dict[str, Any]:
        """Return all that steps change: ``model`` and ``optimizer``."""
        return {"model": self.denoiser.state_dict(), "optimizer": self.optimizer.state_dict()}

    def restore(self, model: dict[str, Any], optimizer: dict[str, Any]) -> None:
        """Go on from a state, before the first step."""
        self.denoiser.load_state_dict(model)
        self.optimizer.load_state_dict(optimizer)
