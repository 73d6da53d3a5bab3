"""Whether training and held-out samples of a class are alike before any network is asked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from diffclaims.monitor.curves import ERROR, MEMORIZING
from diffclaims.monitor.data import Chosen, Data
from diffclaims.monitor.gaussian import Gaussian
from diffclaims.monitor.noise import pairs

Floats = NDArray[np.float64]

#: Samples of each kind that are needed, and the difference from which on it is said: half a gap that counts.
LEAST, DIFFERENCE = 8, MEMORIZING / 2


def differ(data: Data, levels: Floats, seed: int) -> list[str]:
    """Compare losses of a Gaussian that was fitted to other training samples, and name the classes that differ."""
    out = []
    for k, name in enumerate(data.classes):
        trained, held = (data.chosen.get((split, k)) for split in ("train", "held_out"))
        if trained is None or held is None or min(len(trained.x), len(held.x)) < LEAST:
            continue
        half = len(trained.x) // 2
        answer = Gaussian.fit(trained.x[:half].reshape(half, -1).astype(np.float64)).denoise
        mine, theirs = (pairs(Chosen(x, 1), levels, seed).log(answer) for x in (trained.x[half:], held.x))
        gap = theirs.mean(axis=1) - mine.mean(axis=1)
        error = np.sqrt(sum(v.var(axis=1, ddof=1) / v.shape[1] for v in (mine, theirs)))
        limit = t.isf(ERROR / 2 / (len(levels) * len(data.classes)), min(mine.shape[1], theirs.shape[1]) - 1)
        worst = int(np.argmax(np.abs(gap) / np.maximum(error, 1e-12)))
        if abs(gap[worst]) > max(DIFFERENCE, limit * error[worst]):
            out.append(
                f"{name}: training and held-out samples differ before any training (ln of losses of a Gaussian by "
                f"{gap[worst]:.2f}), so that its gap is not memory alone; draw both from the same data at random"
            )
    return out
