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
from diffclaims.unet.data import PreparedData
from diffclaims.unet.objective import NetworkDenoiser
from diffclaims.unet.probes import Probe
from diffclaims.unet.references import ClassMoments
from diffclaims.unet.sampling import SAMPLERS, sample
from diffclaims.unet.training import Compute, Stepper, build

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


def plain_step(module, images):
    """A step as one writes it first: the same loss, torch's defaults."""
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)

    def step():
        x = images[torch.randint(len(images), (BATCH,))]
        sigma = torch.exp(torch.empty(BATCH).uniform_(np.log(0.1), np.log(8.0)))
        loss = module.loss(x, sigma, torch.randn_like(x)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def _measure(benchmark, step):
    benchmark.extra_info["images_a_step"] = BATCH
    benchmark.pedantic(step, rounds=30, warmup_rounds=3)


@pytest.mark.benchmark(group="training step")
def test_training_step(benchmark, data):
    stepper = Stepper(CONFIG, data.train, Compute())
    _measure(benchmark, lambda: stepper(0))


@pytest.mark.benchmark(group="training step")
def test_training_step_of_a_plain_loop(benchmark, data):
    _measure(benchmark, plain_step(build(CONFIG, CPU), torch.from_numpy(data.train)))


@pytest.mark.benchmark(group="training step")
def test_training_step_of_diffusers(benchmark, data):
    diffusers = pytest.importorskip("diffusers")

    class Wrapped(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = diffusers.UNet2DModel(
                sample_size=14,
                in_channels=1,
                out_channels=1,
                layers_per_block=1,
                block_out_channels=(16, 48),
                down_block_types=("DownBlock2D", "AttnDownBlock2D"),
                up_block_types=("AttnUpBlock2D", "UpBlock2D"),
                norm_num_groups=4,
                add_attention=False,
            )

        def forward(self, x, level):
            return self.inner(x, level).sample

    _measure(
        benchmark, plain_step(NetworkDenoiser(Wrapped(), CONFIG.objective), torch.from_numpy(data.train))
    )


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
