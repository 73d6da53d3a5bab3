"""Every call that only CUDA needs, in one place; on a CPU each of them does nothing."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager

import torch


def new_stream(device: torch.device) -> torch.cuda.Stream | None:
    """Return a stream of the device, on which work neither waits for that of others nor holds it up."""
    return torch.cuda.Stream(device) if device.type == "cuda" else None


def on(stream: torch.cuda.Stream | None) -> AbstractContextManager[object]:
    """Let work be queued on a stream."""
    return contextlib.nullcontext() if stream is None else torch.cuda.stream(stream)
