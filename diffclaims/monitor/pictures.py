"""The generated samples that are nearest to a training sample, kept beside it as small pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffclaims.errors import InvalidInput
from diffclaims.memorization.copies import RATIO
from diffclaims.memorization.distances import two_nearest
from diffclaims.monitor.samples import Pool
from diffclaims.monitor.store import Arrays

#: Pairs of a class, and of all classes; larger sides than this are made smaller.
EACH, IN_ALL, SIDE = 4, 64, 64
_CHANNELS = (1, 3)


@dataclass(frozen=True)
class Pictures:
    """How samples are images.

    Attributes
    ----------
    shape : tuple of int
        (H, W), (C, H, W) or (H, W, C), with one channel or three.
    """

    shape: tuple[int, ...]

    @classmethod
    def of(cls, images: bool | Sequence[int], shape: tuple[int, ...]) -> Pictures | None:
        """Check what the user says of samples of a shape; None where no pictures are kept."""
        if images is False or images is None:
            return None
        told = shape if images is True else tuple(images)
        fits = int(np.prod(told)) == int(np.prod(shape)) and all(n > 0 for n in told)
        is_image = len(told) == 2 or (len(told) == 3 and (told[0] in _CHANNELS or told[2] in _CHANNELS))
        if not (fits and is_image):
            limit = f"be the shape of images, (H, W), (1 or 3, H, W) or (H, W, 1 or 3), as samples {shape} have it"
            raise InvalidInput.of("images", images, limit, "give images=(height, width), or leave it out")
        return cls(told)

    def nearest(
        self, pool: Pool, samples: NDArray[np.floating], classes: list[Any]
    ) -> tuple[list[dict[str, Any]], Arrays]:
        """Return the samples of each class that are nearest to a training sample, as its second nearest goes.

        Returns
        -------
        about : list of dict
            ``class``, position of the class; ``train_class``, that of the training sample; ``ratio`` of the distances
            to the nearest and the second nearest training sample; ``copy``, whether it counts as a copy by that.
        arrays : dict
            ``samples`` and ``train``, bytes (n, H, W) or (n, H, W, 3), in the order of `about`. Black and white are
            the least and the largest number of the training samples.
        """
        known = pool.known
        if len(known.kept) < 2:
            return [], {}
        distance, nearest = two_nearest(pool.vectors(samples), known.train[known.kept])
        ratio = distance[:, 0] / np.maximum(distance[:, 1], np.finfo(np.float64).tiny)
        of = np.array([known.classes.index(c) for c in classes])
        each = max(1, min(EACH, IN_ALL // len(known.classes)))
        rows = [
            i
            for k in range(len(known.classes))
            for i in sorted(np.flatnonzero(of == k), key=lambda i: (ratio[i], i))[:each]
        ][:IN_ALL]
        at = known.kept[nearest[rows]]
        about = [
            {
                "class": int(of[i]),
                "train_class": known.classes.index(pool.labels[j]),
                "ratio": float(ratio[i]),
                "copy": bool(ratio[i] < RATIO),
            }
            for i, j in zip(rows, at, strict=True)
        ]
        limits = float(pool.x.min()), float(pool.x.max())
        return about, {
            "samples": self._bytes(samples[rows], limits),
            "train": self._bytes(pool.x[at], limits),
        }

    def _bytes(self, x: NDArray[np.floating], limits: tuple[float, float]) -> NDArray[np.uint8]:
        low, high = limits
        block = x.reshape(len(x), *self.shape).astype(np.float64)
        if block.ndim == 4:
            # (C, H, W) where the first axis can be one of channels, as PyTorch has it.
            block = np.moveaxis(block, 1, -1) if self.shape[0] in _CHANNELS else block
            block = block[..., 0] if block.shape[-1] == 1 else block
        step = -(-max(block.shape[1:3]) // SIDE)
        if step > 1:
            height, width = (max(1, n // step) * min(step, n) for n in block.shape[1:3])
            block = block[:, :height, :width]
            rows, columns = min(step, height), min(step, width)
            block = block.reshape(
                len(block), height // rows, rows, width // columns, columns, *block.shape[3:]
            ).mean(axis=(2, 4))
        scaled = (block - low) / (high - low if high > low else 1.0)
        return np.asarray(np.clip(np.round(255 * scaled), 0, 255), dtype=np.uint8)
