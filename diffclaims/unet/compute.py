"""Where and how a run is computed: options that change speed, and results only to rounding. No torch."""

from __future__ import annotations

import re
from dataclasses import dataclass

from diffclaims.errors import InvalidInput


@dataclass(frozen=True, kw_only=True)
class Compute:
    """Where and how it is computed.

    Whatever is chosen, weights, their gradients and Adam's moments are float32, and losses, samples and
    U-turns are measured in float32: the options speed up the training step alone.

    Parameters
    ----------
    device : str
        ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
    channels_last : bool
        Keep activations with the channels innermost. Gains about a fifth at 14 x 14 on a CPU.
    bf16 : bool
        Take the training step under autocast to bfloat16.
    compile : bool
        Compile the training loss and its gradient with ``torch.compile``.
    save_every, report_every : float
        Seconds between saved states, and between lines of progress.
    keep_snapshots : bool
        Also keep the weights of every snapshot.
    """

    device: str = "cpu"
    channels_last: bool = True
    bf16: bool = False
    compile: bool = False
    save_every: float = 30.0
    report_every: float = 15.0
    keep_snapshots: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"cpu|cuda(:\d+)?", self.device):
            raise InvalidInput.of("device", self.device, "be cpu, cuda or cuda:N", "choose one")

    @property
    def on_cuda(self) -> bool:
        """Whether the device is a CUDA device."""
        return self.device.startswith("cuda")

    def check(self) -> None:
        """Refuse, before anything is trained or written, what this machine cannot do.

        Raises
        ------
        InvalidInput
        """
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
