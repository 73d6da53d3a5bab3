"""What a training says about itself is checked, stored where it is given, and read again."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from diffclaims import GaussianMixture, InvalidInput, Monitor, denoisers  # noqa: E402
from diffclaims.monitor import MonitorRefused, Record  # noqa: E402
from diffclaims.runs.moments import experiment_of  # noqa: E402

RNG = np.random.default_rng(0)
Y = np.repeat(["a", "b"], [60, 40])
X = RNG.standard_normal((100, 5)) * np.array([3.0, 1.0, 1.0, 0.5, 0.5]) + 2.0 * (Y == "a")[:, None]
HELD_OUT = X + 0.1, Y


def watched(folder, **said):
    monitor = Monitor(folder, train=(X, Y), held_out=HELD_OUT, budget=1, **said)
    monitor.measure(0, denoisers.from_x0(lambda x, sigma: 0.5 * x), samples=False)
    return monitor


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"experiment": " "}, "experiment must be a name"),
        ({"experiment": 3}, "experiment must be text or None"),
        ({"training_seed": -1}, "training_seed = -1: training_seed must be a whole number from 0 on"),
        ({"training_seed": 0.5}, "training_seed = 0.5: training_seed must be an integer or None"),
        ({"most": 1}, "most = 1: most must be at least 2"),
        ({"most": 16.5}, "most must be at least 2"),
        ({"class_weights": {"a": 1}}, r"must hold one positive number for each of the classes \['a', 'b'\]"),
        ({"class_weights": [1, 0]}, "must hold one positive number"),
        ({"class_weights": [1, 1, 1]}, "must hold one positive number"),
        ({"class_weights": "much"}, "must hold one positive number"),
        ({"class_weights": [1, np.nan]}, "must hold one positive number"),
    ],
)
def test_what_cannot_be_said(said, message, tmp_path):
    with pytest.raises(InvalidInput, match=message):
        Monitor(tmp_path, train=(X, Y), **said)
    assert not list(tmp_path.iterdir())


def test_what_was_said_is_stored_and_another_is_refused(tmp_path):
    watched(tmp_path, experiment="Größe", training_seed=np.int64(3), class_weights={"b": 3, "a": 1})
    about = Record(tmp_path).about
    assert (about["experiment"], about["training_seed"], about["class_weights"]) == ("Größe", 3, [0.25, 0.75])
    for changed in ({"experiment": "other"}, {"training_seed": 4}, {"class_weights": [1, 1]}):
        same = {"experiment": "Größe", "training_seed": 3, "class_weights": [0.25, 0.75]}
        with pytest.raises(MonitorRefused, match=f"holds another training .{next(iter(changed))}"):
            Monitor(tmp_path, train=(X, Y), held_out=HELD_OUT, **{**same, **changed})


def test_fewer_samples_are_measured_if_asked(tmp_path):
    pairs = []

    def count(x, sigma):
        pairs.append(len(x))
        return 0.5 * x

    for most in (128, 16):
        pairs.clear()
        monitor = Monitor(tmp_path / str(most), train=(X, Y), held_out=HELD_OUT, budget=1, most=most)
        monitor.measure(0, denoisers.from_x0(count), samples=False)
        status = monitor.status()
        assert status.n_train_measured.values.tolist() == [min(most, 60), min(most, 40)]
        assert status.n_held_out_measured.values.tolist() == [min(most, 60), min(most, 40)]
        # 60 samples have two draws of noise, 40 have three; 8 levels; and eight inputs of the trace beside.
        assert sum(pairs) - 8 == 8 * {128: 2 * (60 * 2 + 40 * 3), 16: 4 * 16}[most]
    with pytest.raises(MonitorRefused, match=r"holds another training .chosen"):
        Monitor(tmp_path / "16", train=(X, Y), held_out=HELD_OUT)


def test_without_a_word_nothing_is_stored_and_a_folder_of_before_goes_on(tmp_path):
    watched(tmp_path)
    about = Record(tmp_path).about
    assert not {"experiment", "training_seed", "class_weights"} & set(about)
    Monitor(tmp_path, train=(X, Y), held_out=HELD_OUT)


def test_moments_are_those_of_the_training_samples(tmp_path):
    """As `GaussianMixture.from_samples` has them, about the midpoint of the centroids."""
    watched(tmp_path, experiment="x", training_seed=0)
    found = experiment_of([Record(tmp_path)], [0, 1], [0.6, 0.4], "x")
    means = [X[c == Y].mean(axis=0) for c in ("a", "b")]
    known = GaussianMixture.from_samples(X - np.mean(means, axis=0), Y)
    np.testing.assert_allclose(found.mixture.class_variance, known.class_variance, rtol=1e-5)
    np.testing.assert_allclose(found.mixture.effective_dimension, known.effective_dimension, rtol=1e-5)
    offset = np.diag(found.mixture.centroid_gram) / (np.square(means[0] - means[1]).mean() / 4)
    np.testing.assert_allclose(offset, 1, rtol=1e-5)
    assert found.mixture.classes == ("a", "b")
    assert found.model.psi_n == 100 / 5


def test_few_samples_keep_the_variance_but_no_directions(tmp_path):
    keep = np.r_[:60, 96:100]
    monitor = Monitor(tmp_path, train=(X[keep], Y[keep]), held_out=HELD_OUT, budget=1)
    monitor.measure(0, denoisers.from_x0(lambda x, sigma: 0.5 * x), samples=False)
    found = experiment_of([Record(tmp_path)], [0, 1], [0.9, 0.1], "x").mixture
    expected = [X[keep][Y[keep] == c].var(axis=0, ddof=1).mean() for c in ("a", "b")]
    np.testing.assert_allclose(found.class_variance, expected, rtol=1e-5)
    assert found.n_types == 1
