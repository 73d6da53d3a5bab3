"""What a run measures at a snapshot, and at which of its steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from diffclaims.unet.config import RunConfig
from diffclaims.unet.data.prepare import PreparedData
from diffclaims.unet.measure.sampling import SAMPLERS, sample, uturns
from diffclaims.unet.model.objective import Denoiser
from diffclaims.unet.model.randomness import SAMPLE, UTURN, mix

Arrays = dict[str, NDArray[Any]]


class Schedule:
    """Steps after which losses are probed (0: before the first), images sampled, and U-turns run.

    Attributes
    ----------
    probes, samples, uturns : frozenset of int
    """

    def __init__(self, config: RunConfig) -> None:
        total = config.optimizer.steps
        self.probes = frozenset({0, *config.probe.steps(total)})
        self.samples = frozenset(max(1, round(f * total)) for f in config.sample.sample_at)
        self.uturns = frozenset(max(1, round(f * total)) for f in config.sample.uturn_at)

    def __contains__(self, step: int) -> bool:
        """Whether anything is measured after this step."""
        return step in self.probes or step in self.samples or step in self.uturns


def measure_samples(
    denoiser: Denoiser, data: PreparedData, config: RunConfig, device: torch.device
) -> Arrays:
    """Draw images by each sampler; keys ``samples_<sampler>``, shape (n, 1, R, R), half precision."""
    s, o = config.sample, config.objective
    return {
        f"samples_{name}": sample(
            denoiser,
            data.train,
            n=s.n_samples,
            sampler=name,
            high=o.sigma_max,
            low=o.sigma_min,
            steps=s.sampler_steps,
            seed=mix(config.seed, SAMPLE),
            device=device,
        ).astype(np.float16)
        for name in SAMPLERS
    }


def measure_uturns(denoiser: Denoiser, data: PreparedData, config: RunConfig, device: torch.device) -> Arrays:
    """Run U-turns; key ``uturns``, shape (K, level, start, return, 1, R, R), half precision."""
    s, o = config.sample, config.objective
    out = [
        [
            uturns(
                denoiser,
                data.held_out[k][: s.uturn_starts],
                level=level,
                returns=s.uturn_returns,
                high=o.sigma_max,
                low=o.sigma_min,
                steps=s.sampler_steps,
                seed=mix(config.seed, UTURN, k, i),
                device=device,
            )
            for i, level in enumerate(s.uturn_levels)
        ]
        for k in range(len(data.classes))
    ]
    return {"uturns": np.array(out, dtype=np.float16)}
