"""Measurements reach trackers: of the libraries where they are, and stand-ins with their habits everywhere."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from diffclaims import Monitor, denoisers  # noqa: E402
from diffclaims.errors import InvalidInput  # noqa: E402
from diffclaims.monitor.sinks import log_to  # noqa: E402
from diffclaims.monitor.states import STATES  # noqa: E402
from tests.monitor.training import Net, data  # noqa: E402

NOISY = pytest.mark.filterwarnings("ignore")
VALUES = {"monitor/0/gap": 0.25}


class Tracker:
    """As those of accelerate."""

    name = "stand-in"

    def __init__(self):
        self.logged = []

    def log(self, values, step=None, **kwargs):
        self.logged.append((dict(values), step))


class Writer:
    """As TensorBoard's."""

    def __init__(self):
        self.scalars = []

    def add_scalar(self, name, value, global_step=None):
        self.scalars.append((name, value, global_step))


class Run:
    """As that of Weights & Biases: a step below one that was logged is dropped."""

    def __init__(self):
        self.step, self.logged, self.metrics = 0, [], {}

    def define_metric(self, name, step_metric=None):
        self.metrics[name] = step_metric

    def log(self, values, step=None):
        if step is not None and step < self.step:
            return
        self.step = self.step + 1 if step is None else step
        self.logged.append(dict(values))


def test_what_is_logged_agrees_with_the_status(tmp_path):
    sink = Tracker()
    monitor = Monitor(tmp_path, train=data(1), held_out=data(2), budget=1, sink=sink)
    net = Net()
    for step in (0, 4):
        monitor.measure(step, denoisers.from_x0(net), samples=step > 0)
    assert [step for _, step in sink.logged] == [0, 4]
    values, status = sink.logged[-1][0], monitor.status()
    assert values["monitor/step"] == 4
    for k, name in enumerate(status["class"].values):
        assert STATES[values[f"monitor/{name}/state"]] == status.state.values[k]
        for column in ("generalization", "gap", "auc"):
            assert values[f"monitor/{name}/{column}"] == pytest.approx(float(status[column][k]), rel=1e-6)
    losses = monitor.losses().sel(weights="raw", step=4).mean("sigma")
    assert values["monitor/0/train_loss"] == pytest.approx(float(losses.train_loss[0]), rel=1e-5)
    assert all(isinstance(v, (int, float)) for v in values.values())


def test_without_held_out_samples_the_state_is_unknown(tmp_path):
    sink = Tracker()
    Monitor(tmp_path, train=data(1), sink=sink).measure(0, denoisers.from_x0(Net()))
    values = sink.logged[0][0]
    assert values["monitor/0/state"] == -1
    assert "monitor/0/gap" not in values
    assert values["monitor/0/train_loss"] > 0


def test_steps_out_of_order_are_not_dropped():
    run = Run()
    log = log_to(run)
    run.log({"loss": 1.0}, step=100)
    log(VALUES, 50)
    assert run.logged[-1] == {**VALUES, "monitor/step": 50}
    assert run.metrics == {"monitor/step": None, "monitor/*": "monitor/step"}
    run.log(VALUES, step=60)
    assert len(run.logged) == 2  # what a call with a step would have come to


def test_every_tracker_of_an_accelerator_is_told_and_its_run_without_a_step():
    run, tracker = Run(), Tracker()
    run.step = 100
    wandb = SimpleNamespace(name="wandb", tracker=run)
    log_to(SimpleNamespace(trackers=[wandb, tracker]))(VALUES, 5)
    assert run.logged == [{**VALUES, "monitor/step": 5}]
    assert tracker.logged == [({**VALUES, "monitor/step": 5}, 5)]


def test_a_writer_and_a_logger():
    writer = Writer()
    log_to(writer)(VALUES, 7)
    assert writer.scalars == [("monitor/0/gap", 0.25, 7)]
    seen = []
    log_to(SimpleNamespace(log_metrics=lambda values, step: seen.append((values, step))))(VALUES, 7)
    assert seen == [({**VALUES, "monitor/step": 7}, 7)]


def test_another_object_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="sink"):
        Monitor(tmp_path, train=data(1), sink=3)


@NOISY
def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path)) as writer:
        for step in (3, 1):
            log_to(writer)(VALUES, step)
    read = EventAccumulator(str(tmp_path))
    read.Reload()
    assert sorted((e.step, e.value) for e in read.Scalars("monitor/0/gap")) == [(1, 0.25), (3, 0.25)]


@NOISY
def test_accelerate(tmp_path):
    accelerate = pytest.importorskip("accelerate")
    from accelerate.tracking import GeneralTracker

    class Kept(GeneralTracker):
        name, requires_logging_directory, tracker = "kept", False, None

        def store_init_configuration(self, values):
            pass

        def log(self, values, step=None, **kwargs):
            logged.append((values, step))

    logged = []
    accelerator = accelerate.Accelerator(cpu=True, log_with=[Kept()])
    accelerator.init_trackers("watched")
    log_to(accelerator)(VALUES, 5)
    log_to(accelerator.trackers[0])(VALUES, 6)
    assert [step for _, step in logged] == [5, 6]


@NOISY
def test_wandb_offline(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    with wandb.init(mode="offline", dir=str(tmp_path), project="watched") as run:
        log = log_to(run)
        run.log({"loss": 1.0}, step=100)
        log(VALUES, 50)
        assert run.summary["monitor/step"] == 50
        assert run.summary["monitor/0/gap"] == 0.25
        run.log({"dropped": 1.0}, step=60)  # what a call with a step comes to
        log({"monitor/0/gap": 0.5}, 60)
        assert run.summary["monitor/0/gap"] == 0.5
        assert "dropped" not in run.summary.keys()  # noqa: SIM118
