"""A small stand-in for Fashion-MNIST: ten classes of smooth blobs, of different spread."""

from __future__ import annotations

import numpy as np

from diffclaims.unet.data.data_set import LabelledImages


def make_source(n_train: int = 220, n_test: int = 60, seed: int = 0) -> LabelledImages:
    rng = np.random.default_rng(seed)
    grid = np.linspace(-1, 1, 28)
    waves = np.stack(
        [np.outer(np.cos(a * np.pi * grid), np.cos(b * np.pi * grid)) for a in range(4) for b in range(4)]
    )

    def draw(n: int) -> tuple[np.ndarray, np.ndarray]:
        images, labels = [], []
        for k in range(10):
            mean = 60 + 10 * k + 40 * waves[k]
            spread = 4.0 + 1.5 * k
            x = mean + np.einsum("ni,ihw->nhw", rng.normal(size=(n, 16)) * spread, waves)
            images.append(np.clip(x + rng.normal(size=x.shape) * 3, 0, 255).astype(np.uint8))
            labels.append(np.full(n, k, dtype=np.uint8))
        order = rng.permutation(10 * n)
        return np.concatenate(images)[order], np.concatenate(labels)[order]

    return LabelledImages(*draw(n_train), *draw(n_test))


#: Settings of a run that takes about a second.
TINY = {
    "size": 16, "width": 4, "multipliers": (1, 2), "embedding": 8, "steps": 12, "batch": 8, "n_eval": 12,
    "snapshots": 5, "first_snapshot": 2, "n_samples": 8, "sampler_steps": 4, "uturn_levels": (0.5, 2.0),
    "uturn_starts": 4, "uturn_returns": 2, "warmup": 2,
}  # fmt: skip
