"""A small network of one's own on scikit-learn's digits, watched while it trains."""

from __future__ import annotations

import functools

import numpy as np
import torch
from sklearn.datasets import load_digits

from diffclaims import Monitor, denoisers

CLASSES = (0, 1, 7)


class Net(torch.nn.Module):
    """x0 of 64 pixels from noisy ones, with the skip connection of EDM for data of unit spread."""

    def __init__(self, width=256):
        super().__init__()
        self.label = torch.nn.Embedding(10, 16)
        self.body = torch.nn.Sequential(
            torch.nn.Linear(64 + 1 + 16, width),
            torch.nn.SiLU(),
            torch.nn.Linear(width, width),
            torch.nn.SiLU(),
            torch.nn.Linear(width, 64),
        )

    def forward(self, x, sigma, labels):
        s = sigma[:, None]
        seen = torch.cat([x / (1 + s**2).sqrt(), s.log() / 4, self.label(labels)], dim=1)
        return x / (1 + s**2) + s / (1 + s**2).sqrt() * self.body(seen)


@functools.cache
def data(counts, n_held_out=28):
    """Images (n, 64) of unit spread: so many training images of each class, and held-out ones."""
    images, labels = load_digits(return_X_y=True)
    images = (images - images.mean()) / images.std()
    rng = np.random.default_rng(0)
    chosen = [rng.permutation(np.flatnonzero(labels == c)) for c in CLASSES]
    held = np.concatenate([i[:n_held_out] for i in chosen])
    train = np.concatenate([i[n_held_out : n_held_out + n] for i, n in zip(chosen, counts, strict=True)])
    x, y = torch.from_numpy(images).float(), torch.from_numpy(labels)
    return (x[train], y[train]), (x[held], y[held])


def train(folder, train_set, held_out, steps, seed=0):
    """Train with Adam on random levels, and return the monitor; samples at the end."""
    torch.manual_seed(seed)
    x, y = train_set
    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    denoiser = denoisers.from_x0(net)
    monitor = Monitor(folder, train=train_set, held_out=held_out, budget=1)
    for step in range(steps):
        if monitor.due(step) and step % 5 == 0:
            monitor.measure(step, denoiser, samples=False)
        rows = torch.randint(len(x), (64,))
        sigma = (1.2 * torch.randn(64) - 0.8).exp()
        clean = x[rows]
        answer = net(clean + sigma[:, None] * torch.randn(clean.shape), sigma, y[rows])
        weight = (1 + sigma[:, None] ** 2) / sigma[:, None] ** 2
        loss = (weight * (answer - clean) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    monitor.measure(steps, denoiser, samples=True)
    return monitor
