"""One denoiser, written in every convention, is the same denoiser."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from diffclaims import denoisers  # noqa: E402
from diffclaims.errors import InvalidInput  # noqa: E402
from tests.denoisers import planted  # noqa: E402
from tests.denoisers.planted import ABAR, LEVELS, STEPS  # noqa: E402

MIXTURE = planted.Mixture()
POINTS, POINT_LABELS = MIXTURE.draw(12)
EXACT = {"mixture": MIXTURE, "points": planted.Empirical(POINTS, POINT_LABELS)}
CONVENTIONS = {
    "x0": lambda f, wrap: denoisers.from_x0(wrap(planted.x0(f))),
    "score": lambda f, wrap: denoisers.from_score(wrap(planted.score(f))),
    "edm": lambda f, wrap: denoisers.from_edm(wrap(planted.x0(f))),
    "edm raw": lambda f, wrap: denoisers.from_edm(wrap(planted.edm_raw(f)), raw=True),
    "eps": lambda f, wrap: denoisers.from_eps(wrap(planted.vp(f, "eps")), ABAR),
    "v": lambda f, wrap: denoisers.from_v(wrap(planted.vp(f, "v")), ABAR),
    "sample": lambda f, wrap: denoisers.from_sample(wrap(planted.vp(f, "sample")), ABAR),
    "flow to 1": lambda f, wrap: denoisers.from_flow(wrap(planted.flow(f, 1)), data_at=1),
    "flow to 0": lambda f, wrap: denoisers.from_flow(
        wrap(planted.flow(f, 0, scale=1000)), data_at=0, time_scale=1000
    ),
}
#: Error of x0 over 1 + sigma, and of sigma^2 score over 1 + sigma: rounding of the network's input and output.
TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-6, torch.bfloat16: 2**-6}


def noisy(n=60, seed=3):
    x, labels = MIXTURE.draw(n, seed)
    sigma = torch.from_numpy(np.resize(LEVELS, n))
    return x + sigma[:, None] * torch.from_numpy(np.random.default_rng(0).normal(size=x.shape)), sigma, labels


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("exact", EXACT)
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_all_conventions_are_one_denoiser(convention, exact, labelled):
    truth = EXACT[exact]
    x, sigma, labels = noisy()
    labels = labels if labelled else None
    denoiser = CONVENTIONS[convention](truth, lambda f: f)
    x0 = truth(x, sigma, labels)
    torch.testing.assert_close(denoiser.denoise(x, sigma, labels), x0, atol=1e-6, rtol=0)
    score = (x0 - x) / sigma[:, None] ** 2
    torch.testing.assert_close(denoiser.score(x, sigma, labels), score, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_networks_of_fewer_digits_differ_by_their_rounding(convention, dtype):
    x, sigma, labels = noisy()
    network = []
    denoiser = CONVENTIONS[convention](
        MIXTURE, lambda f: network.append(planted.Module(f, dtype)) or network[0]
    )
    x0 = MIXTURE(x, sigma, labels)
    given = x if dtype == torch.float64 else x.float()
    scale = (1 + sigma)[:, None]
    assert float(((denoiser.denoise(given, sigma, labels) - x0) / scale).abs().max()) < TOLERANCE[dtype]
    residual = denoiser.score(given, sigma, labels) * sigma[:, None] ** 2 - (x0 - x)
    assert float((residual / scale).abs().max()) < TOLERANCE[dtype]
    # Times keep their digits, whatever the network is made of.
    assert all(seen == dtype for seen, _, _ in network[0].seen)
    assert all(time.dtype in (torch.int64, torch.float32, torch.float64) for _, time, _ in network[0].seen)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_answers_come_in_the_type_of_the_question(dtype):
    x, sigma, labels = noisy(8)
    denoiser = CONVENTIONS["eps"](MIXTURE, lambda f: f)
    assert denoiser.denoise(x.to(dtype), sigma.to(dtype), labels).dtype == dtype
    assert denoiser.score(x.to(dtype), sigma.float(), labels).dtype == dtype


@pytest.mark.parametrize(
    ("predicts", "adapt"), [("eps", "from_eps"), ("v", "from_v"), ("sample", "from_sample")]
)
@pytest.mark.parametrize("exact", EXACT)
def test_between_two_steps_both_are_asked(predicts, adapt, exact):
    truth = EXACT[exact]
    x, labels = MIXTURE.draw(400, 5)
    denoiser = getattr(denoisers, adapt)(planted.vp(truth, predicts), ABAR)
    rng = np.random.default_rng(1)
    sigma = torch.from_numpy(np.exp(rng.uniform(np.log(denoiser.sigma_min), np.log(denoiser.sigma_max), 400)))
    y = x + sigma[:, None] * torch.from_numpy(rng.normal(size=x.shape))
    error = (denoiser.denoise(y, sigma, labels) - truth(y, sigma, labels)).abs() / torch.minimum(
        sigma, torch.ones(())
    )[:, None]
    # Linear in sigma in place of its square, the mixture's would be larger.
    assert 1e-6 < float(error.max()) < {"mixture": 2e-4, "points": 5e-3}[exact]
    # At the levels of steps one call is exact.
    assert denoiser.nearest(sigma).tolist() == denoiser.nearest(denoiser.nearest(sigma)).tolist()
    at = torch.from_numpy(denoiser.nearest(sigma))
    torch.testing.assert_close(denoiser.denoise(y, at, labels), truth(y, at, labels), atol=1e-6, rtol=0)


def test_a_level_is_one_number_a_vector_or_a_column():
    x, _, labels = noisy(6)
    denoiser = CONVENTIONS["v"](MIXTURE, lambda f: f)
    sigma = float(LEVELS[3])
    first = denoiser.denoise(x, sigma, labels)
    for same in (torch.tensor(sigma), torch.full((6,), sigma), torch.full((6, 1), sigma), np.full(6, sigma)):
        torch.testing.assert_close(denoiser.denoise(x, same, labels), first, atol=1e-6, rtol=0)
    # Numbers of Python's keep all their digits.
    exact = MIXTURE(x, torch.full((6,), 0.3, dtype=torch.float64), labels)
    torch.testing.assert_close(denoisers.from_x0(MIXTURE).denoise(x, 0.3, labels), exact, atol=1e-12, rtol=0)
    torch.testing.assert_close(denoiser(x, sigma, labels), first)


def test_images_are_as_vectors():
    image = planted.Mixture(shape=(1, 4, 4))
    x, labels = image.draw(5)
    y = x + 0.5 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    denoiser = denoisers.from_flow(planted.flow(image))
    truth = image(y, torch.full((5,), 0.5), labels)
    torch.testing.assert_close(denoiser.denoise(y, 0.5, labels), truth, atol=1e-6, rtol=0)
    channels_last = y.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(denoiser.denoise(channels_last, 0.5, labels), truth, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("scale", "offset"), [(2.0, -1.0), (0.5, 0.5)])
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_data_of_another_range_keep_their_units(convention, scale, offset):
    """A network on scale x + offset answers about x, with levels and scores of x."""
    x, sigma, labels = noisy(30)
    made = CONVENTIONS[convention](MIXTURE, lambda f: f)
    data = (x - offset) / scale
    options = denoisers.Options(scale=scale, offset=offset)
    made.network.options = options
    moved = denoisers.Denoiser(made.network, made.formula, made.clock)
    x0 = (MIXTURE(x, sigma, labels) - offset) / scale
    torch.testing.assert_close(moved.denoise(data, sigma / scale, labels), x0, atol=1e-6, rtol=0)
    score = (x0 - data) / (sigma[:, None] / scale) ** 2
    torch.testing.assert_close(moved.score(data, sigma / scale, labels), score, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d, x: d.denoise(x, 0.0), r"sigma = 0.0.*positive.*answer is x_noisy itself"),
        (lambda d, x: d.denoise(x, float("nan")), "sigma = nan"),
        (lambda d, x: d.denoise(x, [0.1, 0.2]), r"sigma.shape = \(2,\).*each of the 4 rows"),
        (lambda d, x: d.denoise(x[0], 0.1), r"x_noisy = \(16,\).*x\[None\]"),
        (lambda d, x: d.denoise(x.numpy(), 0.1), "x_noisy = 'ndarray'.*torch.as_tensor"),
        (lambda d, x: d.denoise(x, 0.1, [0, 1]), r"labels.shape = \(2,\).*each of the 4 rows"),
        (lambda d, x: d.denoise(x, 0.1, [0.5] * 4), "labels = torch.float32.*integers"),
        (lambda d, x: d.denoise(x, 0.1, [0, 1, 2, -1]), "labels = -1.*from 0.*None for no class"),
    ],
)
def test_input_that_does_not_fit(call, message):
    with pytest.raises(InvalidInput, match=message):
        call(CONVENTIONS["x0"](MIXTURE, lambda f: f), MIXTURE.draw(4)[0])


def test_levels_beyond_the_schedule_are_refused():
    denoiser = CONVENTIONS["eps"](MIXTURE, lambda f: f)
    x = MIXTURE.draw(4)[0]
    assert denoiser.sigma_min == pytest.approx(0.0100, rel=1e-3)
    assert denoiser.levels.shape == (1000,)
    assert denoiser.levels[list(STEPS)].tolist() == pytest.approx(LEVELS.tolist())
    for sigma in (0.001, 500.0):
        with pytest.raises(InvalidInput, match=rf"sigma = {sigma:g}.*lie in \[0.0100005, 157.4.*nearest"):
            denoiser.denoise(x, sigma)


@pytest.mark.parametrize(
    ("abar", "message"),
    [
        (1 - np.linspace(1e-4, 0.02, 1000), r"fall below 0.9 \(the last is 0.98\).*numpy.cumprod\(alphas\)"),
        (np.linspace(1e-4, 0.02, 1000), "decrease from step to step.*least to most noise"),
        (ABAR[::-1], "decrease from step to step"),
        (np.array([1.2, 0.5]), r"lie in \[0, 1\)"),
        (np.array([0.5]), "at least two"),
        (np.array([0.9, np.nan]), "be finite"),
    ],
)
def test_schedules_that_are_none(abar, message):
    with pytest.raises(InvalidInput, match=message):
        denoisers.from_v(planted.vp(MIXTURE, "v"), abar)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f: denoisers.from_x0(f, chanels_last=True), "did you mean 'channels_last'"),
        (lambda f: denoisers.from_x0(f, null="index"), "num_classes = None.*how many classes"),
        (lambda f: denoisers.from_x0(f, null="zeros", num_classes=3), "null = 'zeros'.*one_hot=True"),
        (lambda f: denoisers.from_x0(f, null="none"), "null = 'none'.*absent, index or zeros"),
        (lambda f: denoisers.from_x0(f, scale=0), "scale = 0.*positive"),
        (lambda f: denoisers.from_flow(f, data_at=2), "data_at = 2.*torchcfm has 1, diffusers 0"),
        (lambda f: denoisers.from_flow(f, velocity="x"), "velocity = 'x'.*noise - data"),
        (lambda f: denoisers.from_edm(f, raw=True, sigma_data=0), "sigma_data = 0.*positive"),
        (lambda f: denoisers.from_x0(3), "f = 3: f must be callable"),
    ],
)
def test_adapters_refuse_what_they_do_not_know(make, message):
    with pytest.raises(InvalidInput, match=message):
        make(MIXTURE)
