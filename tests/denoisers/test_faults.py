"""What people get wrong with conventions: each fault is refused, avoided, or seen."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from diffclaims import denoisers  # noqa: E402
from diffclaims.errors import InvalidInput  # noqa: E402
from tests.denoisers import planted  # noqa: E402
from tests.denoisers.planted import ABAR  # noqa: E402

MIXTURE = planted.Mixture()
IMAGES = planted.Mixture(shape=(4, 2, 2))
X, LABELS = MIXTURE.draw(200)


def noisy(mixture=MIXTURE, sigma=1.0, n=20):
    x, labels = mixture.draw(n, 7)
    noise = torch.from_numpy(np.random.default_rng(2).normal(size=x.shape))
    return x + sigma * noise, torch.full((n,), sigma, dtype=torch.float64), labels


def close(denoiser, mixture=MIXTURE, sigma=1.0, given=lambda y: y):
    y, s, labels = noisy(mixture, sigma)
    return torch.allclose(
        denoiser.denoise(y, s, given(labels)), mixture(y, s, given(labels)), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("data_at", [0, 1])
@pytest.mark.parametrize("sign", [1, -1])
def test_two_directions_of_time_and_two_signs_of_a_flow(data_at, sign):
    network = planted.flow(MIXTURE, data_at, sign=sign)
    names = ["noise - data", "data - noise"]
    right = {"data_at": data_at, "velocity": names[data_at if sign == 1 else 1 - data_at]}
    assert close(denoisers.from_flow(network, **right))
    wrong = [{"data_at": d, "velocity": v} for d in (0, 1) for v in names if (d, v) != tuple(right.values())]
    for one in wrong:
        # At sigma = 1 both times are 1/2, so only the sign shows there.
        assert not close(denoisers.from_flow(network, **one), sigma=0.3)
    # The last is wrong in the sign alone, or in both.
    report = denoisers.check(denoisers.from_flow(network, **wrong[-1]), X, LABELS)
    assert not report.ok
    assert f"data_at={data_at}" in report.seems
    assert ("velocity" in report.seems) == (sign == -1)


def test_torchcfm_calls_its_networks_with_the_time_first():
    network = planted.flow(MIXTURE, 1)
    assert close(denoisers.from_flow(lambda t, x, y: network(x, t, y), data_at=1, time_first=True))


@pytest.mark.parametrize("scale", [999, 1000])
def test_a_time_that_is_scaled(scale):
    network = planted.flow(MIXTURE, 0, scale=scale)
    assert close(denoisers.from_flow(network, 0, time_scale=scale))
    assert not close(denoisers.from_flow(network, 0, time_scale=1999 - scale))
    report = denoisers.check(denoisers.from_flow(network, 0), X, LABELS)
    assert "from_flow(f, data_at=0, time_scale=" in report.seems
    told = vp_told_fractions(scale)
    assert close(denoisers.from_eps(told, ABAR, time_scale=1 / scale), sigma=float(MIXTURE_LEVEL))
    assert not close(denoisers.from_eps(told, ABAR), sigma=float(MIXTURE_LEVEL))


MIXTURE_LEVEL = np.sqrt((1 - ABAR) / ABAR)[300]


def vp_told_fractions(scale):
    """Of a network that is told step/scale, and rounds it to a step."""
    network = planted.vp(MIXTURE, "eps")
    return lambda x, t, y=None: network(x, (t.double() * scale).round().long().clamp(0, 999), y)


def test_a_table_of_integer_steps_fed_with_fractions():
    table = torch.nn.Embedding(1000, 16)

    def strict(x, t, y=None):
        return x + table(t)

    with pytest.raises(InvalidInput, match=r"take times in torch.float32.*integer steps needs from_eps"):
        denoisers.from_flow(strict).denoise(torch.ones(2, 16), 1.0)
    eps = planted.vp(MIXTURE, "eps")
    # A network that rounds is told 0 at every level below the last.
    silent = denoisers.from_flow(lambda x, t, y=None: eps(x, t.long(), y), data_at=0)
    report = denoisers.check(silent, X, LABELS)
    assert not report.ok
    assert report.seems.startswith("from_eps(f, the linear alphas_cumprod of DDPM")


def test_steps_in_half_precision_are_other_steps():
    assert int(torch.tensor(750).to(torch.bfloat16)) == 752
    network = planted.Module(planted.vp(MIXTURE, "eps"), torch.bfloat16)
    denoiser = denoisers.from_eps(network, ABAR)
    y, _, labels = noisy()
    level = denoiser.levels[750]
    denoiser.denoise(y.to(torch.bfloat16), level, labels)
    denoiser.denoise(y.float(), torch.full((20,), level, dtype=torch.float32), labels)
    assert [time.tolist() for _, time, _ in network.seen] == [[750] * 20] * 2
    flow = planted.Module(planted.flow(MIXTURE, 0, scale=1000), torch.bfloat16)
    denoisers.from_flow(flow, 0, time_scale=1000).denoise(y.to(torch.bfloat16), 3.0, labels)
    assert flow.seen[0][1].tolist() == [750.0] * 20


def test_levels_are_looked_up_by_distance_not_by_equality():
    """A level in float32 equals none of the schedule's, and is that step all the same: one call."""
    network = planted.Module(planted.vp(MIXTURE, "v"))
    denoiser = denoisers.from_v(network, ABAR)
    rounded = torch.from_numpy(denoiser.levels).float()
    unequal = np.flatnonzero(rounded.double().numpy() != denoiser.levels)
    assert len(unequal) > 900
    y, _, _ = noisy(n=len(unequal))
    denoiser.denoise(y, rounded[unequal])
    assert len(network.seen) == 1
    assert network.seen[0][1].tolist() == unequal.tolist()


def test_edm_is_told_a_quarter_of_the_logarithm():
    network = planted.Module(planted.edm_raw(MIXTURE))
    assert close(denoisers.from_edm(network, raw=True))
    assert network.seen[0][1].tolist() == [0.0] * 20
    assert not close(denoisers.from_edm(network))
    report = denoisers.check(denoisers.from_edm(network), X, LABELS)
    assert report.seems == "from_edm(f, raw=True, sigma_data=0.5)"


def test_sigma_data_is_that_of_the_training():
    raw = planted.edm_raw(MIXTURE, d=1.0)
    assert close(denoisers.from_edm(raw, raw=True, sigma_data=1.0))
    assert not close(denoisers.from_edm(raw, raw=True))
    assert (
        denoisers.check(denoisers.from_edm(raw, raw=True), X, LABELS).seems
        == "from_edm(f, raw=True, sigma_data=1)"
    )


@pytest.mark.parametrize("kind", ["edm", "eps"])
def test_data_in_0_1_for_a_network_of_data_in_minus_1_1(kind):
    unit = (X - X.min()) / (X.max() - X.min())

    class Symmetric(planted.Mixture):
        """The same classes on 2 x - 1, x in [0, 1]."""

        def __init__(self):
            super().__init__()
            stretch = 2 / float(X.max() - X.min())
            self.means, self.scales = (self.means - X.min()) * stretch - 1, self.scales * stretch

    exact = Symmetric()

    def adapt(**options):
        if kind == "edm":
            return denoisers.from_edm(exact, **options)
        return denoisers.from_eps(planted.vp(exact, "eps"), ABAR, **options)

    report = denoisers.check(adapt(), unit, LABELS)
    assert report.seems == "the same adapter with scale=2, offset=-1"
    (scale,) = [a for a in report.answers if a.question.startswith("the scale")]
    assert not scale.passed
    assert "data in [0, 1]" in scale.found
    assert denoisers.check(adapt(scale=2, offset=-1), unit, LABELS).ok


@pytest.mark.parametrize("adapt", ["from_eps", "from_v", "from_sample"])
def test_of_a_learned_variance_the_mean_is_taken(adapt):
    predicts = adapt.removeprefix("from_")
    network = planted.vp(IMAGES, predicts)

    def learned(x, t, y=None):
        return torch.cat([network(x, t, y), torch.full_like(x, 7.0)], dim=1)

    assert close(getattr(denoisers, adapt)(learned, ABAR), IMAGES, sigma=float(MIXTURE_LEVEL))
    with pytest.raises(InvalidInput, match=r"output of the model = \(20, 8, 2, 2\).*\(20, 4, 2, 2\)"):
        close(denoisers.from_x0(lambda x, s, y=None: torch.cat([x, x], dim=1)), IMAGES)


def test_eps_is_recomputed_after_x0_was_clipped():
    y, s, labels = noisy()
    denoiser = denoisers.from_eps(planted.vp(MIXTURE, "eps"), ABAR, clip=1.0)
    sigma = torch.full_like(s, MIXTURE_LEVEL)
    free, clipped = MIXTURE(y, sigma, labels), denoiser.denoise(y, sigma, labels)
    assert float(free.abs().max()) > 1.5
    torch.testing.assert_close(clipped, free.clamp(-1, 1), atol=1e-6, rtol=0)
    torch.testing.assert_close(denoiser.score(y, sigma, labels) * MIXTURE_LEVEL**2, clipped - y)


def test_zero_terminal_snr_is_refused_for_eps_only():
    root = np.sqrt(ABAR)
    zero = ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2
    assert zero[-1] == 0
    with pytest.raises(InvalidInput, match=r"alphas_cumprod\[-1\] = 0.0.*infinite.*from_v"):
        denoisers.from_eps(planted.vp(MIXTURE, "eps", zero), zero)
    for adapt in ("from_v", "from_sample"):
        network = planted.vp(MIXTURE, adapt.removeprefix("from_"), zero)
        denoiser = getattr(denoisers, adapt)(network, zero)
        assert len(denoiser.levels) == 999
        assert close(denoiser, sigma=float(denoiser.levels[700]))
    cosine = np.cos((np.arange(1001) / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2
    denoisers.from_eps(MIXTURE, np.cumprod(1 - np.minimum(1 - cosine[1:] / cosine[:-1], 0.999)))


def test_ignored_labels_are_seen():
    deaf = denoisers.from_x0(lambda x, sigma, labels: MIXTURE(x, sigma))
    report = denoisers.check(deaf, X, LABELS)
    (answer,) = [a for a in report.answers if a.question == "the label matters"]
    assert answer.passed is False
    assert "labels are ignored" in answer.fix
    swapped = denoisers.from_x0(lambda x, sigma, labels: MIXTURE(x, sigma, (labels + 1) % 3))
    (answer,) = [a for a in denoisers.check(swapped, X, LABELS).answers if a.question == "the label matters"]
    assert answer.passed is False
    assert "right label" in answer.found
    with pytest.raises(
        InvalidInput, match=r"labels = tensor.*takes no labels; give a function f\(x, time, labels\)"
    ):
        close(denoisers.from_x0(lambda x, sigma: MIXTURE(x, sigma)))


@pytest.mark.parametrize("null", ["index", "zeros", "absent"])
def test_three_ways_of_no_class(null):
    def network(x, sigma, labels):
        if null == "absent":
            assert labels is None or labels.dtype == torch.int64
            return MIXTURE(x, sigma, labels)
        if null == "index":
            assert labels.dtype == torch.int64
            return MIXTURE(x, sigma, labels)
        assert labels.shape == (len(x), 3)
        assert labels.dtype == x.dtype
        none = labels.sum(dim=1) == 0
        return MIXTURE(x, sigma, torch.where(none, 3, labels.argmax(dim=1)))

    denoiser = denoisers.from_x0(network, num_classes=3, null=null, one_hot=null == "zeros")
    assert close(denoiser)
    assert close(denoiser, given=lambda labels: None)
    y, s, labels = noisy()
    labels = labels.clone()
    labels[:5] = 3
    if null == "index":
        torch.testing.assert_close(denoiser.denoise(y, s, labels), MIXTURE(y, s, labels))
    else:
        with pytest.raises(InvalidInput, match=r"labels = 3.*from 0 to 2.*None for no class"):
            denoiser.denoise(y, s, labels)


def test_networks_of_edm_take_one_hot_labels():
    class Preconditioned(planted.Module):
        label_dim, sigma_min, sigma_max = 3, 0.002, 80.0

        def forward(self, x, sigma, class_labels=None, force_fp32=False):
            assert class_labels.dtype == x.dtype
            none = class_labels.sum(dim=1) == 0
            return MIXTURE(x, sigma, torch.where(none, 3, class_labels.argmax(dim=1)))

    denoiser = denoisers.from_edm(Preconditioned(None))
    assert close(denoiser)
    assert close(denoiser, given=lambda labels: None)
    with pytest.raises(InvalidInput, match=r"sigma = 90.0.*\[0.002, 80\]"):
        close(denoiser, sigma=90.0)


@pytest.mark.parametrize("form", ["sample", "tuple", "list"])
def test_answers_in_a_box_are_taken_out(form):
    class Box:
        def __init__(self, sample):
            self.sample = sample

    wrap = {"sample": Box, "tuple": lambda a: (a, None), "list": lambda a: [a]}[form]
    assert close(denoisers.from_x0(lambda x, s, y=None: wrap(MIXTURE(x, s, y))))
    with pytest.raises(InvalidInput, match=r"output of the model = 'dict'.*\.sample"):
        close(denoisers.from_x0(lambda x, s, y=None: {"x0": MIXTURE(x, s, y)}))


def test_channels_last():
    def network(x, sigma, labels=None):
        assert x.shape[1:] == (2, 2, 4)
        return IMAGES(x.movedim(-1, 1), sigma, labels).movedim(1, -1)

    assert close(denoisers.from_x0(network, channels_last=True), IMAGES)
    with pytest.raises(InvalidInput, match=r"\(20, 2, 2, 4\).*channels_last=True"):
        close(denoisers.from_x0(lambda x, s, y=None: IMAGES(x, s, y).movedim(1, -1)), IMAGES)


def test_half_precision_is_for_cuda():
    y, s, labels = noisy()
    network = planted.Module(planted.x0(MIXTURE), torch.float16)
    with pytest.raises(InvalidInput, match=r"dtype = torch.float16.*float32 or bfloat16.*model.float\(\)"):
        denoisers.from_x0(network).denoise(y, s, labels)
    # x alone may be in half precision: arithmetic is not.
    x0 = denoisers.from_x0(MIXTURE).denoise(y.half(), s, labels)
    assert x0.dtype == torch.float16
    torch.testing.assert_close(x0.double(), MIXTURE(y, s, labels), atol=0.01, rtol=0)


def test_a_network_on_another_device():
    y, s, labels = noisy()
    network = planted.Module(planted.x0(MIXTURE), device="meta")
    with pytest.raises(InvalidInput, match=r"x_noisy.device = 'cpu'.*network, meta.*x_noisy.to\('meta'\)"):
        denoisers.from_x0(network).denoise(y, s, labels)
    # Behind a function it is not seen before the call.
    layer = torch.nn.Linear(16, 16, device="meta", dtype=torch.float64)
    with pytest.raises(InvalidInput, match=r"model = 'function'.*device of x_noisy, cpu; move one"):
        denoisers.from_x0(lambda x, s, labels=None: layer(x)).denoise(y, s)
    with pytest.raises(
        InvalidInput, match=r"output of the model = 'meta'.*device of x_noisy, cpu.*x_noisy.to"
    ):
        denoisers.from_x0(lambda x, s, labels=None: x.to("meta")).denoise(y, s)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_on_a_gpu_answers_stay_there(dtype):
    layer = torch.nn.Linear(16, 16, device="cuda", dtype=dtype)

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x, step, labels):
            assert (step.device, labels.device) == (x.device, x.device)
            return self.layer(x)

    denoiser = denoisers.from_eps(Network(), ABAR)
    x0 = denoiser.denoise(torch.randn(4, 16, device="cuda"), [0.3, 0.5, 1.0, 2.0], [0, 1, 2, 0])
    assert (x0.device.type, x0.dtype) == ("cuda", torch.float32)
    with pytest.raises(InvalidInput, match=r"x_noisy.device = 'cpu'.*x_noisy.to"):
        denoiser.denoise(torch.randn(4, 16), 0.5)


def test_types_that_do_not_meet_are_explained():
    layer = torch.nn.Linear(17, 16, dtype=torch.bfloat16)

    class Concatenates(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x, t):
            return self.layer(torch.cat([x, t[:, None]], dim=1))

    with pytest.raises(InvalidInput, match=r"model = 'Concatenates'.*never rounded to half precision"):
        denoisers.from_flow(Concatenates()).denoise(torch.ones(2, 16), 1.0)


def test_an_answer_that_is_not_finite_at_one_level():
    def breaks(x, t, labels=None):
        answer = planted.vp(MIXTURE, "eps")(x, t, labels)
        answer[t == 500] = torch.nan
        return answer

    denoiser = denoisers.from_eps(breaks, ABAR)
    y, s, labels = noisy()
    s = torch.from_numpy(denoiser.levels[np.resize([100, 500], 20)])
    with pytest.raises(InvalidInput, match=r"not in 10 of 20 rows, first at sigma = 3.4.* \(time 500\)"):
        denoiser.denoise(y, s, labels)
    denoiser.denoise(y[s < 3], s[s < 3], labels[s < 3])


def test_errors_of_the_network_itself_are_left_alone():
    def broken(x, sigma, labels=None):
        raise RuntimeError("my own")

    with pytest.raises(RuntimeError, match="my own"):
        denoisers.from_x0(broken).denoise(X, 1.0)


def test_no_gradients_and_no_change_of_mode():
    network = planted.Module(lambda x, s, y=None: x / (1 + s[:, None] ** 2)).train()
    network.f = lambda x, s, y=None: network.weight * x
    assert not denoisers.from_x0(network).denoise(X, 1.0).requires_grad
    assert network.training
