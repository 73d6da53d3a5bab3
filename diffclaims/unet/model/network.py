"""The U-Net: residual blocks, one a level on each way, attention at chosen sides."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from diffclaims.unet.config import NetworkConfig


class Embedding(nn.Module):
    """Sinusoids of the noise level's logarithm, through two layers; shape (B,) to (B, dim)."""

    frequencies: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        # ln sigma / 4 spans about one unit, so a quarter to sixteen turns resolve it without aliasing.
        self.register_buffer("frequencies", 2 * math.pi * torch.logspace(-2, 4, 16, base=2.0))
        self.layers = nn.Sequential(nn.Linear(32, dim), nn.SiLU(), nn.Linear(dim, dim), nn.SiLU())

    def forward(self, level: Tensor) -> Tensor:
        angle = level[:, None] * self.frequencies
        return cast(Tensor, self.layers(torch.cat([angle.cos(), angle.sin()], dim=1)))


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(min(8, channels // 4), channels)


def _zero(layer: nn.Conv2d) -> nn.Conv2d:
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class Block(nn.Module):
    """Residual block that adds the embedding between its two convolutions."""

    def __init__(self, inputs: int, outputs: int, embedding: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = _norm(inputs), nn.Conv2d(inputs, outputs, 3, padding=1)
        self.level = nn.Linear(embedding, outputs)
        self.norm2, self.conv2 = _norm(outputs), _zero(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv1(functional.silu(self.norm1(x)))
        h = h + self.level(embedding)[:, :, None, None]
        return cast(Tensor, self.skip(x) + self.conv2(functional.silu(self.norm2(h))))


class Attention(nn.Module):
    """Single-head self-attention over the pixels, residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = _norm(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = _zero(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(b, 3, c, h * w).transpose(2, 3).unbind(1)
        a = functional.scaled_dot_product_attention(q, k, v)
        return cast(Tensor, x + self.out(a.transpose(1, 2).reshape(b, c, h, w)))


class UNet(nn.Module):
    """Map noisy images (B, C, R, R) and noise labels (B,) to (B, C, R, R); zero at initialization."""

    def __init__(self, config: NetworkConfig, resolution: int, colours: int = 1) -> None:
        super().__init__()
        self.embedding = Embedding(config.embedding)
        channels = [config.width * m for m in config.multipliers]
        self.first = nn.Conv2d(colours, channels[0], 3, padding=1)
        self.down, self.down_attention = nn.ModuleList(), nn.ModuleList()
        self.up, self.up_attention = nn.ModuleList(), nn.ModuleList()
        side, inputs = resolution, channels[0]
        sides = []
        for outputs in channels:
            self.down.append(Block(inputs, outputs, config.embedding))
            self.down_attention.append(Attention(outputs) if side in config.attention else nn.Identity())
            sides.append(side)
            side, inputs = side // 2, outputs
        self.middle = Block(inputs, inputs, config.embedding)
        # The deepest level has no skip of its own: the middle block already follows it directly.
        for outputs, side in reversed(list(zip(channels[:-1], sides[:-1], strict=True))):
            self.up.append(Block(inputs + outputs, outputs, config.embedding))
            self.up_attention.append(Attention(outputs) if side in config.attention else nn.Identity())
            inputs = outputs
        self.norm, self.last = _norm(inputs), _zero(nn.Conv2d(inputs, colours, 3, padding=1))

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        e = self.embedding(level)
        h = self.first(x)
        skips = []
        for i, (block, attention) in enumerate(zip(self.down, self.down_attention, strict=True)):
            if i:
                h = functional.avg_pool2d(h, 2)
            h = attention(block(h, e))
            skips.append(h)
        h = self.middle(skips.pop(), e)
        for block, attention in zip(self.up, self.up_attention, strict=True):
            h = functional.interpolate(h, scale_factor=2.0, mode="nearest")
            h = attention(block(torch.cat([h, skips.pop()], dim=1), e))
        return cast(Tensor, self.last(functional.silu(self.norm(h))))


def n_parameters(module: nn.Module) -> int:
    """Number of trained parameters."""
    return sum(p.numel() for p in module.parameters())
