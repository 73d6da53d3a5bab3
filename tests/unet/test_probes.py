"""Probe draws: one implementation for users' networks and for our U-Nets, whose recordings must stay reproducible."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from diffclaims import Monitor, denoisers  # noqa: E402
from diffclaims.monitor.data import Data, digest  # noqa: E402
from diffclaims.monitor.noise import levels  # noqa: E402
from diffclaims.monitor.pairs import Pairs, Probe, n_draws  # noqa: E402
from diffclaims.unet.config import DataConfig, ProbeConfig, RunConfig  # noqa: E402
from diffclaims.unet.data.prepare import prepare  # noqa: E402
from diffclaims.unet.measure import probes  # noqa: E402
from diffclaims.unet.measure.wiener import ClassMoments  # noqa: E402
from diffclaims.unet.model.randomness import PROBE, mix  # noqa: E402
from diffclaims.unet.model.stepper import build  # noqa: E402
from tests.monitor import training  # noqa: E402
from tests.unet.synthetic import TINY  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

#: Written from runs of before there was one implementation: losses of the noisy image itself, and its log-ratio.
RECORDED = {
    "test_loss": [0.945843995, 0.97086674, 0.939861894, 1.03042531],
    "train_log_ratio": [2.55629158, 5.10123158, 2.92318654, 6.73169804],
}


def tensor(array):
    return torch.from_numpy(array).to(torch.float32)


@pytest.fixture(scope="module")
def images(source):
    """Five training images a class, so that each has eight draws."""
    return prepare(DataConfig(size=5), source, seed=3, n_held_out=40)


@pytest.fixture(scope="module")
def moments(images):
    return tuple(ClassMoments.of(x) for x in images.population)


def naive(data, config, moments, denoiser, seed, batch):
    """Losses of the U-Nets' snapshots and ln of those over the Wiener filter's, written out: all pairs in one row."""
    rng, rows = np.random.default_rng(mix(seed, PROBE)), []
    for split in ("test", "train"):
        for k in range(len(data.classes)):
            x = (data.held_out[k] if split == "test" else data.of_class(k))[: config.n_eval]
            x = np.repeat(x, max(1, round(config.n_eval / len(x))), axis=0)
            for j, s in enumerate(config.levels):
                noise = rng.standard_normal(x.shape, dtype=np.float32)
                rows += [(split, k, j, s, *pair) for pair in zip(x, noise, strict=True)]
    x, noise = (tensor(np.stack([row[i] for row in rows])) for i in (4, 5))
    s = tensor(np.array([row[3] for row in rows]))
    with torch.no_grad():
        parts = [
            ((denoiser(a + c[:, None, None, None] * b, c) - a) ** 2).mean(dim=(1, 2, 3)) / c**2
            for a, b, c in zip(x.split(batch), noise.split(batch), s.split(batch), strict=True)
        ]
    loss, keys = torch.cat(parts).numpy(), np.array([(split, k, j) for split, k, j, *_ in rows])
    wiener = np.empty_like(loss)
    for split, k, j in dict.fromkeys(map(tuple, keys.tolist())):
        own = np.flatnonzero((keys == [split, k, j]).all(axis=1))
        sigma, clean = config.levels[int(j)], x[own].numpy().reshape(len(own), -1)
        noisy = clean + np.float32(sigma) * noise[own].numpy().reshape(len(own), -1)
        error = moments[int(k)].gaussian.denoise(noisy.astype(np.float64), sigma) - clean
        wiener[own] = (error**2).mean(axis=1).astype(np.float32) / np.float32(sigma**2)
    both = np.stack([loss, np.log(loss / wiener)], axis=1)
    return {
        (split, k, j): both[(keys == [split, str(k), str(j)]).all(axis=1)]
        for split in ("test", "train")
        for k in range(len(data.classes))
        for j in range(len(config.levels))
    }


def test_losses_of_a_unet_are_those_written_out(images, moments):
    config = ProbeConfig(n_eval=40)
    network = build(RunConfig.of("tiny", **TINY), torch.device("cpu")).eval()
    # Its last layer is zero before training.
    for p in network.parameters():
        p.data += 0.1
    measure = probes.Probe(images, config, seed=3, moments=moments, device=torch.device("cpu"))
    found, written = measure(network, batch=64), naive(images, config, moments, network, 3, 64)
    assert measure.n_pairs == sum(len(v) for v in written.values()) == 2 * 2 * 40 * 6
    for (split, k, j), values in written.items():
        n = 40 if split == "test" else 5
        for name, column in zip(("loss", "log_ratio"), values.T, strict=True):
            mean = np.ascontiguousarray(column).reshape(n, -1).mean(axis=1)
            np.testing.assert_array_equal(found[f"{split}_{name}"][k, j, :n], mean)
            assert np.isnan(found[f"{split}_{name}"][k, j, n:]).all()


def test_draws_of_a_unet_are_those_of_its_recordings(images, moments):
    measure = probes.Probe(
        images, ProbeConfig(n_eval=40), seed=3, moments=moments, device=torch.device("cpu")
    )
    found = measure(lambda y, sigma: y)
    for name, values in RECORDED.items():
        np.testing.assert_allclose(found[name][:, ::5, 2].ravel(), values, rtol=2e-6, err_msg=name)


def test_draws_of_a_watched_training_are_those_of_its_folders(tmp_path):
    """A function of the sample, the level's number and the seed."""
    given = training.data(1, 20), training.data(2, 200)
    monitor = Monitor(tmp_path, train=given[0], held_out=given[1], budget=1, seed=7)
    monitor.measure(0, denoisers.from_x0(lambda x, sigma: x), samples=False)
    data = Data.of(*given, 7)
    found = monitor.record.measurements()[0].arrays
    for split, draws in (("train", 8), ("held_out", 1)):
        x = np.concatenate([data.chosen[split, k].x for k in range(2)])
        keys = [[7, *np.frombuffer(digest(sample), dtype=np.uint32).tolist()] for sample in x]
        e = np.stack(
            [np.random.default_rng(k).standard_normal((8, draws, 4), dtype=np.float32) for k in keys], axis=1
        )
        loss = np.square(e.astype(np.float64)).mean(axis=3) * levels(data)[:, None, None] ** 2
        np.testing.assert_allclose(found[f"raw_{split}_loss"], loss.mean(axis=2), rtol=1e-4)


def test_a_batch_reaches_from_one_kind_of_pairs_into_the_next():
    rng, s = np.random.default_rng(0), np.array([0.5, 2.0])
    some = [
        Pairs(x, s, rng.standard_normal((2, n * m, 3), dtype=np.float32))
        for n, m in ((4, 3), (5, 1))
        for x in [rng.standard_normal((n, 3)).astype(np.float32)]
    ]
    seen = []

    def shrink(y, sigma):
        seen.append(len(y))
        return y / (1 + sigma[:, None] ** 2)

    found = Probe(some, tensor)(shrink, 10)
    assert seen == [10, 10, 10, 4]
    for pairs, losses in zip(some, found, strict=True):
        written = pairs.errors(lambda y, sigma: y / (1 + sigma**2)) / s[:, None, None] ** 2
        np.testing.assert_allclose(losses, written, rtol=1e-5)
        assert losses.shape == (2, len(pairs.x), pairs.draws)


@pytest.mark.parametrize(
    ("n", "wanted", "most", "draws"), [(16, 128, 8, 8), (128, 128, 8, 1), (1, 40, None, 40), (90, 128, 8, 1)]
)
def test_few_samples_get_more_draws(n, wanted, most, draws):
    assert n_draws(n, wanted, most) == draws
