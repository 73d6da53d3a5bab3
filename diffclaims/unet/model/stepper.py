"""Optimizer steps, each a function of (seed, step) and the weights alone, however they are computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffclaims.unet.config import RunConfig
from diffclaims.unet.model import device as devices
from diffclaims.unet.model.network import UNet
from diffclaims.unet.model.objective import NetworkDenoiser, draw_levels
from diffclaims.unet.model.options import Compute
from diffclaims.unet.model.randomness import INITIAL, STEP, mix

#: Steps that are taken as they are before one is captured. The first of them make cuDNN choose its kernels,
#: Triton compile its own, and Adam allocate its moments: none of that may happen in a capture.
WARM_UP = 3


def build(config: RunConfig, device: torch.device) -> NetworkDenoiser:
    """Return the untrained network of a run, wrapped as a denoiser."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix(config.seed, INITIAL))
        network = UNet(config.network, config.data.resolution, config.data.channels)
    return NetworkDenoiser(network, config.objective).to(device)


def _optimizer(
    config: RunConfig, module: torch.nn.Module, rate: float | Tensor, *, capturable: bool
) -> torch.optim.Optimizer:
    o = config.optimizer
    if o.optimizer == "sgd":
        return torch.optim.SGD(module.parameters(), lr=rate, momentum=o.momentum)
    return torch.optim.Adam(
        module.parameters(), lr=rate, betas=(0.9, 0.99), fused=True, capturable=capturable
    )


class CapturedStep:
    """A step that runs as it is `WARM_UP` times, is then captured, and from there on replayed.

    The calls before the capture are steps like any other, and capturing computes nothing, so there is nothing
    to be undone.

    Parameters
    ----------
    step : callable
        Takes tensors of fixed shapes and returns one tensor. All that it changes must keep its address.
    capture : callable
        `device.capture`, or a stand-in for it.
    """

    def __init__(self, step: Callable[..., Tensor], capture: devices.Capture) -> None:
        self._step, self._capture = step, capture
        self._calls = 0
        self._inputs: tuple[Tensor, ...] = ()
        self._replay: Callable[[], None] | None = None
        self._result = torch.empty(())

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Take a step; the tensor that is returned is overwritten by the next one."""
        if self._calls < WARM_UP:
            self._calls += 1
            return self._step(*inputs)
        if self._replay is None:
            self._inputs = tuple(x.clone() for x in inputs)
            self._replay, self._result = self._capture(lambda: self._step(*self._inputs))
        for static, x in zip(self._inputs, inputs, strict=True):
            static.copy_(x)
        self._replay()
        return self._result


class Stepper:
    """Optimizer steps of one run, each a function of (seed, step) and the weights alone.

    On a CUDA device all work is queued on the stream that is current, which must be the same when it is made
    and whenever it is called; with a CUDA graph it must not be the default one.

    Parameters
    ----------
    config : RunConfig
    train : float32 array, shape (n, 1, R, R)
        Training images; they live on the device.
    compute : Compute
    capture : callable, optional
        What captures a step; by default CUDA graphs if `compute` asks for them.
    """

    def __init__(
        self,
        config: RunConfig,
        train: NDArray[np.float32],
        compute: Compute,
        *,
        capture: devices.Capture | None = None,
    ) -> None:
        if capture is None and compute.cuda_graph:
            capture = devices.capture
        self.config = config
        self.device = torch.device(compute.device)
        self.denoiser = build(config, self.device)
        if compute.channels_last:
            self.denoiser = self.denoiser.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        # A captured step reads its rate where the host can still change it: from a tensor on the device.
        self._captured, self._rate = capture is not None, config.optimizer.rate
        rate = torch.tensor(self._rate, device=self.device) if self._captured else self._rate
        self.optimizer = _optimizer(config, self.denoiser, rate, capturable=self._captured)
        self._loss: Callable[..., Tensor] = self.denoiser.loss
        if compute.compile:
            # Not "reduce-overhead", whose own CUDA graphs leave out the optimizer and share memory among models.
            self._loss = torch.compile(self.denoiser.loss)
        self._bf16, self._tf32 = compute.bf16, compute.tf32
        self._images = torch.from_numpy(train).to(self.device)
        self._generator = torch.Generator(self.device)
        self._take: Callable[..., Tensor] = self._step
        if capture is not None:
            self._take = CapturedStep(self._step, capture)

    def __call__(self, step: int) -> Tensor:
        """Take the step after `step` steps; return its training loss.

        The loss may be overwritten by the next step.
        """
        with devices.tf32(self._tf32, self.device):
            self._set_rate(step)
            return self._take(*self._draw(step))

    def _set_rate(self, step: int) -> None:
        o = self.config.optimizer
        rate = o.rate * min(1.0, (step + 1) / max(1, o.warmup))
        for group in self.optimizer.param_groups:
            if not self._captured:
                group["lr"] = rate
            elif rate != self._rate:
                group["lr"].fill_(rate)
        self._rate = rate

    def _draw(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Draw all that is random in a step: indices of images, noise levels, noise."""
        batch, g, device = self.config.optimizer.batch, self._generator, self.device
        g.manual_seed(mix(self.config.seed, STEP, step))
        index = torch.randint(len(self._images), (batch,), generator=g, device=device)
        sigma = draw_levels(self.config.objective, batch, g, device)
        noise = torch.randn((batch, *self._images.shape[1:]), generator=g, device=device)
        return index, sigma, noise

    def _step(self, index: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
        # Each weight is used once a step, so a cache of its casts gains nothing; and it would outlive a capture.
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16, cache_enabled=False):
            loss = self._loss(self._images[index], sigma, noise).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach()

    def state(self) -> dict[str, Any]:
        """Return all that steps change, ``model`` and ``optimizer``; the same however it is computed."""
        optimizer = self.optimizer.state_dict()
        for group in optimizer["param_groups"]:
            group["lr"] = self._rate
            if "capturable" in group:
                group["capturable"] = False
        return {"model": self.denoiser.state_dict(), "optimizer": optimizer}

    def restore(self, model: dict[str, Any], optimizer: dict[str, Any]) -> None:
        """Go on from a state, before the first step.

        Only the moments are taken over: the options of the optimizer say how it is computed here, which may
        differ from where the state was saved.
        """
        self.denoiser.load_state_dict(model)
        own = [g["lr"] for g in self.optimizer.param_groups]
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": optimizer["state"], "param_groups": groups})
        for group, rate in zip(self.optimizer.param_groups, own, strict=True):
            group["lr"] = rate
