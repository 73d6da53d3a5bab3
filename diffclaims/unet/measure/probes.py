"""Losses per class, noise level and image at one snapshot, with the same noise at every snapshot.

Which images and which noise is decided here; how a loss is measured is in `diffclaims.monitor.pairs`.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from diffclaims.monitor import pairs
from diffclaims.unet.config import ProbeConfig
from diffclaims.unet.data.prepare import PreparedData
from diffclaims.unet.measure.wiener import ClassMoments
from diffclaims.unet.model.objective import Denoiser
from diffclaims.unet.model.randomness import PROBE, mix

SPLITS = ("test", "train")
#: Keeps a denoiser without error off ln 0; losses of recorded runs are not kept above more than this.
_FLOOR = 1e-30


class Probe:
    """Measure any denoiser on fixed images and fixed noise.

    Test images are the held-out ones, one noise each. Of a class's training images up to `n_eval` are used,
    each with as many fresh noises as bring the number of pairs to about `n_eval`, so that a class of few
    images is measured as precisely as a large one.

    Parameters
    ----------
    data : PreparedData
    config : ProbeConfig
    seed : int
        Of the noise, which is drawn in one stream: split by split, class by class, level by level.
    moments : tuple of ClassMoments
        Of each class, for the Wiener filter that calibrates each pair.
    device : torch.device
    """

    def __init__(
        self,
        data: PreparedData,
        config: ProbeConfig,
        *,
        seed: int,
        moments: tuple[ClassMoments, ...],
        device: torch.device,
    ) -> None:
        rng, levels = np.random.default_rng(mix(seed, PROBE)), np.asarray(config.levels)
        unit = np.array([np.float32(s**2) for s in config.levels])[:, None, None]
        self._where = [(split, k) for split in SPLITS for k in range(len(data.classes))]
        self._wiener = list[NDArray[np.float32]]()
        drawn = []
        for split, k in self._where:
            images = (data.held_out[k] if split == "test" else data.of_class(k))[: config.n_eval]
            shape = (len(images) * pairs.n_draws(len(images), config.n_eval), *images.shape[1:])
            noise = np.stack([rng.standard_normal(shape, dtype=np.float32) for _ in levels])
            drawn.append(pairs.Pairs(images, levels, noise))
            errors = drawn[-1].errors(moments[k].gaussian.denoise, np.float32)
            self._wiener.append(errors.astype(np.float32) / unit)
        self._shape = len(data.classes), len(levels), max(len(p.x) for p in drawn)
        self._probe = pairs.Probe(drawn, lambda a: torch.from_numpy(a).to(device, torch.float32))

    @property
    def n_pairs(self) -> int:
        """Evaluations of the denoiser at each snapshot."""
        return self._probe.n_pairs

    def __call__(self, denoiser: Denoiser, *, batch: int = 1024) -> dict[str, NDArray[np.float32]]:
        """Measure.

        Returns
        -------
        dict of arrays
            ``test_loss``, ``train_loss``: shape (K, level, image), loss of each image per dimension and in
            units of the noise. ``test_log_ratio``, ``train_log_ratio``: the same shape, mean over the
            image's noises of ln(loss / loss of the class's Wiener filter on the same pair). Classes with
            fewer images than others are padded with NaN.
        """
        out = {
            f"{split}_{what}": np.full(self._shape, np.nan, dtype=np.float32)
            for what in ("loss", "log_ratio")
            for split in SPLITS
        }
        losses = self._probe(denoiser, batch)
        for (split, k), found, wiener in zip(self._where, losses, self._wiener, strict=True):
            loss = found.astype(np.float32)
            out[f"{split}_loss"][k, :, : loss.shape[1]] = loss.mean(axis=2)
            out[f"{split}_log_ratio"][k, :, : loss.shape[1]] = pairs.log_mean(loss, wiener, _FLOOR)
        return out
