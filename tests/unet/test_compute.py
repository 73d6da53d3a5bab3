"""Options of computing that this machine, or any, cannot honour. No torch but where it is asked."""

from __future__ import annotations

import pytest

from diffclaims.errors import InvalidInput
from diffclaims.unet.cli import main
from diffclaims.unet.config import RunConfig
from diffclaims.unet.model.options import Compute


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "CPU"])
def test_a_device_is_cpu_or_cuda(device):
    with pytest.raises(InvalidInput, match="device must be cpu, cuda or cuda:N"):
        Compute(device=device)


def test_a_device_that_torch_does_not_find_is_refused(tmp_path, capsys, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["train", "--results", str(tmp_path), "--device", "cuda"]) == 2
    assert "device = 'cuda:0'" in capsys.readouterr().err
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    with pytest.raises(InvalidInput, match="name one of the 2 CUDA devices"):
        Compute(device="cuda:2").check()
    with pytest.raises(InvalidInput, match="bf16 = True"):
        Compute(device="cuda", bf16=True).check()
    Compute(device="cuda:1").check()


@pytest.mark.parametrize("option", ["tf32", "cuda_graph"])
def test_what_only_cuda_has_is_refused_on_a_cpu(option, tmp_path, capsys):
    with pytest.raises(InvalidInput, match=f"{option} = True: {option} must be off on the device cpu"):
        Compute(**{option: True})
    assert main(["train", "--results", str(tmp_path / "r"), f"--{option.replace('_', '-')}"]) == 2
    assert "use --device cuda" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_compiled_bfloat16_is_refused_on_a_cpu():
    with pytest.raises(InvalidInput, match="leave out one of them"):
        Compute(compile=True, bf16=True)
    Compute(device="cuda", compile=True, bf16=True)


def test_a_graph_needs_an_optimizer_whose_rate_it_can_read():
    runs = [RunConfig.of("a"), RunConfig.of("b", optimizer="sgd")]
    Compute(device="cpu").check(runs)
    with pytest.raises(InvalidInput, match=r"off with the optimizer sgd \(b\)"):
        Compute(device="cuda", cuda_graph=True).check(runs)
