"""Planted models of small classes: how each is called, by class size and convention.

``python -m tests.monitor.small [DRAWS]`` prints the table of ``docs/monitor.md``.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch

from diffclaims import Monitor
from tests.denoisers import planted
from tests.denoisers.test_conventions import CONVENTIONS

MIXTURE = planted.Mixture()
SIZES = (1, 2, 3, 5, 8, 15, 50)
NAMES = ("empirical", "Gaussian", "mixture")
SHOWN = ("x0", "score", "edm", "eps", "v", "flow to 1", "flow to 0")
#: Samples of other draws, whose moments the Gaussian denoiser knows.
OTHERS = 2000


def draw(n, seed, each=3):
    """So many samples of each class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(each).repeat_interleave(n)
    noise = torch.randn(len(labels), 16, generator=generator, dtype=torch.float64)
    return MIXTURE.means[labels] + MIXTURE.scales[labels, None] * noise, labels


class Moments:
    """The Gaussian denoiser of each class, of the moments of samples that are neither trained on nor held out."""

    def __init__(self, x, y):
        self.means = torch.stack([x[y == k].mean(dim=0) for k in range(3)])
        parts = [torch.linalg.eigh(torch.cov(x[y == k].T)) for k in range(3)]
        self.values, self.vectors = (torch.stack(p) for p in zip(*parts, strict=True))

    def __call__(self, x, sigma, labels):
        out = torch.empty_like(x)
        for k in labels.unique().tolist():
            own = labels == k
            along = (x[own].double() - self.means[k]) @ self.vectors[k]
            along = along * self.values[k] / (self.values[k] + sigma[own].double()[:, None] ** 2)
            out[own] = (self.means[k] + along @ self.vectors[k].T).to(x.dtype)
        return out


GAUSSIAN = Moments(*draw(OTHERS, 10**6))


def models(train):
    return {
        "empirical": planted.Empirical(*train),
        "Gaussian": GAUSSIAN,
        "mixture": lambda x, sigma, labels=None: MIXTURE(x, sigma),
    }


def states(model, n, convention, seed, folder, held=None):
    """How each class is called, and why it is unknown."""
    train, held_out = draw(n, 2 * seed), draw(held or n, 2 * seed + 1)
    monitor = Monitor(folder, train=train, held_out=held_out, budget=1)
    monitor.measure(0, CONVENTIONS[convention](models(train)[model], lambda g: g), samples=True)
    status = monitor.status()
    return status.state.values.tolist(), status.attrs["missing"]


def allowed(model, n):
    """What a model of a class of n samples may be called: one or two may be too few to tell."""
    return {"memorized" if model == "empirical" else "learned"} | ({"unknown"} if n < 3 else set())


def table(seeds, conventions):
    """Print the states of three classes in some draws, conventions together where they agree."""
    found = {}
    for convention in conventions:
        for model in NAMES:
            for n in SIZES:
                said = Counter()
                for seed in range(seeds):
                    with tempfile.TemporaryDirectory() as folder:
                        said.update(states(model, n, convention, seed, Path(folder))[0])
                found[convention, model, n] = said
    print("| convention | model |", " | ".join(map(str, SIZES)), "|\n|" + "---|" * (2 + len(SIZES)))
    rows = {}
    for model in NAMES:
        for convention in conventions:
            cells = [sorted(found[convention, model, n].items()) for n in SIZES]
            words = " | ".join(", ".join(f"{v} {k}" for k, v in cell) for cell in cells)
            rows.setdefault((model, words), []).append(convention)
    for (model, words), same in rows.items():
        print(f"| {', '.join(same)} | {model} | {words} |")
    wrong = [key for key, said in found.items() if set(said) - allowed(*key[1:])]
    print("wrong:", wrong or "none")


if __name__ == "__main__":
    torch.set_num_threads(1)
    given = sys.argv[2].split(",") if len(sys.argv) > 2 else SHOWN
    table(int(sys.argv[1]) if len(sys.argv) > 1 else 2, given)
