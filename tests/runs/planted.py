"""Toy trainings whose learning is known: what each class is answered changes with the step, as it is planted."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from diffclaims import Monitor, denoisers  # noqa: E402
from diffclaims.monitor.schedule import GRID  # noqa: E402

D = 6
#: Standard deviation of a coordinate, and the centroid, of two classes.
SPREADS = {"wide": 1.2, "narrow": 0.7}
CENTRES = {"wide": 2.0, "narrow": -2.0}


def draw(counts, seed):
    """So many samples of each class."""
    rng = np.random.default_rng(seed)
    x = [CENTRES[c] + SPREADS[c] * rng.standard_normal((n, D)) for c, n in counts.items()]
    return np.concatenate(x), np.repeat(list(counts), list(counts.values()))


class Learner:
    """Of each class it knows the mean at first, its distribution from one step on, its samples from another.

    The share of the distribution in the answer is ``step/(step + learned)``, and that of the training samples
    ``step/(step + memorized)`` of it.
    """

    def __init__(self, x, y, learned, memorized, factor):
        self.names, self.centres, self.spreads = sorted(set(y.tolist())), CENTRES, SPREADS
        self.points = {c: torch.from_numpy(x[y == c]) for c in self.names}
        self.learned = {c: learned[c] * factor[c] for c in self.names}
        self.memorized = {c: memorized[c] * factor[c] for c in self.names}
        self.step = 0

    def __call__(self, x, sigma, labels):
        out = torch.empty_like(x)
        for k, c in enumerate(self.names):
            own = labels == k
            if own.any():
                out[own] = self._of(c, x[own].double(), sigma[own].double()[:, None]).to(x.dtype)
        return out

    def _of(self, c, x, sigma):
        centre, spread = self.centres[c], self.spreads[c]
        known = centre + spread**2 / (spread**2 + sigma**2) * (x - centre)
        logits = -(torch.cdist(x, self.points[c]) ** 2) / (2 * sigma**2)
        nearest = logits.softmax(dim=1) @ self.points[c]
        g, h = self.step / (self.step + self.learned[c]), self.step / (self.step + self.memorized[c])
        return (1 - g) * centre + g * ((1 - h) * known + h * nearest)


LEARNED, MEMORIZED = {"wide": 8.0, "narrow": 40.0}, {"wide": 400.0, "narrow": 2000.0}


def train(
    folder,
    training_seed,
    counts=None,
    *,
    learned=None,
    memorized=None,
    experiment="toy",
    steps=None,
    jitter=0.1,
    pooled=False,
    seed_of_all=None,
    unlike=1e-4,
    held_out_counts=None,
    ema=False,
    **options,
):
    """Watch one training; the times of both classes and of each scatter by so much in ln, by seed.

    With `pooled` labels are drawn anew, and the network knows the two classes as one. `seed_of_all` makes
    another training of what is nearly the same one: a time differs by `unlike` times the training's seed.
    """
    counts = counts or {"wide": 32, "narrow": 32}
    own = training_seed if seed_of_all is None else seed_of_all
    rng = np.random.default_rng(own)
    factor = {c: math.exp(jitter * z) for c, z in zip(counts, rng.normal() + rng.normal(size=2), strict=True)}
    factor["wide"] *= 1 if seed_of_all is None else 1 + unlike * training_seed
    (x, y), held_out = (
        draw(counts, 1000 + own),
        draw(held_out_counts or dict.fromkeys(counts, 64), 5000 + own),
    )
    learner = Learner(x, y, learned or LEARNED, memorized or MEMORIZED, factor)
    if pooled:
        y, held_out = rng.permutation(y), (held_out[0], rng.permutation(held_out[1]))
        learner = Learner(x, y, dict.fromkeys(counts, 10.0), dict.fromkeys(counts, 400.0), factor)
        learner.centres, learner.spreads = dict.fromkeys(counts, 0.0), dict.fromkeys(counts, 2.2)
    said = {"experiment": experiment, "training_seed": training_seed, **options}
    monitor = Monitor(folder, train=(x, y), held_out=held_out, budget=1, **said)
    denoiser = denoisers.from_x0(learner)
    for step in STEPS if steps is None else steps:
        learner.step = int(step)
        monitor.measure(int(step), denoiser, ema=denoiser if ema else None, samples=False)


def fit(folder, training_seed, *, own=None, warm_up=True, **options):
    """Train a small network that begins at zero, on samples that are the same for every seed.

    Nothing differs between seeds but the initial weights and the order, and those of `own` where it is given.
    """
    torch.manual_seed(training_seed if own is None else own)
    (x, y), held_out = draw({"wide": 32, "narrow": 32}, 1), draw({"wide": 64, "narrow": 64}, 2)
    body = torch.nn.Sequential(torch.nn.Linear(D + 1, 16), torch.nn.SiLU(), torch.nn.Linear(16, D))
    torch.nn.init.zeros_(body[2].weight)
    torch.nn.init.zeros_(body[2].bias)
    optimizer = torch.optim.Adam(body.parameters(), lr=3e-3)
    samples = torch.from_numpy(x).float()

    def net(x, sigma):
        scale = (5 + sigma[:, None] ** 2).sqrt()
        return body(torch.cat([x / scale, sigma[:, None].log() / 4], dim=1))

    said = {"experiment": "zero", "training_seed": training_seed, **options}
    monitor = Monitor(folder, train=(x, y), held_out=held_out, budget=1, **said)
    denoiser = denoisers.from_x0(net)
    for step in range(61):
        if monitor.due(step):
            monitor.measure(step, denoiser, samples=False)
        clean = samples[torch.randint(len(samples), (16,))]
        sigma = torch.randn(16).exp()
        loss = (net(clean + sigma[:, None] * torch.randn(clean.shape), sigma) - clean).square().mean()
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * (min(1, step / 5) if warm_up else 1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


#: Few of the monitor's steps, so that tests are short.
STEPS = [0, 1, 2, 3, *(int(s) for s in GRID[(GRID > 4) & (GRID <= 4000)][::2])]
