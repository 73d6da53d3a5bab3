"""A denoiser is asked about the measured pairs, in eval mode, where it lives, with or without labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffclaims.denoisers.denoiser import Denoiser
from diffclaims.errors import InvalidInput
from diffclaims.extras import need
from diffclaims.monitor.data import SPLITS, Data
from diffclaims.monitor.guard import modules_of
from diffclaims.monitor.noise import pairs
from diffclaims.monitor.pairs import Probe, in_noise, log_mean
from diffclaims.monitor.sampling import Function

Floats = NDArray[np.float64]

#: Pairs that are asked at once.
BATCH = 512
#: Another label must move the answer by more than this share of its spread.
LEAST_MOVE = 1e-5


class Asked:
    """A denoiser, and how it is asked.

    Parameters
    ----------
    denoiser : Denoiser
    data : Data
    device : str or torch.device, optional
        Where it lives; that of its parameters by default, else of the training samples.
    modules : sequence of torch.nn.Module
        Behind it, where they cannot be found.
    """

    def __init__(
        self, denoiser: Denoiser, data: Data, device: Any = None, modules: Sequence[Any] = ()
    ) -> None:
        self.torch = need("torch", "unet", "monitoring")
        self.denoiser, self.data = denoiser, data
        parameters = [p for m in (*modules_of(denoiser), *modules) for p in m.parameters()]
        #: Numbers that are trained, as far as modules are found behind the denoiser.
        self.n_parameters = sum({id(p): p.numel() for p in parameters}.values())
        first = next((p for p in parameters if p.is_floating_point()), None)
        here = getattr(data.train.x, "device", "cpu") if hasattr(data.train.x, "detach") else "cpu"
        self.device = self.torch.device(device or (here if first is None else first.device))
        double = first is not None and first.dtype == self.torch.float64
        #: Samples are given in single precision, except to networks of double: a function may wrap one of either.
        self.dtype = self.torch.float64 if double else self.torch.float32
        integers = all(isinstance(name, int) for name in data.classes)
        #: What the network is told for each class: its integer, or its position among sorted names.
        self.told = list(data.classes) if integers else list(range(len(data.classes)))

    def function(self, k: int | None) -> Function:
        """Return the denoiser as a function of samples and levels, told one class or none."""
        label = None if k is None else self.told[k]

        def ask(y: Any, sigma: Any) -> Any:
            labels = None if label is None else self.torch.full((len(y),), label, device=y.device)
            return self.denoiser.denoise(y, sigma, labels)

        return ask

    def tensor(self, x: NDArray[np.floating]) -> Any:
        """Return samples where the network lives."""
        return self.torch.from_numpy(x).to(self.device, self.dtype)

    def takes_labels(self, sigma: float) -> bool:
        """Whether the network answers when it is told a class."""
        if not self.denoiser.network.takes_labels:
            return False
        x = self.tensor(self.data.items()[0][2].x[:4])
        level = x.new_full((len(x),), sigma)
        try:
            self.function(0)(x, level)
        except Exception:
            # Many networks name an argument for labels and refuse it. What fails without them as well is told here.
            self.function(None)(x, level)
            return False
        return True

    def labels_matter(self, sigma: float) -> bool:
        """Whether labels that differ give different answers."""
        x = self.tensor(self.data.items()[0][2].x[:4])
        level = x.new_full((len(x),), sigma)
        a, b = (self.function(k)(x, level) for k in (0, len(self.data.classes) - 1))
        return float((a - b).abs().max()) > LEAST_MOVE * max(float(a.abs().max()), 1e-12)

    def losses(
        self, levels: Floats, seed: int, *, labelled: bool, wrong: int = 0
    ) -> dict[str, NDArray[np.float32]]:
        """Measure the losses of all pairs; of held-out ones alone where they are told a class so many places on.

        Returns
        -------
        dict of arrays
            ``train_loss`` and ``held_out_loss``, shape (L, n), mean over the draws of a sample, in units of the data
            squared; ``train_log`` and ``held_out_log``, mean of their logarithm in units of the noise.
        """
        found: dict[str, list[Floats]] = {f"{s}_{kind}": [] for s in SPLITS for kind in ("loss", "log")}
        n_classes = len(self.data.classes)
        for split, k, chosen in self.data.items():
            if wrong and split == "train":
                continue
            ask = self.function((k + wrong) % n_classes if labelled else None)
            (relative,) = Probe([pairs(chosen, levels, seed)], self.tensor)(ask, BATCH)
            errors = relative * levels[:, None, None] ** 2
            found[f"{split}_loss"].append(errors.mean(axis=2))
            found[f"{split}_log"].append(log_mean(in_noise(errors, levels)))
        empty = np.empty((len(levels), 0))
        return {name: np.concatenate([empty, *b], axis=1).astype(np.float32) for name, b in found.items()}

    def synchronize(self) -> None:
        """Wait until the device has done what it was given, so that time is counted where it belongs."""
        if self.device.type == "cuda":
            self.torch.cuda.synchronize(self.device)


def askable(denoiser: Denoiser, wanted: Floats) -> Floats:
    """Return the levels nearest to some at which one call is enough, each once."""
    found = np.unique(denoiser.nearest(wanted))
    if len(found) < 2:
        limit = f"reach from about {wanted[0]:.3g} to {wanted[-1]:.3g}, the scale of the data"
        fix = "check scale= and offset= of the adapter"
        raise InvalidInput.of("noise levels of the denoiser", found.tolist(), limit, fix)
    return found
