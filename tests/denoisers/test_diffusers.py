"""Models and schedulers of diffusers: by fakes of the same signatures everywhere, by the library where it is."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from diffclaims import denoisers  # noqa: E402
from diffclaims.errors import InvalidInput  # noqa: E402
from tests.denoisers import planted  # noqa: E402
from tests.denoisers.planted import ABAR  # noqa: E402

MIXTURE = planted.Mixture(shape=(1, 4, 4))
NAMES = {"epsilon": "eps", "v_prediction": "v", "sample": "sample"}
LIBRARY = pytest.mark.skipif(
    importlib.util.find_spec("diffusers") is None, reason="diffusers is not installed"
)
#: The library is itself warned by newer versions of others.
IGNORED = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


class Model(torch.nn.Module):
    """Called as UNet2DModel is; answers with an object that has `.sample`, or with a tuple."""

    def __init__(self, f, form="sample", classes=4):
        super().__init__()
        self.f, self.form, self.asked = f, form, []
        self.weight = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
        self.config = SimpleNamespace(num_class_embeds=classes, in_channels=1, sample_size=4)

    def forward(self, sample, timestep, class_labels=None, return_dict=True):
        self.asked.append(timestep)
        answer = self.f(sample, timestep, class_labels)
        return SimpleNamespace(sample=answer) if self.form == "sample" else (answer,)


def scheduler(prediction="epsilon", abar=ABAR, **config):
    made = SimpleNamespace(config=SimpleNamespace(prediction_type=prediction, **config))
    made.alphas_cumprod = torch.from_numpy(np.array(abar))
    return made


def flow_scheduler(shift=3.0, **config):
    return SimpleNamespace(config=SimpleNamespace(num_train_timesteps=1000, shift=shift, **config))


def question(sigma, n=12, mixture=MIXTURE):
    x, labels = mixture.draw(n, 4)
    noise = torch.from_numpy(np.random.default_rng(0).normal(size=x.shape))
    sigma = torch.full((n,), float(sigma), dtype=torch.float64)
    return x + sigma[:, None, None, None] * noise, sigma, labels


def close(denoiser, sigma):
    y, s, labels = question(sigma)
    return torch.allclose(denoiser.denoise(y, s, labels), MIXTURE(y, s, labels), atol=1e-6, rtol=0)


@pytest.mark.parametrize("form", ["sample", "tuple"])
@pytest.mark.parametrize("prediction", NAMES)
def test_a_scheduler_says_the_convention(prediction, form):
    model = Model(planted.vp(MIXTURE, NAMES[prediction]), form)
    denoiser = denoisers.from_diffusers(model, scheduler(prediction))
    assert denoiser.convention == NAMES[prediction]
    for level in denoiser.levels[[5, 400, 900]]:
        assert close(denoiser, level)
    pipeline = SimpleNamespace(unet=model, scheduler=scheduler(prediction))
    assert close(denoisers.from_diffusers(pipeline), denoiser.levels[400])


@pytest.mark.parametrize("config", [{}, {"invert_sigmas": True}, {"prediction_type": "flow_prediction"}])
def test_a_flow_says_its_time(config):
    inverted = "invert_sigmas" in config
    model = Model(planted.flow(MIXTURE, int(inverted), scale=1000))
    denoiser = denoisers.from_diffusers(model, flow_scheduler(**config))
    assert close(denoiser, 3.0)
    assert model.asked[0].tolist() == [250.0 if inverted else 750.0] * 12
    assert model.asked[0].dtype == torch.float64


@pytest.mark.parametrize("shift", [1.0, 3.0, 6.0])
def test_the_shift_of_a_flow_is_applied_never(shift):
    """It says at which times one samples, not what a time means; applied here it would be applied twice."""
    model = Model(planted.flow(MIXTURE, 0, scale=1000))
    assert close(denoisers.from_diffusers(model, flow_scheduler(shift)), 3.0)
    assert model.asked[0].tolist() == [750.0] * 12


def test_what_a_scheduler_does_to_sample_is_not_done():
    """Inputs are scaled once, by the convention: neither `scale_model_input` nor `init_noise_sigma` is used."""

    def never(*args):
        raise AssertionError("asked")

    made = scheduler("epsilon")
    made.scale_model_input, made.init_noise_sigma = never, 157.4
    made.config.clip_sample = True
    assert close(denoisers.from_diffusers(Model(planted.vp(MIXTURE, "eps")), made), planted.LEVELS[4])


def test_a_raw_network_of_edm():
    made = SimpleNamespace(config=SimpleNamespace(prediction_type="epsilon", sigma_data=0.5))
    made.precondition_outputs = None
    made.precondition_noise = lambda sigma: 0.25 * torch.log(sigma)
    assert close(denoisers.from_diffusers(Model(planted.edm_raw(MIXTURE)), made), 0.7)
    made.config.prediction_type = "v_prediction"
    negative = planted.edm_raw(MIXTURE)
    model = Model(lambda x, t, y=None: -negative(x, t, y))
    assert close(denoisers.from_diffusers(model, made), 0.7)


def test_further_keywords_go_along():
    class Conditional(torch.nn.Module):
        def forward(self, sample, timestep, encoder_hidden_states):
            assert encoder_hidden_states.shape == (len(sample), 5, 7)
            return (planted.vp(MIXTURE, "v")(sample, timestep),)

    text = {"encoder_hidden_states": torch.ones(1, 5, 7)}
    denoiser = denoisers.from_diffusers(Conditional(), scheduler("v_prediction"), arguments=text)
    y, s, labels = question(denoiser.levels[300])
    torch.testing.assert_close(denoiser.denoise(y, s), MIXTURE(y, s), atol=1e-6, rtol=0)
    with pytest.raises(InvalidInput, match="takes no labels"):
        denoiser.denoise(y, s, labels)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (None, "scheduler = None.*scheduler of the training"),
        (scheduler("epsilon", rescale_betas_zero_snr=True), "zero terminal SNR"),
        (scheduler("epsilon", np.append(ABAR[:-1], 0.0)), "zero terminal SNR"),
        (scheduler("score"), "scheduler = \"SimpleNamespace, prediction_type 'score'\".*from_x0"),
        (SimpleNamespace(config=SimpleNamespace()), "prediction_type None"),
    ],
)
def test_schedulers_that_say_no_convention(made, message):
    with pytest.raises(InvalidInput, match=message):
        denoisers.from_diffusers(Model(MIXTURE), made)


def test_classes_are_read_from_the_model():
    denoiser = denoisers.from_diffusers(Model(planted.vp(MIXTURE, "eps"), classes=3), scheduler())
    y, _, labels = question(1.0)
    with pytest.raises(InvalidInput, match=r"labels = 3.*from 0 to 2"):
        denoiser.denoise(y, denoiser.levels[500], labels + 1 + (labels == 1))
    transformer = Model(planted.vp(MIXTURE, "eps"), classes=None)
    transformer.config = SimpleNamespace(num_embeds_ada_norm=3, norm_type="ada_norm_zero")
    denoiser = denoisers.from_diffusers(transformer, scheduler())
    s = torch.full((12,), denoiser.levels[500])
    torch.testing.assert_close(denoiser.denoise(y, s), MIXTURE(y, s), atol=1e-6, rtol=0)


@pytest.fixture(scope="module")
def library():
    return pytest.importorskip("diffusers")


@IGNORED
@LIBRARY
@pytest.mark.parametrize("prediction", NAMES)
@pytest.mark.parametrize(
    "name",
    [
        "DDPMScheduler",
        "DDIMScheduler",
        "EulerDiscreteScheduler",
        "DPMSolverMultistepScheduler",
        "UniPCMultistepScheduler",
        "HeunDiscreteScheduler",
    ],
)
def test_real_schedulers(library, name, prediction):
    """Also after `set_timesteps`, which makes Euler's levels other numbers than those of the training."""
    made = getattr(library, name)(prediction_type=prediction)
    abar = made.alphas_cumprod.double().numpy()
    made.set_timesteps(20)
    denoiser = denoisers.from_diffusers(Model(planted.vp(MIXTURE, NAMES[prediction], abar)), made)
    for level in denoiser.levels[[5, 400, 999]]:
        assert close(denoiser, level)


@IGNORED
@LIBRARY
def test_the_real_x0_is_ours(library):
    """A step of the library's own sampler has the same estimate of x0."""
    for prediction, short in NAMES.items():
        made = library.DDPMScheduler(prediction_type=prediction, clip_sample=False)
        f = planted.vp(MIXTURE, short, made.alphas_cumprod.double().numpy())
        denoiser = denoisers.from_diffusers(Model(f), made)
        y, s, labels = question(denoiser.levels[600])
        x_t = y * float(made.alphas_cumprod[600]) ** 0.5
        step = made.step(f(x_t, torch.full((12,), 600), labels), 600, x_t)
        torch.testing.assert_close(
            denoiser.denoise(y, s, labels), step.pred_original_sample, atol=1e-5, rtol=1e-5
        )


@IGNORED
@LIBRARY
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_a_real_flow_is_shifted_never(library, shift):
    """`set_timesteps` shifts again what was shifted; noise level and time do not come from there."""
    made = library.FlowMatchEulerDiscreteScheduler(shift=shift)
    made.set_timesteps(20)
    model = Model(planted.flow(MIXTURE, 0, scale=1000))
    denoiser = denoisers.from_diffusers(model, made)
    assert close(denoiser, 3.0)
    assert model.asked[0].tolist() == [750.0] * 12
    # x0 from the library's noising at one of its own times.
    x, labels = MIXTURE.draw(12, 4)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    time = made.timesteps[8]
    x_t = made.scale_noise(x.float(), time[None].repeat(12), noise.float()).double()
    t = float(time) / 1000
    y, sigma = x_t / (1 - t), t / (1 - t)
    torch.testing.assert_close(y, x + sigma * noise, atol=1e-5, rtol=1e-5)
    assert float((denoiser.denoise(y, sigma, labels) - x).square().mean()) < float(x.var())


@IGNORED
@LIBRARY
@pytest.mark.parametrize("name", ["EDMEulerScheduler", "EDMDPMSolverMultistepScheduler"])
def test_real_preconditioning(library, name):
    denoiser = denoisers.from_diffusers(Model(planted.edm_raw(MIXTURE)), getattr(library, name)())
    assert close(denoiser, 0.7)


@IGNORED
@LIBRARY
def test_real_zero_terminal_snr(library):
    for name in ("DDPMScheduler", "EulerDiscreteScheduler"):
        with pytest.raises(InvalidInput, match="zero terminal SNR"):
            denoisers.from_diffusers(Model(MIXTURE), getattr(library, name)(rescale_betas_zero_snr=True))
        made = getattr(library, name)(rescale_betas_zero_snr=True, prediction_type="v_prediction")
        abar = made.alphas_cumprod.double().numpy()
        denoiser = denoisers.from_diffusers(Model(planted.vp(MIXTURE, "v", abar)), made)
        assert close(denoiser, denoiser.levels[500])


@IGNORED
@LIBRARY
def test_real_networks(library):
    """A network at random weights answers as it does alone, with and without classes."""
    torch.manual_seed(0)
    shared = {
        "sample_size": 8,
        "in_channels": 1,
        "out_channels": 1,
        "block_out_channels": (8, 8),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "down_block_types": ("DownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "UpBlock2D"),
    }
    made = library.DDPMScheduler()
    y, labels = torch.randn(6, 1, 8, 8), torch.tensor([0, 1, 2, 0, 1, 2])
    for classes in (None, 3):
        network = library.UNet2DModel(**shared, num_class_embeds=classes).eval()
        denoiser = denoisers.from_diffusers(network, made)
        given = None if classes is None else labels
        level = denoiser.levels[250]
        with torch.no_grad():
            eps = network(y / (1 + level**2) ** 0.5, 250, class_labels=given).sample
        torch.testing.assert_close(denoiser.denoise(y, level, given), y - level * eps, atol=1e-5, rtol=1e-5)
        if classes is None:
            with pytest.raises(InvalidInput, match="takes no labels"):
                denoiser.denoise(y, level, labels)
    half = library.UNet2DModel(**shared).to(torch.bfloat16)
    assert denoisers.from_diffusers(half, made).denoise(y, 1.0).dtype == torch.float32


@IGNORED
@LIBRARY
def test_a_real_transformer_has_a_variance_and_a_null_class(library):
    torch.manual_seed(0)
    network = library.DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=4,
        in_channels=2,
        out_channels=4,
        num_layers=1,
        sample_size=4,
        patch_size=2,
        num_embeds_ada_norm=5,
        norm_num_groups=2,
    ).eval()
    denoiser = denoisers.from_diffusers(network, library.DDIMScheduler())
    y = torch.randn(3, 2, 4, 4)
    level = denoiser.levels[250]
    with torch.no_grad():
        null = torch.full((3,), 5)
        eps = network(y / (1 + level**2) ** 0.5, torch.full((3,), 250), class_labels=null).sample[:, :2]
    torch.testing.assert_close(denoiser.denoise(y, level), y - level * eps, atol=1e-5, rtol=1e-5)
