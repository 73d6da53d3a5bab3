"""The monitor as a callback: of the libraries where they are, and of stand-ins with their signatures everywhere."""

from __future__ import annotations

import importlib
import sys
import types
from importlib.util import find_spec

import pytest

torch = pytest.importorskip("torch")

from diffclaims import Monitor, denoisers  # noqa: E402
from diffclaims.errors import DiffclaimsError, InvalidInput  # noqa: E402
from diffclaims.monitor.callbacks import Watch  # noqa: E402
from tests.monitor.training import Net, data  # noqa: E402

#: Libraries of this size warn of each other.
NOISY = pytest.mark.filterwarnings("ignore")
LIGHTNING = ("lightning.pytorch", "pytorch_lightning")


class Callback:
    """As Lightning's: hooks that do nothing."""


class TrainerCallback:
    """As that of transformers."""


def monitor_in(folder):
    return Monitor(folder, train=data(1), held_out=data(2), budget=1)


def memorized(monitor):
    """The exact posterior mean over the training samples: what a network that copies them answers."""
    x = monitor.data.train.x

    def copied(y, sigma):
        points = torch.as_tensor(x, dtype=y.dtype)
        weights = (-((y[:, None] - points) ** 2).sum(-1) / (2 * sigma[:, None] ** 2)).softmax(dim=1)
        return weights @ points

    return denoisers.from_x0(copied)


def stand_in(monkeypatch, name, **content):
    for known in (*LIGHTNING, "lightning", "transformers"):
        monkeypatch.delitem(sys.modules, known, raising=False)
    module = types.ModuleType(name)
    vars(module).update(content)
    monkeypatch.setitem(sys.modules, name, module)


def lightning_training(callback, steps=7):
    trainer = types.SimpleNamespace(global_step=0, should_stop=False)
    module = torch.nn.Module()
    module.denoiser = denoisers.from_x0(Net())
    callback.on_train_start(trainer, module)
    while trainer.global_step < steps and not trainer.should_stop:
        trainer.global_step += 1
        callback.on_train_batch_end(trainer, module, None, None, trainer.global_step - 1)
    return trainer


@pytest.mark.parametrize("name", LIGHTNING)
def test_a_callback_is_of_the_package_that_is_imported(tmp_path, monkeypatch, name):
    stand_in(monkeypatch, name, Callback=Callback)
    monitor = monitor_in(tmp_path)
    callback = monitor.as_lightning()
    assert isinstance(callback, Callback)
    assert not lightning_training(callback).should_stop
    assert monitor.record.store.steps() == [0, 1, 2, 3, 4, 5, 6]
    other = monitor_in(tmp_path).as_lightning()
    other.load_state_dict(callback.state_dict())


def test_a_callback_is_of_both_packages_where_both_are_imported(tmp_path, monkeypatch):
    class Other:
        pass

    stand_in(monkeypatch, LIGHTNING[0], Callback=Callback)
    module = types.ModuleType(LIGHTNING[1])
    module.Callback = Other
    monkeypatch.setitem(sys.modules, LIGHTNING[1], module)
    callback = monitor_in(tmp_path).as_lightning()
    assert isinstance(callback, Callback)
    assert isinstance(callback, Other)


@pytest.mark.parametrize(("stop", "stopped"), [("memorized", True), (None, False)])
def test_a_training_that_memorizes_is_stopped_if_asked(tmp_path, monkeypatch, stop, stopped):
    stand_in(monkeypatch, LIGHTNING[0], Callback=Callback)
    monitor = monitor_in(tmp_path)
    callback = monitor.as_lightning(lambda module: memorized(monitor), stop=stop)
    assert lightning_training(callback).should_stop is stopped


def test_a_training_that_does_not_memorize_is_not_stopped(tmp_path, monkeypatch):
    stand_in(monkeypatch, LIGHTNING[0], Callback=Callback)
    # Losses alone: the fourth measurement has samples, and those of an untrained network are all alike.
    assert not lightning_training(monitor_in(tmp_path).as_lightning(stop="memorizing"), steps=2).should_stop


@pytest.mark.parametrize(("stop", "stopped"), [("memorizing", True), (None, False)])
def test_transformers_stop_if_asked(tmp_path, monkeypatch, stop, stopped):
    stand_in(monkeypatch, "transformers", TrainerCallback=TrainerCallback)
    sys.modules["transformers"].__spec__ = importlib.machinery.ModuleSpec("transformers", None)
    monitor = monitor_in(tmp_path)
    callback = monitor.as_hf(memorized(monitor), stop=stop)
    assert isinstance(callback, TrainerCallback)
    control = types.SimpleNamespace(should_training_stop=False)
    callback.on_train_begin(None, types.SimpleNamespace(global_step=0), control, model=None)
    callback.on_step_end(None, types.SimpleNamespace(global_step=1), control, model=None)
    assert control.should_training_stop is stopped
    assert monitor.record.store.steps() == [0, 1]


@pytest.mark.parametrize(("method", "package"), [("as_lightning", "lightning"), ("as_hf", "transformers")])
def test_what_is_missing_is_named(tmp_path, monkeypatch, method, package):
    for known in (*LIGHTNING, "lightning", "transformers"):
        monkeypatch.delitem(sys.modules, known, raising=False)
    monkeypatch.setattr("diffclaims.monitor.callbacks.find_spec", lambda name: None)
    with pytest.raises(DiffclaimsError, match=f"{package} is not installed.*pip install {package}"):
        getattr(monitor_in(tmp_path), method)()


def test_what_cannot_be_meant_is_refused(tmp_path, monkeypatch):
    stand_in(monkeypatch, LIGHTNING[0], Callback=Callback)
    monitor = monitor_in(tmp_path)
    with pytest.raises(InvalidInput, match="stop"):
        monitor.as_lightning(stop="learned")
    with pytest.raises(InvalidInput, match="denoiser"):
        monitor.as_lightning(3)
    callback = monitor.as_lightning(lambda module: module)
    with pytest.raises(InvalidInput, match="function that makes one"):
        lightning_training(callback)


def batches(n=8):
    x, labels = data(1)
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, labels), batch_size=len(x) // n)


@NOISY
@pytest.mark.parametrize("name", LIGHTNING)
@pytest.mark.parametrize("stop", [None, "memorized"])
def test_the_trainer_of_lightning_measures_and_stops(tmp_path, name, stop):
    pytest.importorskip(name.partition(".")[0])
    library = importlib.import_module(name)

    class Module(library.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = Net()

        def training_step(self, batch, _):
            sigma = torch.ones(len(batch[0]))
            return ((self.net(batch[0] + torch.randn_like(batch[0]), sigma) - batch[0]) ** 2).mean()

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters())

    monitor = monitor_in(tmp_path / "watched")
    make = (lambda m: denoisers.from_x0(m.net)) if stop is None else (lambda m: memorized(monitor))
    callback = monitor.as_lightning(make, stop=stop)
    assert isinstance(callback, library.Callback)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = library.Trainer(
        max_steps=6, callbacks=[callback], accelerator="cpu", default_root_dir=tmp_path, **quiet
    )
    trainer.fit(Module(), batches())
    assert monitor.record.store.steps() == ([0, 1, 2, 3, 4, 5, 6] if stop is None else [0])


@NOISY
@pytest.mark.parametrize("stop", [None, "memorized"])
def test_the_trainer_of_transformers_measures_and_stops(tmp_path, stop):
    transformers = pytest.importorskip("transformers")
    if find_spec("accelerate") is None:
        pytest.skip("the trainer needs accelerate")

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = Net()

        def forward(self, x):
            return {"loss": ((self.net(x + torch.randn_like(x), torch.ones(len(x))) - x) ** 2).mean()}

    monitor = monitor_in(tmp_path / "watched")
    make = (lambda m: denoisers.from_x0(m.net)) if stop is None else (lambda m: memorized(monitor))
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path), max_steps=6, per_device_train_batch_size=5, report_to=[], use_cpu=True
    )
    rows = [{"x": x} for x in data(1)[0]]
    callback = monitor.as_hf(make, stop=stop)
    transformers.Trainer(Model(), arguments, train_dataset=rows, callbacks=[callback]).train()
    assert monitor.record.store.steps() == ([0, 1, 2, 3, 4, 5, 6] if stop is None else [0, 1])


@pytest.mark.parametrize(
    ("states", "stopped"), [((2, 1, 2, 1), [False] * 4), ((1, 2, 3, 1), [False, False, True, False])]
)
def test_an_alarm_that_the_next_measurement_does_not_confirm_stops_nothing(states, stopped):
    """It may be by chance, and a training that was stopped does not go on."""
    measured = iter(states)
    monitor = types.SimpleNamespace(
        due=lambda step: True,
        measure=lambda *given: None,
        record=types.SimpleNamespace(scalars=lambda: {"monitor/a/state": next(measured)}),
    )
    watch = Watch(monitor, denoisers.from_x0(lambda x, sigma: x), None, "memorizing")
    assert [watch.see(step, None) for step in range(4)] == stopped
