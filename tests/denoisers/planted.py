"""Denoisers that are known exactly, written as a user would write them in each convention, from its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

#: As in DDPM.
ABAR = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
#: Steps at which every convention is asked, and their noise levels.
STEPS = (0, 3, 60, 250, 500, 800, 999)
LEVELS = np.sqrt((1 - ABAR) / ABAR)[list(STEPS)]


def col(values, like):
    return values.reshape(-1, *(1,) * (like.ndim - 1)).to(like.dtype)


class Mixture:
    """Posterior mean of K Gaussian classes of 16 coordinates; label K, or none, is the whole mixture."""

    def __init__(self, n_classes=3, shape=(16,), seed=0):
        generator = torch.Generator().manual_seed(seed)
        d = math.prod(shape)
        self.shape, self.k = shape, n_classes
        self.means = 1.5 * torch.randn(n_classes, d, generator=generator, dtype=torch.float64)
        self.scales = torch.linspace(0.3, 0.8, n_classes, dtype=torch.float64)
        self.weights = torch.arange(1, n_classes + 1, dtype=torch.float64) / (n_classes * (n_classes + 1) / 2)

    def draw(self, n, seed=1):
        generator = torch.Generator().manual_seed(seed)
        labels = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        noise = torch.randn(n, self.means.shape[1], generator=generator, dtype=torch.float64)
        return (self.means[labels] + self.scales[labels, None] * noise).reshape(n, *self.shape), labels

    def __call__(self, x, sigma, labels=None):
        flat, s2 = x.reshape(len(x), -1).double(), sigma.reshape(-1, 1).double() ** 2
        away = ((flat[:, None] - self.means) ** 2).sum(dim=2)
        total = self.scales**2 + s2
        logits = self.weights.log() - 0.5 * away / total - 0.5 * flat.shape[1] * total.log()
        if labels is not None:
            other = torch.arange(self.k) != labels[:, None]
            logits = logits.masked_fill(other & (labels < self.k)[:, None], -math.inf)
        shrink = (self.scales**2 / total)[..., None]
        parts = self.means + shrink * (flat[:, None] - self.means)
        return (logits.softmax(dim=1)[..., None] * parts).sum(dim=1).reshape(x.shape).to(x.dtype)


class Empirical:
    """Posterior mean over a few points: it has learned them by heart."""

    def __init__(self, points, labels=None):
        self.points, self.labels = points.double(), labels

    def __call__(self, x, sigma, labels=None):
        flat, points = x.reshape(len(x), -1).double(), self.points.reshape(len(self.points), -1)
        logits = -(torch.cdist(flat, points) ** 2) / (2 * sigma.double()[:, None] ** 2)
        if labels is not None and self.labels is not None:
            logits = logits.masked_fill(self.labels != labels[:, None], -math.inf)
        return (logits.softmax(dim=1) @ points).reshape(x.shape).to(x.dtype)


def x0(denoise):
    return denoise


def score(denoise):
    return lambda x, sigma, y=None: (denoise(x, sigma, y) - x) / col(sigma, x) ** 2


def edm_raw(denoise, d=0.5):
    def f(seen, c_noise, y=None):
        sigma = (4 * c_noise.double()).exp()
        s = col(sigma, seen.double())
        x = seen.double() * (s**2 + d**2).sqrt()
        skip, out = d**2 / (s**2 + d**2), s * d / (s**2 + d**2).sqrt()
        return ((denoise(x, sigma, y) - skip * x) / out).to(seen.dtype)

    return f


def vp(denoise, predicts, abar=ABAR):
    """Of x_t = sqrt(abar) x0 + sqrt(1 - abar) eps and the integer step t."""
    table = torch.from_numpy(np.asarray(abar))

    def f(x_t, t, y=None):
        assert t.dtype == torch.int64
        a = col(table[t], x_t.double())
        x_t64 = x_t.double()
        data = denoise(x_t64 / a.sqrt(), ((1 - table[t]) / table[t]).sqrt(), y)
        eps = (x_t64 - a.sqrt() * data) / (1 - a).sqrt()
        v = a.sqrt() * eps - (1 - a).sqrt() * data
        return {"eps": eps, "v": v, "sample": data}[predicts].to(x_t.dtype)

    return f


def flow(denoise, data_at=1, scale=1.0, sign=1.0):
    """Velocity dx/dt on straight lines; time in [0, scale]."""

    def f(x_t, t, y=None):
        share = t.double() / scale if data_at == 1 else 1 - t.double() / scale
        a = col(share, x_t.double())
        x_t64 = x_t.double()
        data = denoise(x_t64 / a, (1 - share) / share, y)
        noise = (x_t64 - a * data) / (1 - a)
        velocity = data - noise if data_at == 1 else noise - data
        return (sign * velocity).to(x_t.dtype)

    return f


class Module(torch.nn.Module):
    """A function as a network, with a parameter that gives it a type and a device."""

    def __init__(self, f, dtype=torch.float64, device="cpu"):
        super().__init__()
        self.f, self.weight = f, torch.nn.Parameter(torch.ones(1, dtype=dtype, device=device))
        self.seen = []

    def forward(self, x, time, labels=None):
        self.seen.append((x.dtype, time, labels))
        return self.f(x, time, labels)
