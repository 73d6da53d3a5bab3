"""Every call that only CUDA needs, in one place; on a CPU each of them does nothing."""

from __future__ import annotations

import contextlib
import functools
import gc
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

#: Takes the body of a step; returns what replays it, and the result that each replay refills.
Capture = Callable[[Callable[[], Tensor]], tuple[Callable[[], None], Tensor]]


def new_stream(device: torch.device) -> torch.cuda.Stream | None:
    """Return a stream of the device, on which work neither waits for that of others nor holds it up."""
    return torch.cuda.Stream(device) if device.type == "cuda" else None


def on(stream: torch.cuda.Stream | None) -> AbstractContextManager[object]:
    """Let work be queued on a stream."""
    return contextlib.nullcontext() if stream is None else torch.cuda.stream(stream)


def synchronize(device: torch.device) -> None:
    """Wait for all work on the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def release(device: torch.device) -> None:
    """Give back memory that nothing uses; a graph and what it holds lie in a circle, which only a collection ends."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


@functools.cache
def _tf32_switches() -> tuple[Any, Any]:
    """Return the objects that have the switch ``allow_tf32``.

    Torch prefers a newer set of switches, and some of its releases say so once for each use of the older one.
    That set is used here all the same: compilers up to torch 2.11 read it, and stop where the newer was used.
    """
    switches = torch.backends.cudnn, torch.backends.cuda.matmul
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for s in switches:
            s.allow_tf32 = s.allow_tf32
    return switches


@contextlib.contextmanager
def tf32(allowed: bool, device: torch.device) -> Iterator[None]:
    """Allow or forbid TF32 in products and convolutions; torch's own default allows it in the latter."""
    if device.type != "cuda":
        yield
        return
    switches = _tf32_switches()
    before = [s.allow_tf32 for s in switches]
    for s in switches:
        s.allow_tf32 = allowed
    try:
        yield
    finally:
        for s, value in zip(switches, before, strict=True):
            s.allow_tf32 = value


def capture(body: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """Capture `body` as a CUDA graph on the current stream, which must not be the default one.

    Nothing is computed while capturing. Warm-up must have run on the same stream: a node of autograd that is
    left from another stream would draw that one into the capture, which ends it.
    """
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
        result = body()
    return graph.replay, result
