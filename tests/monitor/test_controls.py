"""The same network trained otherwise: the monitor says what is different."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.monitor import digits  # noqa: E402

STEPS = 800


@pytest.fixture(scope="module")
def data():
    return digits.data((150, 150, 15))


@pytest.fixture(scope="module")
def plain(data, tmp_path_factory):
    return digits.train(tmp_path_factory.mktemp("plain"), *data, STEPS)


def test_the_class_of_few_images_is_memorized_first(plain):
    status = plain.status()
    assert status.state.values.tolist()[2] in ("memorizing", "memorized")
    assert status.memorizing_at.values.argmin() == 2
    assert not status.state.isin(["memorizing", "memorized"]).values[:2].any()
    assert (status.label_gain_low > 0).all()
    assert "no help" not in status.attrs["missing"]
    assert not plain.window().open
    assert "7 is being memorized" in plain.window().reason


def test_stopped_early_nothing_is_memorized_nor_learned(data, tmp_path):
    early = digits.train(tmp_path, *data, 60)
    assert set(early.status().state.values) == {"not learned"}
    assert early.window().reason.startswith("not open yet")


def test_random_labels_are_no_help_on_held_out_samples(data, tmp_path):
    rng = np.random.default_rng(0)
    (x, y), (xv, yv) = data
    mixed = [torch.from_numpy(rng.permutation(labels.numpy())) for labels in (y, yv)]
    status = digits.train(tmp_path, (x, mixed[0]), (xv, mixed[1]), STEPS).status()
    assert (status.label_gain_low <= 0).all()
    assert "0: the label is no help that can be seen" in status.attrs["missing"]
    assert status.state.values.tolist()[2] in ("memorizing", "memorized")


def test_duplicated_images_are_counted_and_memorized(data, tmp_path):
    """Ten images of class 1, thirty times each, are all that there is of it."""
    (x, y), held_out = data
    few = (y == 1).nonzero()[:10, 0]
    rows = torch.cat([(y != 1).nonzero()[:, 0], few.repeat(30)])
    status = digits.train(tmp_path, (x[rows], y[rows]), held_out, STEPS).status()
    assert "1: 290 train samples are the same as others, and are measured once" in status.attrs["missing"]
    assert status.state.values.tolist()[1] == "memorized"
    assert status.n_train_measured.values.tolist()[1] == 10
