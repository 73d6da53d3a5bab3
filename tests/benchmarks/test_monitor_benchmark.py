"""What watching a training costs: ``pytest tests/benchmarks/test_monitor_benchmark.py --benchmark-only``."""

from __future__ import annotations

import time

import pytest

torch = pytest.importorskip("torch")

from diffclaims import Monitor, denoisers  # noqa: E402
from tests.monitor import digits  # noqa: E402

TRAIN, HELD_OUT = digits.data((150, 150, 15))


def test_a_measurement(benchmark, tmp_path):
    """Losses of a small network, 3 classes, on the CPU."""
    monitor = Monitor(tmp_path, train=TRAIN, held_out=HELD_OUT, budget=1)
    denoiser = denoisers.from_x0(digits.Net())
    monitor.measure(0, denoiser)
    benchmark.pedantic(lambda: monitor.measure(1, denoiser, samples=False), rounds=10)


def test_a_measurement_with_samples(benchmark, tmp_path):
    monitor = Monitor(tmp_path, train=TRAIN, held_out=HELD_OUT, budget=1)
    denoiser = denoisers.from_x0(digits.Net())
    monitor.measure(0, denoiser, samples=True)
    benchmark.pedantic(lambda: monitor.measure(1, denoiser, samples=True), rounds=5)


def test_the_question_whether_to_measure(benchmark, tmp_path):
    monitor = Monitor(tmp_path, train=TRAIN, held_out=HELD_OUT)
    monitor.measure(10**6, denoisers.from_x0(digits.Net()))
    benchmark(monitor.due, 10**6 + 1)


def test_a_watched_training(benchmark, tmp_path):
    """A minute of training, in CPU time; `share` is the time inside the monitor over the whole."""

    def train():
        torch.manual_seed(0)
        net = digits.Net(512)
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
        monitor = Monitor(tmp_path, train=TRAIN, held_out=HELD_OUT, clock=time.process_time)
        denoiser, (x, y) = denoisers.from_x0(net), TRAIN
        began, inside, step = time.process_time(), 0.0, 0
        while time.process_time() - began < 60:
            asked = time.process_time()
            if monitor.due(step):
                monitor.measure(step, denoiser)
            inside += time.process_time() - asked
            rows = torch.randint(len(x), (128,))
            sigma = (1.2 * torch.randn(128) - 0.8).exp()
            answer = net(x[rows] + sigma[:, None] * torch.randn(128, 64), sigma, y[rows])
            loss = ((1 + 1 / sigma[:, None] ** 2) * (answer - x[rows]) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
        return inside / (time.process_time() - began), step, monitor

    share, steps, monitor = benchmark.pedantic(train, rounds=1)
    losses = monitor.losses()
    benchmark.extra_info |= {"share": share, "steps": steps, "measurements": losses.sizes["step"]}
    print(f"share {share:.4f}, {steps} steps, {losses.sizes['step']} measurements")
