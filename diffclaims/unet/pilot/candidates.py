"""Ways to compute a training step that are worth measuring. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Options = Mapping[str, Any]

#: What each option is called in the name of a candidate, in this order.
_WORDS = {
    "compile": "compile",
    "cuda_graph": "graph",
    "tf32": "tf32",
    "bf16": "bf16",
    "channels_last": "channels-last",
}


@dataclass(frozen=True)
class Candidate:
    """One way to compute: fields of `Compute`, and the number of models that are trained at once."""

    options: Options
    at_once: int = 1

    @property
    def name(self) -> str:
        """Its options in words; "eager" without any."""
        words = [w for option, w in _WORDS.items() if self.options.get(option)]
        return f"{' '.join(words) or 'eager'} x{self.at_once}"

    @property
    def coarseness(self) -> int:
        """How coarse its arithmetic is: 0 for float32, 1 for TF32, 2 for bfloat16."""
        return 2 if self.options.get("bf16") else int(bool(self.options.get("tf32")))


def _options(*names: str) -> Options:
    return {"channels_last": False, **dict.fromkeys(names, True)}


def single(*, compiled: bool) -> list[Candidate]:
    """Return ways to train one model, plain ones first, those that compile last and only on request.

    Not every combination: a compiler chooses the layout itself, and TF32 concerns nothing that bfloat16 leaves.
    """
    plain = [
        _options(),
        _options("channels_last"),
        _options("tf32"),
        _options("tf32", "channels_last"),
        _options("bf16"),
        _options("bf16", "channels_last"),
        _options("cuda_graph"),
        _options("cuda_graph", "tf32"),
        _options("cuda_graph", "tf32", "channels_last"),
        _options("cuda_graph", "bf16"),
        _options("cuda_graph", "bf16", "channels_last"),
    ]
    slow_to_start = [
        _options("compile"),
        _options("compile", "tf32"),
        _options("compile", "bf16"),
        _options("compile", "cuda_graph"),
        _options("compile", "cuda_graph", "tf32"),
        _options("compile", "cuda_graph", "bf16"),
    ]
    return [Candidate(o) for o in plain + (slow_to_start if compiled else [])]
