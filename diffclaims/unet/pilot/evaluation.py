"""How fast losses are probed, images sampled and results written, and what precedes a run."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from diffclaims.unet.config import RunConfig
from diffclaims.unet.data.data_set import Images
from diffclaims.unet.data.prepare import PreparedData
from diffclaims.unet.measure.probes import Probe
from diffclaims.unet.measure.sampling import BATCH, SAMPLERS, sample
from diffclaims.unet.measure.wiener import ClassMoments
from diffclaims.unet.model.device import new_stream, on, tf32
from diffclaims.unet.model.stepper import build
from diffclaims.unet.pilot.timing import Timing, timed

#: Images of one class in the training file, behind its moments.
POPULATION = 6000


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Rates of all that is not a training step.

    Attributes
    ----------
    probe_evaluations_per_s, sample_evaluations_per_s : float
        Evaluations of the network, one image each; of both samplers together.
    samples_per_s : dict
        Images by each sampler.
    prepare_s : float
        For each class of a run, before its first step.
    write_bytes_per_s : float
        Of results before they are compressed.
    peak_mib : float or None
        Largest memory that torch held on the device.
    """

    probe_evaluations_per_s: float
    sample_evaluations_per_s: float
    samples_per_s: dict[str, float]
    prepare_s: float
    write_bytes_per_s: float
    peak_mib: float | None


def synthetic(config: RunConfig, n: int, seed: int = 0) -> Images:
    """Return n images of noise in [-1, 1] at the resolution of the config: speed asks nothing more of them."""
    side = config.data.resolution
    x = np.tanh(np.random.default_rng(seed).normal(size=(n, config.data.channels, side, side)))
    return np.asarray(x, dtype=np.float32)


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def evaluate(config: RunConfig, *, device: str, channels_last: bool, seconds: float) -> Evaluation:
    """Measure, for about so many seconds apart from warm-up."""
    place, where = torch.device(device), new_stream(torch.device(device))
    n = config.probe.n_eval
    classes = config.data.classes[:2]
    images = synthetic(config, n * len(classes))
    data = PreparedData(
        classes=classes,
        train=images,
        labels=np.repeat(np.arange(len(classes)), n),
        held_out=images.reshape(len(classes), n, *images.shape[1:]),
        population=(),
        contrast=(1.0,) * len(classes),
    )
    population = synthetic(config, POPULATION)
    moments = list[ClassMoments]()
    prepare = _seconds(lambda: moments.append(ClassMoments.of(population)))
    if place.type == "cuda":
        torch.cuda.reset_peak_memory_stats(place)
    with on(where), tf32(False, place):
        probes = list[Probe]()
        prepare += _seconds(
            lambda: probes.append(Probe(data, config.probe, seed=0, moments=(moments[0],) * 2, device=place))
        ) / len(classes)
        denoiser = build(config, place).eval()
        if channels_last:
            denoiser = denoiser.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

        def warm_and_timed(call: Callable[[], object]) -> Timing:
            call()
            return timed(call, place, seconds / (1 + len(SAMPLERS)))

        batch = 256 if place.type == "cpu" else 8192
        probed = warm_and_timed(lambda: probes[0](denoiser, batch=batch))
        drawn = min(config.sample.n_samples, BATCH)
        steps = config.sample.sampler_steps
        sampled = {
            name: warm_and_timed(
                lambda name=name: sample(  # type: ignore[misc]
                    denoiser,
                    data.train,
                    n=drawn,
                    sampler=name,
                    high=config.objective.sigma_max,
                    low=config.objective.sigma_min,
                    steps=steps,
                    seed=0,
                    device=place,
                )
            )
            for name in SAMPLERS
        }
    evaluations = drawn * (3 * steps - 1)
    noise = np.random.default_rng(0).normal(size=2**21).astype(np.float16)
    write = _seconds(lambda: np.savez_compressed(io.BytesIO(), x=noise))
    return Evaluation(
        probe_evaluations_per_s=probes[0].n_pairs / probed.seconds,
        sample_evaluations_per_s=evaluations / sum(t.seconds for t in sampled.values()),
        samples_per_s={name: drawn / t.seconds for name, t in sampled.items()},
        prepare_s=prepare,
        write_bytes_per_s=noise.nbytes / write,
        peak_mib=torch.cuda.max_memory_reserved(place) / 2**20 if place.type == "cuda" else None,
    )
