"""A folder that was left at any moment is gone on with; one of another training is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from diffclaims import Monitor, denoisers  # noqa: E402
from diffclaims.monitor import MonitorRefused, Record  # noqa: E402
from tests.monitor import training  # noqa: E402

STEPS = 120


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return training.train(tmp_path_factory.mktemp("whole"), STEPS).record


def assert_same(mine, other):
    assert mine.store.steps() == other.store.steps()
    for step in mine.store.steps():
        a, b = mine.store.read(step), other.store.read(step)
        assert a.arrays.keys() == b.arrays.keys()
        for name, values in a.arrays.items():
            np.testing.assert_array_equal(values, b.arrays[name], err_msg=f"{name} at step {step}")
        assert a.info["samples"] == b.info["samples"] or str(a.info["samples"]) == str(b.info["samples"])


@pytest.mark.slow
def test_killed_at_ten_random_moments(undisturbed, tmp_path):
    waits = np.random.default_rng(0).uniform(0.1, 1.0, size=10)
    words = [sys.executable, str(Path(training.__file__)), str(tmp_path), str(STEPS), *map(str, waits)]
    subprocess.run(words, check=True)
    assert_same(Record(tmp_path / "watched"), undisturbed)
    assert list((tmp_path / "watched" / "replaced").iterdir()), (
        "no kill came between a measurement and a checkpoint"
    )


@pytest.mark.parametrize("with_state", [True, False])
def test_stopped_and_gone_on_with(undisturbed, tmp_path, with_state):
    """The checkpoint is older than the last measurement: that one is made again."""
    training.train(tmp_path, 55, with_state=with_state)
    assert max(Record(tmp_path / "watched").store.steps()) == 50
    assert torch.load(tmp_path / "checkpoint.pt")["step"] == 49
    again = training.train(tmp_path, STEPS, with_state=with_state)
    assert_same(again.record, undisturbed)
    aside = sorted(p.name for p in (tmp_path / "watched" / "replaced").iterdir())
    assert aside == ["1.step-000000050.npz"]


def test_what_a_left_training_measured_is_set_aside_as_a_whole(tmp_path):
    x, y = training.data(1)
    x0 = denoisers.from_x0(lambda x, sigma: 0.5 * x)
    first = Monitor(tmp_path, train=(x, y), held_out=training.data(2), budget=1)
    for step in (0, 10, 20, 30):
        first.measure(step, x0)
    again = Monitor(tmp_path, train=(x, y), held_out=training.data(2), budget=1)
    assert not again.due(10) or again.record.store.steps() == [0, 10, 20, 30]
    again.measure(25, x0)
    assert again.record.store.steps() == [0, 25]
    assert len(list((tmp_path / "replaced").iterdir())) == 3


def test_reading_needs_neither_the_data_nor_torch(undisturbed):
    code = (
        "import sys\n"
        "from diffclaims.monitor import Record\n"
        f"status = Record({str(undisturbed.store.folder)!r}).status()\n"
        "print(status.sizes['class'], 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "2 False\n"


def test_another_training_is_refused(tmp_path):
    x0 = denoisers.from_x0(lambda x, sigma: 0.5 * x)
    (x, y), held_out = training.data(1), training.data(2)
    first = Monitor(tmp_path, train=(x, y), held_out=held_out)
    first.measure(0, x0)
    with pytest.raises(MonitorRefused, match=r"holds another training \(fingerprint: .* use another folder"):
        Monitor(tmp_path, train=training.data(3), held_out=held_out)
    with pytest.raises(MonitorRefused, match="seed: 0 there, 1 now"):
        Monitor(tmp_path, train=(x, y), held_out=held_out, seed=1)
    with pytest.raises(MonitorRefused, match=r"classes: \[0, 1\] there, \[0\] now"):
        Monitor(tmp_path, train=(x[y == 0], y[y == 0]), held_out=None)
    other = Monitor(tmp_path / "other", train=training.data(3), held_out=held_out)
    with pytest.raises(MonitorRefused, match="the state is that of another training"):
        other.load_state_dict(first.state_dict())


def test_two_processes_in_one_folder_are_told(tmp_path):
    x0 = denoisers.from_x0(lambda x, sigma: 0.5 * x)
    first, second = (
        Monitor(tmp_path, train=training.data(1), held_out=training.data(2), budget=1) for _ in range(2)
    )
    first.measure(0, x0)
    with pytest.raises(MonitorRefused, match="was changed by another process"):
        second.measure(0, x0)


def test_a_damaged_file_is_named(tmp_path):
    monitor = training.train(tmp_path, 3)
    path = tmp_path / "watched" / "step-000000001.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(MonitorRefused, match=r"step-000000001.npz cannot be read .* move it away"):
        Record(tmp_path / "watched").status()
    del monitor
