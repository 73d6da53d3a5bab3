"""What goes wrong is said in one sentence: the value, the limit, the fix."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from diffclaims import DiffclaimsError, InvalidInput, Monitor, denoisers  # noqa: E402
from diffclaims.monitor import MonitorRefused, Record  # noqa: E402
from tests.denoisers import planted  # noqa: E402

MIXTURE = planted.Mixture()
TRAIN, HELD_OUT = MIXTURE.draw(90, seed=1), MIXTURE.draw(90, seed=2)
X0 = denoisers.from_x0(MIXTURE)
X, Y = TRAIN
XV, YV = HELD_OUT


def watched(folder, train=TRAIN, held_out=HELD_OUT, **options):
    return Monitor(folder, train=train, held_out=held_out, budget=1, **options)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"train": (X, Y[:-1])}, r"y of train = '<shape \(89,\)>'.*must hold one label for each of the 90"),
        ({"train": (X[:, 0], Y)}, r"x of train = .*shape \(90,\).*must hold samples of shape \(n, \.\.\.\)"),
        ({"held_out": (XV[:, :8], YV)}, r"samples of shape \(8,\).*shape of the training samples, \(16,\)"),
        ({"held_out": (XV, YV + 5)}, r"y of held_out = \[5, 6, 7\].*name classes of the training samples"),
        ({"held_out": TRAIN}, "held_out must hold none of the training samples"),
        ({"held_out": ((X * 255 + 3 - 3) / 255, Y)}, "held_out must hold none of the training samples"),
        ({"train": (X / 0, Y)}, r"x of train = '<sample \d+>'.*be finite"),
        ({"train": (X, Y + 0.5)}, "be integers or strings"),
        ({"budget": 0}, "budget must lie above 0 and at most at 1"),
        ({"budget": 5}, "budget must lie above 0 and at most at 1"),
        ({"budget": "much"}, "budget must lie above 0 and at most at 1"),
        ({"train": (np.ma.masked_greater(X.numpy(), 0), Y)}, "x of train must have none masked"),
        ({"held_out": (XV, np.ma.masked_equal(YV.numpy(), 1))}, "y of held_out must have none masked"),
        ({"seed": -1}, "seed must be at least 0"),
    ],
)
def test_what_cannot_be_watched(given, message, tmp_path):
    with pytest.raises(InvalidInput, match=message):
        Monitor(tmp_path, **{"train": TRAIN, "held_out": HELD_OUT, **given})


def test_a_file_is_no_folder(tmp_path):
    path = tmp_path / "run"
    path.write_text("here already")
    with pytest.raises(MonitorRefused, match="is a file: name a folder"):
        watched(path)
    assert path.read_text() == "here already"


def test_features_keep_one_row_a_sample(tmp_path):
    monitor = watched(tmp_path, features=lambda flat: flat[:3])
    with pytest.raises(InvalidInput, match=r"features = '<3 rows>': features must give \d+ rows"):
        monitor.measure(0, X0, samples=True)
    assert monitor.record.store.steps() == []


class Linear(torch.nn.Module):
    def __init__(self, out=16):
        super().__init__()
        self.linear = torch.nn.Linear(16, out)

    def forward(self, x, sigma):
        return self.linear(x)


class Far(planted.Mixture):
    """A network of data on another scale."""

    sigma_min, sigma_max = 100.0, 1000.0


@pytest.mark.parametrize(
    ("denoiser", "message"),
    [
        (MIXTURE, "denoiser = 'Mixture': denoiser must come from an adapter"),
        (denoisers.from_x0(Linear(8)), r"output of the model = \(\d+, 8\).*have the shape of x_noisy"),
        (denoisers.from_x0(lambda x, s: x / (s[:, None] > 0.5)), "be finite; it is not in .* first at sigma"),
        (denoisers.from_x0(MIXTURE, num_classes=2), r"labels = 2: labels must lie from 0 to 1"),
        (
            denoisers.from_edm(Far()),
            r"noise levels of the denoiser = .*must reach from about .* check scale= and offset=",
        ),
    ],
)
def test_denoisers_that_do_not_fit(denoiser, message, tmp_path):
    monitor = watched(tmp_path, conditional=True if "labels" in message else None)
    with pytest.raises(InvalidInput, match=message):
        monitor.measure(0, denoiser)
    assert monitor.record.store.steps() == []


@pytest.mark.parametrize("step", [-1, 0.5, "3"])
def test_steps_that_are_none(step, tmp_path):
    with pytest.raises(InvalidInput, match="step must be a whole number from 0 on"):
        watched(tmp_path).due(step)


def test_another_schedule_of_noise_is_refused(tmp_path):
    monitor = watched(tmp_path)
    monitor.measure(0, denoisers.from_eps(planted.vp(MIXTURE, "eps"), planted.ABAR))
    other = np.cumprod(1 - np.linspace(1e-3, 0.05, 500))
    with pytest.raises(
        InvalidInput, match="noise levels of the denoiser must include those of this training"
    ):
        monitor.measure(1, denoisers.from_eps(planted.vp(MIXTURE, "eps", other), other))


def test_nothing_was_measured_yet(tmp_path):
    for ask in (watched(tmp_path).status, watched(tmp_path).window, Record(tmp_path / "none").losses):
        with pytest.raises(DiffclaimsError, match="nothing was measured yet"):
            ask()


def test_weights_that_were_not_measured(tmp_path):
    monitor = watched(tmp_path)
    monitor.measure(0, X0)
    with pytest.raises(InvalidInput, match="weights = 'ema': weights must be one of raw"):
        monitor.status("ema")


def test_without_held_out_samples_it_is_said_what_is_missing(tmp_path):
    monitor = watched(tmp_path / "exact", held_out=None)
    monitor.measure(0, X0, samples=True)
    status = monitor.status()
    assert set(status.state.values) == {"unknown"}
    assert "neither the held-out loss nor the gap can be measured" in status.attrs["missing"]
    assert "no class has held-out samples" in monitor.window().reason
    assert np.isfinite(status.gap_ratio).all()
    by_heart = watched(tmp_path / "by heart", held_out=None)
    by_heart.measure(0, denoisers.from_x0(planted.Empirical(X, Y)), samples=True)
    assert set(by_heart.status().state.values) == {"memorized"}


def test_a_class_with_one_sample(tmp_path):
    """One training sample can be called memorized; one held-out sample leaves the state unknown."""
    order = torch.argsort(Y, stable=True)
    train = X[order][Y[order] > 0], Y[order][Y[order] > 0]
    train = torch.cat([X[Y == 0][:1], train[0]]), torch.cat([Y[Y == 0][:1], train[1]])
    empirical = watched(tmp_path / "a", train=train)
    empirical.measure(0, denoisers.from_x0(planted.Empirical(*train)), samples=True)
    status = empirical.status()
    assert status.n_train.values.tolist()[0] == 1
    assert status.state.values.tolist() == ["memorized"] * 3
    exact = watched(tmp_path / "b", train=train)
    exact.measure(0, X0, samples=True)
    assert exact.status().state.values.tolist() == ["learned"] * 3
    one = (YV != 1) | (torch.cumsum(YV == 1, 0) == 1)
    held = watched(tmp_path / "c", held_out=(XV[one], YV[one]))
    held.measure(0, X0)
    assert held.status().state.values.tolist() == ["learned", "unknown", "learned"]
    assert "1: 1 held-out and 39 training samples cannot tell" in held.status().attrs["missing"]


def test_samples_that_come_twice_or_are_held_out_as_well_are_counted_once(tmp_path):
    train = torch.cat([X, X]), torch.cat([Y, Y])
    held_out = torch.cat([XV, X[:5]]), torch.cat([YV, Y[:5]])
    monitor = watched(tmp_path, train=train, held_out=held_out)
    monitor.measure(0, X0)
    said = monitor.status().attrs["missing"]
    assert "train samples are the same as others" in said
    assert "held-out samples are training samples, and are left out" in said


@pytest.mark.parametrize("kind", ["numpy", "lists of labels", "strings", "bfloat16", "one class", "images"])
def test_data_of_many_kinds(kind, tmp_path):
    train, held_out, network = TRAIN, HELD_OUT, lambda x, s: 0.5 * x
    if kind == "numpy":
        train, held_out = ((x.numpy(), y.numpy()) for x, y in (train, held_out))
    elif kind == "lists of labels":
        train, held_out = ((x, y.tolist()) for x, y in (train, held_out))
    elif kind == "strings":
        names = np.array(["cat", "dog", "owl"])
        train, held_out = ((x, names[y]) for x, y in (train, held_out))
    elif kind == "bfloat16":
        train, held_out = ((x.bfloat16(), y) for x, y in (train, held_out))
    elif kind == "one class":
        train, held_out = X, XV
    else:
        train, held_out = ((x.reshape(-1, 1, 4, 4), y) for x, y in (train, held_out))
    monitor = watched(tmp_path, train=train, held_out=held_out)
    monitor.measure(0, denoisers.from_x0(network), samples=True)
    assert monitor.status().sizes["class"] == (1 if kind == "one class" else 3)


def test_held_out_samples_of_another_kind_are_told(tmp_path):
    """Labels of the training set are random, those of the held-out one are not: no gap would be memory."""
    mixed = Y[torch.randperm(len(Y), generator=torch.Generator().manual_seed(0))]
    monitor = watched(tmp_path / "other", train=(X, mixed))
    monitor.measure(0, X0)
    assert "0: training and held-out samples differ before any training" in monitor.status().attrs["missing"]
    alike = watched(tmp_path / "alike")
    alike.measure(0, X0)
    assert "differ" not in alike.status().attrs["missing"]
