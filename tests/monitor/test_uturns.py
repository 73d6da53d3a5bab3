"""U-turns of denoisers whose return probabilities are known, and how the monitor measures them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

torch = pytest.importorskip("torch")

from diffclaims import GaussianMixture, InvalidInput, Monitor, denoisers, theory  # noqa: E402
from diffclaims.monitor import Record  # noqa: E402
from tests.monitor import training  # noqa: E402

D, SPREAD = 8, 0.5
MEAN = torch.full((D,), 0.6, dtype=torch.float64)
APART = float(2 * MEAN.norm())
WEIGHTS = {"rare": 0.2, "common": 0.8}


def draw(seed, n=300, weights=(0.2, 0.8)):
    rng = np.random.default_rng(seed)
    counts = np.round(n * np.array(weights)).astype(int)
    labels = np.repeat(["rare", "common"], counts)
    sign = np.where(labels == "rare", 1.0, -1.0)[:, None]
    return sign * MEAN.numpy() + SPREAD * rng.standard_normal((len(labels), D)), labels


def exact(weight=0.2):
    """Posterior mean of two Gaussians of one covariance, without labels."""

    def denoise(x, sigma):
        total = (SPREAD**2 + sigma.double() ** 2)[:, None]
        odds = 2 * (x.double() @ MEAN)[:, None] / total + np.log(weight / (1 - weight))
        mean = torch.tanh(odds / 2) * MEAN
        return (mean + SPREAD**2 / total * (x.double() - mean)).to(x.dtype)

    return denoise


def by_side(x):
    """The best classifier of equal weights."""
    return np.where(x.reshape(len(x), -1) @ MEAN.numpy() > 0, "rare", "common")


def watched(folder, f, uturns=by_side, seed=1, **options):
    monitor = Monitor(folder, train=draw(seed), held_out=draw(seed + 1), budget=1, uturns=uturns, **options)
    monitor.measure(0, denoisers.from_x0(f), samples=True)
    return monitor


@pytest.fixture(scope="module")
def of_exact(tmp_path_factory):
    return watched(tmp_path_factory.mktemp("exact"), exact()).uturns().isel(step=0)


def test_the_exact_denoiser_returns_as_the_closed_form_says(of_exact):
    mixture = GaussianMixture(
        [0.8, 0.2],
        [SPREAD**2] * 2,
        centroid_gram=0.36 * np.array([[1, -1], [-1, 1]]),
        classes=["common", "rare"],
    )
    times = 0.5 * np.log1p(of_exact.sigma.values**2)
    known = theory.speciation(mixture, times, n_dims=D)
    assert known.attrs["method"] == "closed form"
    off = (of_exact.return_probability.values - known.return_probability.values) / (
        of_exact.return_probability_stderr.values
    )
    assert np.abs(off).max() < 4
    assert of_exact.sizes["sigma"] >= 8
    assert of_exact.accuracy.min() > 0.95


def test_another_weight_is_seen(of_exact, tmp_path):
    """The control: a denoiser that takes both classes to be equal returns to the rare one more often."""
    other = watched(tmp_path, exact(0.5)).uturns().isel(step=0)
    gain = (other - of_exact).return_probability.sel({"class": "rare"}).max()
    assert gain > 4 * float(of_exact.return_probability_stderr.max())


def test_the_identity_returns_where_its_noise_does_not_reach(tmp_path):
    """Every step of the way back adds noise that nothing takes away: the sum is known, and so is the share."""
    found = watched(tmp_path, lambda x, sigma: x).uturns().isel(step=0)
    from diffclaims.monitor.sampling import uturn_grid
    from diffclaims.monitor.uturns import STEPS

    levels, lowest = found.sigma.values, Record(tmp_path).about["levels"][0]
    for level, share in zip(levels, found.return_probability.mean("class").values, strict=True):
        grid = uturn_grid(level, levels[-1], lowest, STEPS)
        added = (grid[1:] ** 2 * (grid[:-1] ** 2 - grid[1:] ** 2) / grid[:-1] ** 2).sum()
        expected = norm.cdf(APART / 2 / np.sqrt(SPREAD**2 + level**2 + added))
        assert share == pytest.approx(expected, abs=0.12)
    assert found.return_probability.isel(sigma=0).min() > 0.95


def test_a_denoiser_that_does_not_look_returns_by_the_weights(tmp_path):
    generator = torch.Generator().manual_seed(0)
    x, _ = draw(1)
    points = torch.from_numpy(x)

    def blind(y, sigma):
        return points[torch.randint(len(points), (len(y),), generator=generator)].to(y.dtype)

    found = watched(tmp_path, blind).uturns().isel(step=0).mean("sigma")
    for name, weight in WEIGHTS.items():
        error = np.sqrt(weight * (1 - weight) / (64 * 8))
        # The best classifier errs in 4.4 % of each class, which the weights turn into a few per cent.
        expected = weight + norm.cdf(-APART / 2 / SPREAD) * (1 - 2 * weight)
        assert float(found.return_probability.sel({"class": name})) == pytest.approx(expected, abs=4 * error)


def test_the_nearest_of_equally_many_training_samples_tells_the_class(tmp_path):
    """Among all of them the common class would be nearer to everything."""
    found = watched(tmp_path, exact(), uturns=True).uturns().isel(step=0)
    assert found.attrs["rule"] == "the nearest training sample"
    assert found.accuracy.min() > 0.85
    assert float(found.accuracy.sel({"class": "rare"}) - found.accuracy.sel({"class": "common"})) > -0.1


def test_raw_and_averaged_weights_have_the_same_noise(tmp_path):
    monitor = Monitor(tmp_path, train=draw(1), held_out=draw(2), budget=1, uturns=by_side)
    x0 = denoisers.from_x0(exact())
    state = torch.get_rng_state()
    monitor.measure(0, x0, ema=denoisers.from_x0(exact()), samples=True)
    monitor.measure(1, x0, ema=denoisers.from_x0(exact(0.5)), samples=True)
    assert torch.equal(state, torch.get_rng_state())
    raw, ema = monitor.uturns("raw"), monitor.uturns("ema")
    assert raw.isel(step=0).drop_vars("step").identical(ema.isel(step=0).drop_vars("step"))
    assert raw.isel(step=0).drop_vars("step").identical(raw.isel(step=1).drop_vars("step"))
    assert not raw.isel(step=1).identical(ema.isel(step=1))


def test_levels_are_the_same_for_every_seed(tmp_path):
    levels = [watched(tmp_path / str(s), exact(), seed=s).uturns().sigma.values for s in (1, 5)]
    common = np.intersect1d(*levels)
    assert len(common) >= 8


def test_they_come_with_samples_only_and_where_they_were_asked_for(tmp_path):
    monitor = Monitor(tmp_path / "a", train=draw(1), held_out=draw(2), budget=1, uturns=True)
    monitor.measure(0, denoisers.from_x0(exact()), samples=False)
    assert monitor.uturns().attrs["missing"] == "no U-turns were measured"
    assert not monitor.uturns().data_vars
    plain = Monitor(tmp_path / "b", train=draw(1), held_out=draw(2), budget=1)
    plain.measure(0, denoisers.from_x0(exact()), samples=True)
    assert "raw_uturns" not in plain.record.store.read(0).arrays


def test_a_network_that_must_be_told_the_class_cannot_turn(tmp_path):
    def told(x, sigma, labels):
        return x * (0.5 + 0 * labels[:, None])

    monitor = Monitor(tmp_path, train=draw(1), held_out=draw(2), budget=1, uturns=True)
    monitor.measure(0, denoisers.from_x0(told), samples=True)
    assert "cannot be asked without a class" in monitor.uturns().attrs["missing"]
    assert monitor.record.store.steps() == [0]


def test_without_held_out_samples_the_class_is_named(tmp_path):
    x, y = draw(2)
    held = x[y == "common"], y[y == "common"]
    monitor = Monitor(tmp_path, train=draw(1), held_out=held, budget=1, uturns=True)
    monitor.measure(0, denoisers.from_x0(exact()), samples=True)
    assert monitor.uturns().attrs["missing"] == "no held-out samples of rare"


@pytest.mark.parametrize(
    ("uturns", "message"),
    [
        ("yes", "uturns must be True, False or a function of samples"),
        (
            lambda x: x[:3, 0],
            r"uturns = '<answer of shape \(3,\)>': uturns must give one class for each of the",
        ),
        (lambda x: np.zeros(len(x), int), "must name classes of the training samples"),
    ],
)
def test_a_wrong_classifier_is_refused_and_nothing_is_stored(uturns, message, tmp_path):
    with pytest.raises(InvalidInput, match=message):
        watched(tmp_path, exact(), uturns=uturns)
    assert Record(tmp_path).store.steps() == []


def test_a_classifier_may_reject(tmp_path):
    """Ends without a class are left out of the shares, and counted."""

    def sure(x):
        side = x.reshape(len(x), -1) @ MEAN.numpy()
        return np.where(np.abs(side) < 1.0, "none", by_side(x))

    found = watched(tmp_path, exact(), uturns=sure).uturns().isel(step=0)
    assert 0 < float(found.rejected_share.max()) < 1
    np.testing.assert_allclose(found.transition.sum("to_class"), 1)


def test_a_killed_training_goes_on_with_the_same_turns(tmp_path):
    """Stopped between two measurements: the other process adds what the first would have added."""
    for folder, restart in (("whole", False), ("parts", True)):
        monitor = None
        for step in (0, 4):
            if monitor is None or restart:
                monitor = Monitor(
                    tmp_path / folder, train=draw(1), held_out=draw(2), budget=1, uturns=True, experiment="x"
                )
            monitor.measure(step, denoisers.from_x0(exact()), samples=True)
    assert Record(tmp_path / "whole").uturns().identical(Record(tmp_path / "parts").uturns())


def test_the_budget_counts_them(tmp_path):
    """What U-turns take is part of what samples cost, so that the next ones wait for it."""

    class Clock:
        now = 0.0

        def __call__(self):
            return self.now

    clock = Clock()

    def slow(x, sigma):
        clock.now += 1e-3 * len(x)
        return exact()(x, sigma)

    costs = []
    for uturns in (False, by_side):
        monitor = Monitor(
            tmp_path / str(bool(uturns)),
            train=draw(1),
            held_out=draw(2),
            budget=1,
            uturns=uturns,
            clock=clock,
        )
        monitor.measure(0, denoisers.from_x0(slow), samples=True)
        costs.append(monitor.record.store.read(0).info["seconds"]["samples"])
    assert costs[1] > 2 * costs[0]


def test_modes_of_modules_stay(tmp_path):
    net = training.Net()
    seen = []
    net.register_forward_hook(lambda m, *_: seen.append(m.training))
    monitor = Monitor(tmp_path, train=training.data(1), held_out=training.data(2), budget=1, uturns=True)
    monitor.measure(0, denoisers.from_x0(net), samples=True)
    assert net.training
    assert not any(seen)
    assert Record(tmp_path).about["n_parameters"] == sum(p.numel() for p in net.parameters())
