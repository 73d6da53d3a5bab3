"""Time of a call on a device that computes later than it is told to."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from diffclaims.unet.model.device import synchronize

#: A call is timed in so many blocks, whose median counts.
BLOCKS = 5


@dataclass(frozen=True)
class Timing:
    """Median over blocks of the seconds of one call, and the range of the blocks over that median."""

    seconds: float
    spread: float


def timed(call: Callable[[], object], device: torch.device, seconds: float) -> Timing:
    """Time a call that is warm already, for about so many seconds in all.

    The clock is read when the device has nothing left to do, so that work on every stream counts.
    """

    def block(n: int) -> float:
        synchronize(device)
        began = time.perf_counter()
        for _ in range(n):
            call()
        synchronize(device)
        return (time.perf_counter() - began) / n

    n = max(1, math.floor(seconds / BLOCKS / block(1)))
    found = [block(n) for _ in range(BLOCKS)]
    median = statistics.median(found)
    return Timing(median, (max(found) - min(found)) / median)
