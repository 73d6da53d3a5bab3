"""How often a training that memorizes nothing is said to memorize: ``python -m tests.monitor.false_alarms [N [M]]``.

N trainings whose losses are drawn: 15 training and 15 held-out samples of each of three classes that are alike, eight
levels. A sample is harder than others by as much to an untrained network as to a trained one, and that it is to one
says nothing of the other; a network turns from one into the other evenly in ln(1 + step).

M trainings whose network is planted: one with random weights that turns in the same way into the Gaussian denoiser of
the moments of other images, on 15 and 15 digits of each of three classes, with generated samples twice.
"""

from __future__ import annotations

import sys
import tempfile

import numpy as np
import torch
from scipy.stats import binomtest

from diffclaims import Monitor, denoisers
from diffclaims.monitor.alarms import standing_since
from diffclaims.monitor.curves import MEMORIZING, ClassCurves
from diffclaims.monitor.schedule import GRID
from diffclaims.monitor.states import STATES
from diffclaims.times.crossing import first_reached
from tests.monitor import digits
from tests.monitor.small import Moments

STEPS = (0, 1, 2, 5, 20, 100, 300, 1000)
EACH = 15
#: Steps at which drawn losses are looked at: the monitor's own grid, up to 1000.
LOOKS = GRID[GRID <= 1000].astype(np.float64)
#: Of ln(L/W) over samples.
SCATTER = 0.5


def training(seed, folder):
    """Return of each class whether it was memorizing at each measurement, and its first and its standing alarm."""
    torch.manual_seed(seed)
    x, y = (torch.cat(both) for both in zip(*digits.data((150,) * 3), strict=True))
    y = torch.searchsorted(torch.tensor(digits.CLASSES), y)
    rows = [r[torch.randperm(len(r))] for r in ((y == k).nonzero()[:, 0] for k in range(3))]
    part = [torch.cat([r[a:b] for r in rows]) for a, b in ((0, EACH), (EACH, 2 * EACH), (2 * EACH, None))]
    train, held_out, others = ((x[p], y[p]) for p in part)
    net, gaussian = digits.Net(), Moments(others[0].double(), others[1])
    monitor = Monitor(folder, train=train, held_out=held_out, budget=1)
    for step in STEPS:
        share = float(np.log1p(step) / np.log1p(STEPS[-1]))

        def denoise(x, sigma, labels, share=share):
            return (1 - share) * net(x, sigma, labels) + share * gaussian(x, sigma, labels)

        monitor.measure(step, denoisers.from_x0(denoise), samples=step in (5, 1000))
    record = monitor.record
    states = record.class_states("raw")
    found = record.measurements()
    parts = [record.curves(found, "raw", k) for k in range(3)]
    first = [first_reached(c.steps, c.memorizing().max(axis=1), MEMORIZING, from_start=True) for c in parts]
    raised = np.array([[s in STATES[2:] for s in c.states] for c in states])
    return raised, np.array(first), np.array([c.times["memorizing_at"][0] for c in states])


def drawn(seed):
    """Return the same of a training whose losses are drawn."""
    rng = np.random.default_rng(seed)
    share = (np.log1p(LOOKS) / np.log1p(LOOKS[-1]))[:, None, None]
    raised, first, standing = [], [], []
    for _ in range(3):
        logs = []
        for _ in range(2):
            # Half of the scatter is common to all levels.
            hard = (
                SCATTER
                * np.sqrt(0.5)
                * (rng.standard_normal((2, 1, EACH)) + rng.standard_normal((2, 8, EACH)))
            )
            logs.append(np.sqrt(1 - share) * hard[0] + np.sqrt(share) * hard[1])
        held, train, one = *logs, np.ones((8, EACH))
        curves = ClassCurves(LOOKS, np.exp(held), held, train, one, one, 24, np.zeros(8))
        curve = curves.memorizing().max(axis=1)
        raised.append(curve >= MEMORIZING)
        first.append(first_reached(LOOKS, curve, MEMORIZING, from_start=True))
        standing.append(standing_since(LOOKS, curve[:, None], MEMORIZING)[0])
    return np.array(raised), np.array(first), np.array(standing)


def shown(name, which):
    k, n = int(which.sum()), len(which)
    low, high = binomtest(k, n).proportion_ci(method="exact")
    print(f"{name}: {k} of {n}, {100 * k / n:.1f} % ({100 * low:.1f} to {100 * high:.1f})")


def tell(steps, parts):
    raised, first, standing = (np.stack(p) for p in zip(*parts, strict=True))
    counts = raised.any(axis=1).sum(axis=0).tolist()
    print("memorizing, by step", dict(zip(np.asarray(steps, dtype=int).tolist(), counts, strict=True)))
    shown("an alarm at some measurement, which stopped a training", raised.any(axis=(1, 2)))
    twice = (raised[..., 1:] & raised[..., :-1]).any(axis=(1, 2))
    shown("an alarm at two in a row, which stops one", twice)
    shown("window closed at the end by the first alarm, as before", np.isfinite(first).any(axis=1))
    shown("window closed at the end by an alarm that stands", np.isfinite(standing).any(axis=1))


if __name__ == "__main__":
    torch.set_num_threads(1)
    n, m = (int(word) for word in (sys.argv[1:] + ["4000", "0"][len(sys.argv) - 1 :])[:2])
    tell(LOOKS, [drawn(seed) for seed in range(n)])
    parts = []
    for seed in range(m):
        with tempfile.TemporaryDirectory() as folder:
            parts.append(training(seed, folder))
    if parts:
        tell(STEPS, parts)
