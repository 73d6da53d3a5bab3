"""Time of a training step, of sampling and of measuring, in one run on the same images.

Images/s = 64 / mean time of a step. The presets' network at 14 x 14, one thread.
"""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pytest_benchmark")
pytest.importorskip("torch")
import torch

from diffclaims.unet.config import ProbeConfig, RunConfig
from diffclaims.unet.data.prepare import PreparedData
from diffclaims.unet.measure.probes import Probe
from diffclaims.unet.measure.sampling import SAMPLERS, sample
from diffclaims.unet.measure.wiener import ClassMoments
from diffclaims.unet.model.options import Compute
from diffclaims.unet.model.stepper import Stepper, build
from diffclaims.unet.train.loops import diffusers_loop, plain_loop

CPU = torch.device("cpu")
CONFIG = RunConfig.of("benchmark")
BATCH = CONFIG.optimizer.batch


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    population = tuple(np.tanh(rng.normal(size=(400, 1, 14, 14))).astype(np.float32) for _ in range(2))
    return PreparedData(
        classes=("Bag", "Trouser"),
        train=np.concatenate([p[:64] for p in population]),
        labels=np.repeat([0, 1], 64),
        held_out=np.stack([p[200:328] for p in population]),
        population=population,
        contrast=(1.0, 1.0),
    )


def _measure(benchmark, step, models=1):
    benchmark.extra_info["images_a_step"] = BATCH * models
    benchmark.pedantic(step, rounds=30, warmup_rounds=3)


@pytest.mark.benchmark(group="training step")
def test_training_step(benchmark, data):
    stepper = Stepper(CONFIG, data.train, Compute())
    _measure(benchmark, lambda: stepper(0))


@pytest.mark.benchmark(group="training step")
def test_training_step_of_two_models_in_turn(benchmark, data):
    steppers = [Stepper(CONFIG, data.train, Compute()) for _ in range(2)]
    _measure(benchmark, lambda: [s(0) for s in steppers], models=2)


@pytest.mark.benchmark(group="training step")
def test_training_step_of_a_plain_loop(benchmark, data):
    step = plain_loop(CONFIG, data.train, CPU)
    _measure(benchmark, lambda: step(0))


@pytest.mark.benchmark(group="training step")
def test_training_step_of_diffusers(benchmark, data):
    pytest.importorskip("diffusers")
    try:
        step = diffusers_loop(CONFIG, data.train, CPU)
    except RuntimeError as error:  # a torchvision for another torch, which diffusers imports
        pytest.skip(str(error))
    _measure(benchmark, lambda: step(0))


@pytest.mark.benchmark(group="sampling 128 images")
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_sampling(benchmark, data, sampler):
    denoiser = build(CONFIG, CPU).to(memory_format=torch.channels_last)
    s, o = CONFIG.sample, CONFIG.objective
    benchmark.pedantic(
        lambda: sample(
            denoiser,
            data.train,
            n=128,
            sampler=sampler,
            high=o.sigma_max,
            low=o.sigma_min,
            steps=s.sampler_steps,
            seed=0,
            device=CPU,
        ),
        rounds=3,
    )


@pytest.mark.benchmark(group="measuring")
def test_one_snapshot(benchmark, data):
    moments = tuple(ClassMoments.of(x) for x in data.population)
    probe = Probe(data, ProbeConfig(), seed=0, moments=moments, device=CPU)
    denoiser = build(CONFIG, CPU).to(memory_format=torch.channels_last)
    benchmark.extra_info["evaluations"] = probe.n_pairs
    benchmark.pedantic(lambda: probe(denoiser, batch=256), rounds=5)
