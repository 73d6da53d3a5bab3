"""Losses per class, noise level and image at one snapshot, with the same noise at every snapshot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffclaims.monitor.sampling import relative_errors
from diffclaims.unet.config import ProbeConfig
from diffclaims.unet.data.prepare import PreparedData
from diffclaims.unet.measure.wiener import ClassMoments
from diffclaims.unet.model.objective import Denoiser
from diffclaims.unet.model.randomness import PROBE, mix


@dataclass(frozen=True, eq=False)
class _Item:
    """All pairs of image and noise of one (split, class, level)."""

    split: int
    class_index: int
    level: int
    clean: Tensor
    noise: Tensor
    sigma: float
    reference: NDArray[np.float32]
    n_images: int


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
        Of the noise.
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
        self.config = config
        self.n_classes = len(data.classes)
        self.device = device
        rng = np.random.default_rng(mix(seed, PROBE))
        self._items: list[_Item] = []
        for split in (0, 1):
            for k in range(self.n_classes):
                images = (data.held_out[k] if split == 0 else data.of_class(k))[: config.n_eval]
                repeats = max(1, round(config.n_eval / len(images)))
                clean = np.repeat(images, repeats, axis=0)
                for j, sigma in enumerate(config.levels):
                    noise = rng.standard_normal(clean.shape, dtype=np.float32)
                    flat = (clean + np.float32(sigma) * noise).reshape(len(clean), -1)
                    error = moments[k].gaussian.denoise(flat.astype(np.float64), sigma) - clean.reshape(
                        len(clean), -1
                    )
                    self._items.append(
                        _Item(
                            split=split,
                            class_index=k,
                            level=j,
                            clean=torch.from_numpy(clean).to(device),
                            noise=torch.from_numpy(noise).to(device),
                            sigma=sigma,
                            reference=(error**2).mean(axis=1).astype(np.float32) / np.float32(sigma**2),
                            n_images=len(images),
                        )
                    )

    @property
    def n_pairs(self) -> int:
        """Evaluations of the denoiser at each snapshot."""
        return sum(len(i.clean) for i in self._items)

    @torch.no_grad()
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
        clean = torch.cat([i.clean for i in self._items])
        noise = torch.cat([i.noise for i in self._items])
        sigma = torch.cat([torch.full((len(i.clean),), i.sigma, device=self.device) for i in self._items])
        losses = []
        for start in range(0, len(clean), batch):
            x, s = clean[start : start + batch], sigma[start : start + batch]
            losses.append(relative_errors(denoiser, x, noise[start : start + batch], s))
        flat = torch.cat(losses).float().cpu().numpy()
        most = max(i.n_images for i in self._items)
        shape = (self.n_classes, len(self.config.levels), most)
        out = {
            name: np.full(shape, np.nan, dtype=np.float32)
            for name in ("test_loss", "train_loss", "test_log_ratio", "train_log_ratio")
        }
        start = 0
        for item in self._items:
            n = len(item.clean)
            loss = flat[start : start + n]
            start += n
            with np.errstate(divide="ignore"):  # a denoiser without error has ratio -inf; kept off zero below
                ratio = np.log(np.maximum(loss, 1e-30) / item.reference)
            split = ("test", "train")[item.split]
            where = (item.class_index, item.level, slice(0, item.n_images))
            out[f"{split}_loss"][where] = loss.reshape(item.n_images, -1).mean(axis=1)
            out[f"{split}_log_ratio"][where] = ratio.reshape(item.n_images, -1).mean(axis=1)
        return out
