"""Answers to fixed questions: they depend on the training alone, so that copies of one are known by them.

Losses do not tell: two monitors of other seeds measure one training with other samples and other noise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from diffclaims.monitor.ask import Asked
from diffclaims.monitor.data import Data

#: Inputs that are asked, and numbers of their answers that are kept.
INPUTS, KEPT = 8, 64
#: Training samples, of all classes, that say where the data lie.
_OF = 1024


class Trace:
    """Inputs of one kind of data: the same for every training on data of one shape, place and scale.

    Place and scale are rounded to powers of two, so that they are the same for other samples of the same data.

    Parameters
    ----------
    data : Data

    Attributes
    ----------
    level : float
        Noise level that is wanted, in units of the data.
    x : ndarray, shape (INPUTS, ...)
        Noise about the middle of the data, as wide as noisy data are at that level.
    """

    def __init__(self, data: Data) -> None:
        k_all = len(data.classes)
        rows = [data.some_of(k, max(1, _OF // k_all)).reshape(-1) for k in range(k_all)]
        some = np.concatenate(rows).astype(np.float64)
        std = float(some.std())
        self.level = 2.0 ** round(np.log2(std)) if std > 0 else 1.0
        centre = self.level * round(float(some.mean()) / self.level)
        z = np.random.default_rng(0).standard_normal((INPUTS, *data.train.x.shape[1:]))
        self.x = centre + np.sqrt(2) * self.level * z

    def answers(self, asked: Asked, *, labelled: bool) -> NDArray[np.float32]:
        """Return some coordinates of the answers, shape (n,), n up to `KEPT`.

        Each input is told another class in turn, where the network is told any.
        """
        level = float(asked.denoiser.nearest(np.array([self.level]))[0])
        x = asked.tensor(self.x)
        told = [asked.told[i % len(asked.told)] for i in range(len(x))]
        labels = asked.torch.tensor(told, device=x.device) if labelled else None
        answer = asked.denoiser.denoise(x, x.new_full((len(x),), level), labels)
        flat = np.asarray(answer.double().cpu().numpy()).reshape(-1)
        kept = np.linspace(0, flat.size - 1, min(flat.size, KEPT)).round().astype(np.int64)
        return np.asarray(flat[kept], dtype=np.float32)
