"""Generated colour images of two classes with different variances: for tests and for trials."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from diffclaims.unet.data.data_set import Bytes, DataSet, LabelledImages

_SIDE, _TRAIN, _TEST = 8, 200, 80
#: Standard deviation of the waves' amplitudes, in grey levels.
_SPREAD = {"wide": 30.0, "narrow": 12.0}


def _draw(rng: np.random.Generator, n: int, spread: float) -> Bytes:
    """Smooth waves of random amplitude in each of three colours, with a little noise."""
    grid = np.linspace(0, np.pi, _SIDE)
    waves = np.stack([np.outer(np.cos(a * grid), np.cos(b * grid)) for a in range(3) for b in range(3)])
    x = 128 + np.einsum("nwc,wij->nijc", rng.normal(size=(n, len(waves), 3)) * spread, waves)
    return np.clip(x + rng.normal(size=x.shape) * 4, 0, 255).astype(np.uint8)


def _read(folder: Path | None, download: bool) -> LabelledImages:
    rng = np.random.default_rng(0)
    drawn = {
        part: [_draw(rng, n, s) for s in _SPREAD.values()] for part, n in (("train", _TRAIN), ("test", _TEST))
    }
    labels = {part: np.repeat(np.arange(2, dtype=np.uint8), len(x[0])) for part, x in drawn.items()}
    return LabelledImages(
        np.concatenate(drawn["train"]), labels["train"], np.concatenate(drawn["test"]), labels["test"]
    )


DATA = DataSet(
    name="blobs",
    classes=tuple(_SPREAD),
    side=_SIDE,
    channels=3,
    read=_read,
    licence="none: it is generated",
    origin="generated here, always the same",
    settings={"classes": tuple(_SPREAD), "resolution": _SIDE, "attention": (4,)},
)
