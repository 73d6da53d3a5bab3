"""Where and how a run is computed: options that change speed, and results only to rounding. No torch."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from diffclaims.errors import InvalidInput
from diffclaims.unet.config import RunConfig


@dataclass(frozen=True, kw_only=True)
class Compute:
    """Where and how it is computed.

    Whatever is chosen, weights, their gradients and Adam's moments are float32, and losses, samples and
    U-turns are measured in float32 without TF32: the options speed up the training step alone.

    Parameters
    ----------
    device : str
        ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
    channels_last : bool
        Keep activations with the channels innermost. Gains about a fifth at 14 x 14 on a CPU.
    tf32 : bool
        CUDA: round the factors of float32 products in a training step to 10 bits of mantissa.
    bf16 : bool
        Take the training step under autocast to bfloat16.
    compile : bool
        Compile the training loss and its gradient with ``torch.compile``.
    cuda_graph : bool
        CUDA: capture one whole optimizer step as a CUDA graph and replay it, so that the host launches one
        thing a step instead of hundreds.
    save_every, report_every : float
        Seconds between saved states, and between lines of progress.
    keep_snapshots : bool
        Also keep the weights of every snapshot.
    """

    device: str = "cpu"
    channels_last: bool = True
    tf32: bool = False
    bf16: bool = False
    compile: bool = False
    cuda_graph: bool = False
    save_every: float = 30.0
    report_every: float = 15.0
    keep_snapshots: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"cpu|cuda(:\d+)?", self.device):
            raise InvalidInput.of("device", self.device, "be cpu, cuda or cuda:N", "choose one")
        for name in ("tf32", "cuda_graph"):
            if getattr(self, name) and not self.on_cuda:
                raise InvalidInput.of(
                    name, True, f"be off on the device {self.device}", "leave it out, or use --device cuda"
                )

        # Seen with torch 2.13.0 and not with 2.11.0: gradients of all that lies below the upsampling vanish.
        if self.compile and self.bf16 and not self.on_cuda:
            raise InvalidInput.of(
                "bf16",
                True,
                "be off where a step is compiled for a CPU: torch 2.13.0 then loses gradients",
                "leave out one of them",
            )

    @property
    def on_cuda(self) -> bool:
        """Whether the device is a CUDA device."""
        return self.device.startswith("cuda")

    def check(self, runs: Iterable[RunConfig] = ()) -> None:
        """Refuse, before anything is trained or written, what this machine or one of the runs cannot do.

        Raises
        ------
        InvalidInput
        """
        for run in runs:
            if self.cuda_graph and run.optimizer.optimizer != "adam":
                raise InvalidInput.of(
                    "cuda_graph",
                    True,
                    f"be off with the optimizer {run.optimizer.optimizer} ({run.name}), which reads its rate "
                    "on the host",
                    "leave it out, or use adam",
                )
        if not self.on_cuda:
            return
        import torch

        if not torch.cuda.is_available():
            raise InvalidInput.of(
                "device", self.device, "be cpu: torch finds no CUDA device", "use --device cpu"
            )
        index, count = int(self.device.partition(":")[2] or 0), torch.cuda.device_count()
        if index >= count:
            raise InvalidInput.of(
                "device", self.device, f"name one of the {count} CUDA devices that torch finds", "lower N"
            )
        if self.bf16 and not torch.cuda.is_bf16_supported(including_emulation=False):
            raise InvalidInput.of("bf16", True, "be off: this GPU has no bfloat16 arithmetic", "leave it out")
