"""A tiny deterministic training that is watched: killed and started again, it goes on from its checkpoint.

``python training.py FOLDER STEPS [SECONDS ...]``: killed after so many seconds, each time.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path

import torch

from diffclaims import Monitor, denoisers
from diffclaims.storage.files import write_atomic


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Linear(5, 32), torch.nn.SiLU(), torch.nn.Linear(32, 4))

    def forward(self, x, sigma, labels=None):
        scale = (1 + sigma[:, None] ** 2).sqrt()
        return self.body(torch.cat([x / scale, sigma[:, None].log() / 4], dim=1))


def data(seed, n=40):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 2
    return torch.randn(n, 4, generator=generator) * (1 + labels[:, None]) + 4 * labels[:, None], labels


def train(folder, steps, save_every=7, with_state=True):
    """Train, save every few steps, measure what is due."""
    torch.manual_seed(0)
    x, y = data(1)
    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    said = {"experiment": "toy", "training_seed": 0, "uturns": True}
    monitor = Monitor(folder / "watched", train=(x, y), held_out=data(2), budget=1.0, **said)
    checkpoint, first = folder / "checkpoint.pt", 0
    if checkpoint.exists():
        saved = torch.load(checkpoint)
        net.load_state_dict(saved["net"])
        optimizer.load_state_dict(saved["optimizer"])
        first = saved["step"]
        if with_state:
            monitor.load_state_dict(saved["monitor"])
    denoiser = denoisers.from_x0(net)
    for step in range(first, steps):
        if monitor.due(step):
            monitor.measure(step, denoiser)
        generator = torch.Generator().manual_seed(step)
        sigma = torch.rand(len(x), generator=generator) * 3 + 0.05
        noise = torch.randn(x.shape, generator=generator)
        loss = ((net(x + sigma[:, None] * noise, sigma) - x) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % save_every == 0:
            content = {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
            content["monitor"] = monitor.state_dict()
            write_atomic(checkpoint, lambda path, content=content: torch.save(content, path))
    return monitor


def killed(folder, steps, waits):
    """Train in processes of which each but the last is killed after some seconds of work, however busy the machine.

    The signal has no handler, so the process ends at once, wherever it is, as by ``kill -9``.
    """
    # What is imported late is imported once, and one thread is one that a fork takes along.
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as other:
        train(Path(other), 10)
    for wait in [*waits, 0.0]:
        child = os.fork()
        if not child:
            signal.setitimer(signal.ITIMER_PROF, wait)
            train(folder, steps)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0


if __name__ == "__main__":
    killed(Path(sys.argv[1]), int(sys.argv[2]), [float(word) for word in sys.argv[3:]])
