"""What one run asks of a machine, counted from its config."""

from __future__ import annotations

from dataclasses import dataclass

from diffclaims.unet.config import RunConfig
from diffclaims.unet.measure.sampling import SAMPLERS, uturn_grid
from diffclaims.unet.measure.schedule import Schedule


@dataclass(frozen=True, kw_only=True)
class Work:
    """What one run asks of a machine.

    Attributes
    ----------
    images : int
        Trained on, with repetition.
    probe_evaluations, sample_evaluations : int
        Evaluations of the network, one image each, for losses and for samples and U-turns.
    classes : int
        Whose moments are needed first.
    result_bytes : int
        Of the raw measurements before they are compressed.
    """

    images: int
    probe_evaluations: int
    sample_evaluations: int
    classes: int
    result_bytes: int

    @classmethod
    def of(cls, config: RunConfig) -> Work:
        """Count."""
        p, s, o = config.probe, config.sample, config.objective
        counts, schedule = config.data.counts(), Schedule(config)
        n_classes, n_levels, pixels = (
            len(counts),
            len(p.levels),
            config.data.channels * config.data.resolution**2,
        )
        # Test images are seen once each; of training images as many as there are, repeated to about `n_eval`.
        pairs = sum(p.n_eval + min(n, p.n_eval) * max(1, round(p.n_eval / min(n, p.n_eval))) for n in counts)
        # One evaluation a level for the ancestral sampler, two a step and one at the end for Heun's.
        samples = s.n_samples * (s.sampler_steps + 2 * s.sampler_steps - 1)
        starts = n_classes * s.uturn_starts * s.uturn_returns
        ways = sum(len(uturn_grid(v, o.sigma_max, o.sigma_min, s.sampler_steps)) for v in s.uturn_levels)
        return cls(
            images=config.optimizer.steps * config.optimizer.batch,
            probe_evaluations=len(schedule.probes) * pairs * n_levels,
            sample_evaluations=len(schedule.samples) * samples + len(schedule.uturns) * starts * ways,
            classes=n_classes,
            # Four float32 arrays a probe; images in half precision.
            result_bytes=len(schedule.probes) * 4 * n_classes * n_levels * p.n_eval * 4
            + len(schedule.samples) * len(SAMPLERS) * s.n_samples * pixels * 2
            + len(schedule.uturns) * starts * len(s.uturn_levels) * pixels * 2,
        )
