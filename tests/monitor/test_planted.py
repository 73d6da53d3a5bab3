"""Models whose state is known: in every convention, told the class and not."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from diffclaims import Monitor, denoisers  # noqa: E402
from tests.denoisers import planted  # noqa: E402
from tests.denoisers.test_conventions import CONVENTIONS  # noqa: E402
from tests.monitor import training  # noqa: E402

MIXTURE = planted.Mixture()
TRAIN, HELD_OUT = MIXTURE.draw(200, seed=1), MIXTURE.draw(200, seed=2)
CENTRE = TRAIN[0].mean(dim=0)
MEANS = torch.stack([TRAIN[0][TRAIN[1] == k].mean(dim=0) for k in range(3)])


def constant(x, sigma, labels=None):
    return CENTRE.expand_as(x).to(x.dtype)


def class_means(x, sigma, labels):
    return MEANS[labels].to(x.dtype)


def half(x, sigma, labels=None):
    """It has learned every other training sample by heart."""
    return planted.Empirical(TRAIN[0][::2], TRAIN[1][::2])(x, sigma, labels)


class Wide(planted.Empirical):
    """The posterior mean where every training sample is the centre of a Gaussian."""

    def __init__(self, width, points, labels):
        super().__init__(points, labels)
        self.width = width

    def __call__(self, x, sigma, labels=None):
        total = (sigma.double() ** 2 + self.width**2).sqrt()
        near = super().__call__(x.double(), total, labels)
        share = planted.col(self.width**2 / total**2, near)
        return (near + share * (x.double() - near)).to(x.dtype)


def untold(f):
    return lambda x, sigma: f(x, sigma)


PLANTED = {
    "exact": (MIXTURE, "learned"),
    "exact, untold": (untold(MIXTURE), "learned"),
    "empirical": (planted.Empirical(*TRAIN), "memorized"),
    "empirical, untold": (untold(planted.Empirical(*TRAIN)), "memorized"),
    "mean": (constant, "not learned"),
    "class means": (class_means, "not learned"),
    "input": (lambda x, sigma, labels=None: x, "not learned"),
    "half of the training set": (half, "memorized"),
    "narrow Gaussians": (Wide(0.05, *TRAIN), "memorized"),
}


def watched(folder, f, convention="x0", train=TRAIN, held_out=HELD_OUT, **options):
    monitor = Monitor(folder, train=train, held_out=held_out, budget=1, **options)
    monitor.measure(0, CONVENTIONS[convention](f, lambda g: g), samples=True)
    return monitor


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_model_is_named(name, tmp_path):
    f, state = PLANTED[name]
    adapt = denoisers.from_x0
    monitor = Monitor(tmp_path, train=TRAIN, held_out=HELD_OUT, budget=1)
    monitor.measure(0, adapt(f), samples=True)
    assert monitor.status().state.values.tolist() == [state] * 3


# A constant answer is asked in one convention: the others are told apart by answers that depend on the input.
@pytest.mark.parametrize(
    ("name", "convention"),
    [
        *((name, c) for name in ("exact", "empirical") for c in CONVENTIONS if c != "x0"),
        ("mean", "eps"),
        *(pytest.param("mean", c, marks=pytest.mark.slow) for c in CONVENTIONS if c not in ("x0", "eps")),
    ],
)
def test_in_every_convention(name, convention, tmp_path):
    f, state = PLANTED[name]
    status = watched(tmp_path, f, convention).status()
    assert status.state.values.tolist() == [state] * 3
    assert status.learned.values.tolist() == [name == "exact"] * 3


def test_one_class_is_memorized_and_another_is_not(tmp_path):
    empirical = planted.Empirical(*TRAIN)

    def both(x, sigma, labels):
        return torch.where((labels == 1)[:, None], empirical(x, sigma, labels), MIXTURE(x, sigma, labels))

    monitor = watched(tmp_path, both)
    assert monitor.status().state.values.tolist() == ["learned", "memorized", "learned"]
    window = monitor.window()
    assert not window.open
    assert "1 is being memorized from the start" in window.reason


def few_of_the_first(f, places):
    """Training samples, one of class 0, 60 of 1, 15 of 2, and a denoiser that is told the class so many places on."""
    x, y = TRAIN
    rows = torch.cat([(y == k).nonzero()[:n, 0] for k, n in enumerate((1, 60, 15))])
    return (x[rows], y[rows]), lambda x, sigma, labels: f(x, sigma, (labels + places) % 3)


def test_wrong_labels_that_lead_to_a_class_of_one_sample_make_no_copies(tmp_path):
    """Whatever is near the only sample of a class is nearest to it by far, held out or generated."""
    train, wrong = few_of_the_first(MIXTURE, 1)
    status = watched(tmp_path, wrong, train=train).status()
    assert float(status.gap_ratio[2]) > 0.5
    assert not status.state.isin(["memorizing", "memorized"]).any()
    assert status.attrs["missing"].count("the label is no help") == 3


def test_copies_of_the_samples_of_another_class_are_copies(tmp_path):
    """What class 0 is answered are samples of class 1: those held out of 1 say what is expected, not its own."""
    train, _ = few_of_the_first(MIXTURE, 0)
    _, wrong = few_of_the_first(planted.Empirical(*train), 1)
    status = watched(tmp_path, wrong, train=train).status()
    assert status.state.values.tolist()[:2] == ["memorized"] * 2
    assert (status.gap_ratio_null[:2] < 0.1).all()


def test_noise_of_the_answer_is_no_memory(tmp_path):
    def noisy(x, sigma, labels=None):
        return MIXTURE(x, sigma, labels) + 0.3 * torch.randn_like(x)

    assert set(watched(tmp_path, noisy).status().state.values) <= {"learned", "not learned"}


def test_near_duplicates_hide_nothing(tmp_path):
    x = torch.cat([TRAIN[0], TRAIN[0] + 1e-3 * torch.randn(TRAIN[0].shape, dtype=torch.float64)])
    train = x, torch.cat([TRAIN[1], TRAIN[1]])
    status = watched(tmp_path, planted.Empirical(*train), train=train).status()
    assert status.state.values.tolist() == ["memorized"] * 3
    assert (status.gap_ratio > 0.9).all()


def test_the_false_alarms_are_as_rare_as_stated(tmp_path):
    """The exact model, with other samples each time: 3 of 60 classes would be called memorizing at 5 % each."""
    states = []
    for seed in range(20):
        train, held_out = MIXTURE.draw(40, seed=100 + seed), MIXTURE.draw(40, seed=200 + seed)
        monitor = Monitor(tmp_path / str(seed), train=train, held_out=held_out, budget=1)
        monitor.measure(0, denoisers.from_x0(MIXTURE), samples=False)
        states += monitor.status().state.values.tolist()
    assert np.isin(states, ["memorizing", "memorized"]).sum() <= 3


def test_samples_that_lie_together_are_no_copies(tmp_path):
    """Those of an untrained network: near a training sample by chance, they all are at once."""
    train, held_out = training.data(1), training.data(2)
    states, shares = [], []
    for seed in range(20):
        torch.manual_seed(seed)
        monitor = Monitor(tmp_path / str(seed), train=train, held_out=held_out, budget=1)
        monitor.measure(0, denoisers.from_x0(training.Net()), samples=True)
        status = monitor.status()
        states += status.state.values.tolist()
        shares.append(float(np.nanmax(status.gap_ratio.values)))
    assert max(shares) > 0.9
    assert np.isin(states, ["memorizing", "memorized"]).sum() <= 2
