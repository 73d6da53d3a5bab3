"""Small networks that were trained for seconds: imperfect ones are told from ones of another convention."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from diffclaims import denoisers  # noqa: E402
from tests.denoisers.planted import ABAR  # noqa: E402

READ = {
    "eps": lambda f: denoisers.from_eps(f, ABAR, num_classes=10, null="index"),
    "v": lambda f: denoisers.from_v(f, ABAR, num_classes=10, null="index"),
    "flow": lambda f: denoisers.from_flow(f, data_at=0, time_scale=1000, num_classes=10, null="index"),
}
NAMED = {"eps": "from_eps(", "v": "from_v(", "flow": "from_flow(f, data_at=0, time_scale=1000)"}


class Network(torch.nn.Module):
    """Three hidden layers on pixels, sines of the time, and the class."""

    def __init__(self, width=384):
        super().__init__()
        self.label = torch.nn.Embedding(11, 32)
        sizes = (64 + 32 + 32, width, width, width)
        hidden = [(torch.nn.Linear(a, b), torch.nn.SiLU()) for a, b in pairwise(sizes)]
        self.layers = torch.nn.Sequential(*sum(hidden, ()), torch.nn.Linear(width, 64))

    def forward(self, x, time, labels):
        angle = time.float()[:, None] * torch.exp(-torch.arange(16) * np.log(1e4) / 16)
        parts = [x.flatten(1), angle.sin(), angle.cos(), self.label(labels)]
        return self.layers(torch.cat(parts, dim=1)).reshape(x.shape)


def trained(convention, x, labels, steps=400):
    torch.manual_seed(0)
    network, abar = Network(), torch.from_numpy(ABAR).float()
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    for _ in range(steps):
        pick = torch.randint(len(x), (256,))
        data, noise = x[pick], torch.randn(256, 1, 8, 8)
        step = torch.randint(0, 1000, (256,))
        a, u = abar[step][:, None, None, None], (step / 1000)[:, None, None, None]
        seen = (
            (1 - u) * data + u * noise if convention == "flow" else a.sqrt() * data + (1 - a).sqrt() * noise
        )
        v = a.sqrt() * noise - (1 - a).sqrt() * data
        target = {"eps": noise, "v": v, "flow": noise - data}[convention]
        loss = (network(seen, step, labels[pick]) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network


@pytest.mark.slow
@pytest.mark.parametrize("convention", READ)
def test_a_trained_network_is_read_as_it_was_trained(convention):
    images, labels = pytest.importorskip("sklearn.datasets").load_digits(return_X_y=True)
    x, labels = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 8 - 1, torch.tensor(labels)
    network = trained(convention, x, labels)
    for name, read in READ.items():
        report = denoisers.check(read(network), x, labels)
        assert report.ok == (name == convention), report
        assert report.seems.startswith("" if report.ok else NAMED[convention]), report
