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


def draw(counts, seed, spreads=None):
    """So many samples of each class."""
    rng, spreads = np.random.default_rng(seed), spreads or SPREADS
    x = [CENTRES[c] + spreads[c] * rng.standard_normal((n, D)) for c, n in counts.items()]
    return np.concatenate(x), np.repeat(list(counts), list(counts.values()))


class Learner:
    """Of each class it knows the mean at first, its distribution from one step on, its samples from another.

    The share of the distribution in the answer is ``step/(step + learned)``, and that of the training samples
    ``step/(step + memorized)`` of it.
    """

    def __init__(self, x, y, learned, memorized, spreads=None, factor=None):
        self.spreads, self.names = spreads or SPREADS, sorted(set(y.tolist()))
        self.points = {c: torch.from_numpy(x[y == c]) for c in self.names}
        factor = factor or dict.fromkeys(self.names, 1.0)
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
        centre, spread = CENTRES[c], self.spreads[c]
        known = centre + spread**2 / (spread**2 + sigma**2) * (x - centre)
        logits = -(torch.cdist(x, self.points[c]) ** 2) / (2 * sigma**2)
        nearest = logits.softmax(dim=1) @ self.points[c]
        g, h = self.step / (self.step + self.learned[c]), self.step / (self.step + self.memorized[c])
        return (1 - g) * centre + g * ((1 - h) * known + h * nearest)


LEARNED, MEMORIZED = {"wide": 8.0, "narrow": 40.0}, {"wide": 400.0, "narrow": 2000.0}


def train(
    folder,
    seed,
    counts=None,
    *,
    learned=None,
    memorized=None,
    experiment="toy",
    spreads=None,
    steps=None,
    jitter=0.1,
    **options,
):
    """Watch one training; the times of both classes and of each scatter by so much in ln, by seed."""
    counts = counts or {"wide": 32, "narrow": 32}
    x, y = draw(counts, 1000 + seed, spreads)
    rng = np.random.default_rng(seed)
    common = rng.normal()
    factor = {c: math.exp(jitter * (common + rng.normal())) for c in counts}
    learner = Learner(x, y, learned or LEARNED, memorized or MEMORIZED, spreads, factor)
    held_out = draw(dict.fromkeys(counts, 64), 5000 + seed, spreads)
    said = {"experiment": experiment, "training_seed": seed, **options}
    monitor = Monitor(folder, train=(x, y), held_out=held_out, budget=1, **said)
    denoiser = denoisers.from_x0(learner)
    for step in STEPS if steps is None else steps:
        learner.step = int(step)
        monitor.measure(int(step), denoiser, samples=False)
    return learner


#: Few of the monitor's steps, so that tests are short.
STEPS = [0, 1, 2, 3, *(int(s) for s in GRID[(GRID > 4) & (GRID <= 4000)][::2])]
