"""A model that was measured is as it was: modes, weights, random state, in whatever way measuring ends."""

from __future__ import annotations

import functools
import random

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from diffclaims import Monitor, denoisers  # noqa: E402
from diffclaims.errors import InvalidInput  # noqa: E402
from diffclaims.monitor.guard import modules_of  # noqa: E402
from tests.denoisers import planted  # noqa: E402

MIXTURE = planted.Mixture()
DATA = {"train": MIXTURE.draw(60, seed=1), "held_out": MIXTURE.draw(60, seed=2)}


class Net(torch.nn.Module):
    """A network with parts that mind the mode: dropout, running means, and one that is kept in eval mode."""

    def __init__(self, fails_below=0.0):
        super().__init__()
        self.body = torch.nn.Sequential(
            torch.nn.Linear(17, 32), torch.nn.BatchNorm1d(32), torch.nn.Dropout(0.5), torch.nn.Linear(32, 16)
        )
        self.frozen = torch.nn.Dropout(0.5).eval()
        self.fails_below, self.modes, self.double_ = fails_below, [], False

    def forward(self, x, sigma, labels=None):
        self.modes.append(any(part.training for part in self.modules()))
        random.random(), np.random.rand(), torch.rand(1)  # noqa: NPY002
        out = self.frozen(self.body(torch.cat([x, sigma[:, None].to(x.dtype)], dim=1)))
        return torch.where(sigma[:, None] < self.fails_below, torch.nan, out)


def watched(folder, **options):
    return Monitor(folder, **DATA, budget=1, **options)


def random_numbers():
    return random.random(), np.random.rand(), float(torch.rand(1))  # noqa: NPY002


def state_of(net):
    return {k: v.clone() for k, v in net.state_dict().items()}, [p.training for p in net.modules()]


def same(before, after):
    assert before[1] == after[1]
    assert all(torch.equal(a, after[0][name]) for name, a in before[0].items())


WRAPPED = {
    "module": lambda net: net,
    "method": lambda net: net.forward,
    "lambda": lambda net: lambda x, s, y=None: net(x, s, y),
    "partial": lambda net: functools.partial(net.forward),
    "nested": lambda net: (lambda inner: lambda x, s, y=None: inner(x, s, y))(lambda x, s, y=None: net(x, s)),
}


@pytest.mark.parametrize("fails_below", [0.0, 0.5], ids=["ends well", "fails"])
@pytest.mark.parametrize("wrapped", WRAPPED)
def test_all_is_left_as_it_was(wrapped, fails_below, tmp_path):
    net = Net(fails_below).train()
    net.frozen.eval()
    monitor, denoiser = watched(tmp_path), denoisers.from_x0(WRAPPED[wrapped](net))
    before = state_of(net)
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(3)
    expected = random_numbers()
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(3)
    if fails_below:
        with pytest.raises(InvalidInput, match=r"be finite; it is not .* first at sigma = 0\.\d+"):
            monitor.measure(0, denoiser, samples=True)
        assert not list(tmp_path.glob("step-*"))
    else:
        monitor.measure(0, denoiser, samples=True)
    assert random_numbers() == expected
    same(before, state_of(net))
    assert not any(net.modes)


def test_a_module_that_cannot_be_found_can_be_named(tmp_path):
    net = Net().train()
    hidden = {"net": net}
    denoiser = denoisers.from_x0(lambda x, s, y=None: hidden["net"](x, s, y))
    assert modules_of(denoiser) == []
    watched(tmp_path).measure(0, denoiser, modules=[net])
    assert not any(net.modes)
    assert net.training


class Shadow:
    """Averaged weights as diffusers' ``EMAModel`` keeps them."""

    def __init__(self, parameters):
        self.shadow = [p.detach().clone() for p in parameters]

    def store(self, parameters):
        self.kept = [p.detach().clone() for p in parameters]

    def copy_to(self, parameters):
        for p, s in zip(parameters, self.shadow, strict=True):
            p.data.copy_(s)

    def restore(self, parameters):
        for p, s in zip(parameters, self.kept, strict=True):
            p.data.copy_(s)


KINDS = {
    "denoiser": lambda other: denoisers.from_x0(other),
    "module": lambda other: other,
    "state dict": lambda other: other.state_dict(),
    "shadow": lambda other: Shadow(other.parameters()),
}


@pytest.mark.parametrize("kind", KINDS)
def test_averaged_weights_are_measured_beside_the_others(kind, tmp_path):
    torch.manual_seed(0)
    net, other = Net().train(), Net().train()
    before = state_of(net)
    monitor = watched(tmp_path / "both")
    monitor.measure(0, denoisers.from_x0(net), ema=KINDS[kind](other))
    same(before, state_of(net))
    losses = monitor.losses().held_out_loss
    alone = []
    for name, one in (("raw", net), ("ema", other)):
        single = watched(tmp_path / name)
        single.measure(0, denoisers.from_x0(one))
        alone.append(single.losses().held_out_loss.sel(weights="raw"))
    np.testing.assert_allclose(losses.sel(weights="raw"), alone[0])
    np.testing.assert_allclose(losses.sel(weights="ema"), alone[1])
    assert monitor.status().attrs["weights"] == "ema"
    assert monitor.status("raw").attrs["weights"] == "raw"


def test_averaged_weights_of_another_network_are_refused(tmp_path):
    net = Net()
    before = state_of(net)
    with pytest.raises(InvalidInput, match="ema must fit the denoiser's module"):
        watched(tmp_path).measure(0, denoisers.from_x0(net), ema=torch.nn.Linear(2, 2).state_dict())
    same(before, state_of(net))
    with pytest.raises(InvalidInput, match="ema = 'int': ema must be a denoiser"):
        watched(tmp_path).measure(0, denoisers.from_x0(net), ema=3)


def test_the_noise_of_a_sample_is_always_the_same(tmp_path):
    seen = []

    def network(x, sigma):
        seen.append(x.clone())
        return x

    for i in range(2):
        torch.manual_seed(i)
        watched(tmp_path / str(i)).measure(7 * i, denoisers.from_x0(network))
    half = len(seen) // 2
    assert all(torch.equal(a, b) for a, b in zip(seen[:half], seen[half:], strict=True))


def test_other_ranks_measure_nothing_and_nobody_waits(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    monitor = watched(tmp_path)
    assert not monitor.due(0)
    monitor.measure(0, denoisers.from_x0(Net()))
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 0)
    assert monitor.due(0)


def test_a_distributed_module_is_asked_without_its_wrapper(tmp_path):
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        net = torch.nn.parallel.DistributedDataParallel(Net().train())
        net.forward = None  # it would raise
        denoiser = denoisers.from_x0(net)
        watched(tmp_path / "run").measure(0, denoiser)
        assert denoiser.network.f is net
        assert net.training
    finally:
        torch.distributed.destroy_process_group()
