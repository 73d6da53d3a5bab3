"""One optimizer step, however it is computed: the same numbers, the same saved state."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
import torch

from diffclaims.unet.config import RunConfig
from diffclaims.unet.model import device as devices
from diffclaims.unet.model.options import Compute
from diffclaims.unet.model.stepper import WARM_UP, CapturedStep, Stepper
from tests.unet.synthetic import TINY

pytestmark = pytest.mark.usefixtures("one_thread")
CONFIG = RunConfig.of("tiny", **{**TINY, "warmup": 8})
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture(scope="module")
def images():
    return np.tanh(np.random.default_rng(0).normal(size=(20, 1, 14, 14))).astype(np.float32)


class FakeCapture:
    """Stands in for a CUDA graph on a CPU: computes nothing when captured, reads its inputs when replayed."""

    def __init__(self):
        self.captures = self.replays = 0

    def __call__(self, body):
        self.captures += 1
        result = torch.full((), float("nan"))

        def replay():
            self.replays += 1
            result.copy_(body())

        return replay, result


def take(stepper, steps):
    return [float(stepper(s)) for s in steps]


def weights(stepper):
    return torch.cat([p.detach().flatten().cpu() for p in stepper.denoiser.parameters()])


def test_a_captured_step_copies_its_inputs_and_is_captured_once():
    seen = []
    fake = FakeCapture()
    step = CapturedStep(lambda x: seen.append(x) or x.sum(), fake)
    given = [torch.full((3,), float(i)) for i in range(WARM_UP + 3)]
    assert [float(step(x)) for x in given] == [3.0 * i for i in range(WARM_UP + 3)]
    assert (fake.captures, fake.replays) == (1, 3)
    assert all(a is b for a, b in zip(seen[:WARM_UP], given, strict=False))
    assert len({id(x) for x in seen[WARM_UP:]}) == 1


def test_captured_steps_take_the_steps_of_a_plain_run(images):
    plain, captured = (
        Stepper(CONFIG, images, Compute()),
        Stepper(CONFIG, images, Compute(), capture=FakeCapture()),
    )
    # The rate still rises when the step is captured: one that is frozen into the capture would show.
    assert CONFIG.optimizer.warmup > WARM_UP + 1
    np.testing.assert_allclose(take(captured, range(12)), take(plain, range(12)), rtol=1e-5)
    torch.testing.assert_close(weights(captured), weights(plain), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("saved_by", ["plain", "captured"])
def test_a_state_does_not_tell_how_it_was_computed(images, saved_by, tmp_path):
    def make(kind):
        return Stepper(CONFIG, images, Compute(), capture=FakeCapture() if kind == "captured" else None)

    first, whole = make(saved_by), make("plain")
    take(first, range(6))
    take(whole, range(6))
    state, reference = first.state(), whole.state()
    torch.save(state, tmp_path / "state.pt")
    groups, expected = (dict(s["optimizer"]["param_groups"][0]) for s in (state, reference))
    assert groups.pop("lr") == pytest.approx(expected.pop("lr"), rel=1e-6)
    assert groups == expected
    last = take(whole, range(6, 12))
    for kind in ("plain", "captured"):
        loaded = torch.load(tmp_path / "state.pt", weights_only=True)
        again = make(kind)
        again.restore(loaded["model"], loaded["optimizer"])
        np.testing.assert_allclose(take(again, range(6, 12)), last, rtol=1e-5)
        assert again.optimizer.param_groups[0]["capturable"] is (kind == "captured")


def test_bfloat16_trains_float32_weights_nearby(images):
    plain, half = Stepper(CONFIG, images, Compute()), Stepper(CONFIG, images, Compute(bf16=True))
    seen = []
    half.denoiser.network.first.register_forward_hook(lambda m, i, out: seen.append(out.dtype))
    np.testing.assert_allclose(take(half, range(12)), take(plain, range(12)), rtol=0.03)
    assert set(seen) == {torch.bfloat16}
    state = half.optimizer.state.values()
    assert {p.dtype for p in half.denoiser.parameters()} == {torch.float32}
    assert {p.grad.dtype for p in half.denoiser.parameters()} == {torch.float32}
    assert {s["exp_avg_sq"].dtype for s in state} == {torch.float32}
    half.denoiser(torch.zeros(1, 1, 14, 14), torch.ones(1))
    assert seen[-1] is torch.float32  # what is measured is measured in float32


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # torch's compiler, of torch itself
def test_compiled_steps_are_those_of_a_plain_run(images):
    plain, compiled = Stepper(CONFIG, images, Compute()), Stepper(CONFIG, images, Compute(compile=True))
    np.testing.assert_allclose(take(compiled, range(12)), take(plain, range(12)), rtol=1e-4)


def test_on_a_cpu_nothing_of_cuda_is_called():
    cpu = torch.device("cpu")
    before = torch.backends.cudnn.allow_tf32
    assert devices.new_stream(cpu) is None
    with devices.on(None), devices.tf32(not before, cpu):
        devices.synchronize(cpu)
        assert torch.backends.cudnn.allow_tf32 is before


@needs_cuda
@pytest.mark.parametrize(
    "options",
    [{}, {"cuda_graph": True}, {"cuda_graph": True, "bf16": True}, {"cuda_graph": True, "tf32": True}],
)
def test_cuda_steps_are_those_of_a_plain_run(images, options):
    with devices.on(devices.new_stream(torch.device("cuda"))):
        plain = Stepper(CONFIG, images, Compute(device="cuda", channels_last=False))
        other = Stepper(CONFIG, images, Compute(device="cuda", **options))
        expected, found = take(plain, range(12)), take(other, range(12))
    reduced = options.get("bf16") or options.get("tf32")
    np.testing.assert_allclose(found, expected, rtol=0.03 if reduced else 1e-3)


def test_tf32_is_switched_both_ways_and_put_back():
    # The switches are there on a CPU too, where they change nothing.
    switches = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [s.allow_tf32 for s in switches]
    cuda = torch.device("cuda")
    for allowed in (True, False):
        with devices.tf32(allowed, cuda), devices.tf32(not allowed, cuda):
            assert [s.allow_tf32 for s in switches] == [not allowed] * 2
    assert [s.allow_tf32 for s in switches] == before


@needs_cuda
def test_tf32_is_on_for_the_step_and_off_for_what_is_measured(images):
    before = torch.backends.cudnn.allow_tf32
    seen = []
    stepper = Stepper(CONFIG, images, Compute(device="cuda", tf32=True))
    stepper.denoiser.network.first.register_forward_hook(
        lambda m, i, out: seen.append(
            (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32)
        )
    )
    stepper(0)
    with devices.tf32(False, torch.device("cuda")):
        stepper.denoiser(torch.zeros(1, 1, 14, 14, device="cuda"), torch.ones(1, device="cuda"))
    assert seen == [(True, True), (False, False)]
    assert torch.backends.cudnn.allow_tf32 is before
