"""Measure one candidate: does it take the right steps, how fast, in how much memory, at what power."""

from __future__ import annotations

import dataclasses
import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffclaims.errors import InvalidInput
from diffclaims.unet.config import RunConfig
from diffclaims.unet.model.device import new_stream, on, synchronize
from diffclaims.unet.model.options import Compute
from diffclaims.unet.model.stepper import Stepper
from diffclaims.unet.pilot.candidates import Candidate
from diffclaims.unet.pilot.power import Meter
from diffclaims.unet.pilot.timing import timed

Images = NDArray[np.float32]
Step = Callable[[int], object]

#: Steps whose outcome is compared with that of plain float32. Enough for a few replays of a captured step.
COMPARED = 16
#: By how much the weights may end elsewhere, as a share of how far they moved, by coarseness of arithmetic. On a
#: CPU rounding gives 2e-6 and bfloat16 1e-2, while a rate that stays that of an earlier step gives 0.6.
MAY_DIFFER = (0.01, 0.1, 0.1)


@dataclass(kw_only=True)
class BenchResult:
    """What was found about one candidate; None where it could not be.

    Attributes
    ----------
    status : {"measured", "not here", "wrong", "failed"}
        Only what was measured, and is no reference, can be planned with.
    reference : bool
        Whether it is shown for comparison only.
    spread : float
        Range of the blocks of steps over their median.
    setup_s : float
        Until all is built, compiled, captured and warm.
    peak_mib : float
        Largest memory that torch held on the device.
    differs : float
        By how much the weights end elsewhere than in float32, as a share of how far they moved.
    """

    name: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    at_once: int = 1
    coarseness: int = 0
    reference: bool = False
    status: str = "measured"
    reason: str = ""
    images_per_s: float | None = None
    step_ms: float | None = None
    spread: float | None = None
    tflops: float | None = None
    setup_s: float | None = None
    peak_mib: float | None = None
    watts: float | None = None
    differs: float | None = None


class Lane:
    """One model that is trained on a stream of its own, as a run of a campaign is."""

    def __init__(self, make: Callable[[], Step], device: torch.device) -> None:
        self._stream, self._step = new_stream(device), 0
        with on(self._stream):
            self.take = make()

    def advance(self) -> None:
        """Queue the next step."""
        with on(self._stream):
            self.take(self._step)
        self._step += 1


class Bench:
    """Measure candidates under the same conditions.

    Parameters
    ----------
    config : RunConfig
        Of the runs that are to be trained; another seed for each model at once.
    images : float32 array, shape (n, 1, R, R)
    device : str
    seconds : float
        To time one candidate, warm-up apart.
    flops : int
        Operations of a training step for one image.
    read_power : callable, optional
        Returns watts.
    """

    def __init__(
        self,
        config: RunConfig,
        images: Images,
        *,
        device: str,
        seconds: float,
        flops: int,
        read_power: Callable[[], float] | None = None,
    ) -> None:
        self.config, self.images, self.seconds = config, images, seconds
        self.device, self._name = torch.device(device), device
        self._flops, self._read_power = flops, read_power
        self._expected: dict[int, tuple[Tensor, Tensor]] = {}

    def seeded(self, seed: int) -> RunConfig:
        """Return the config with another seed."""
        return dataclasses.replace(self.config, seed=seed)

    def candidate(self, candidate: Candidate) -> BenchResult:
        """Measure a way to train; whatever goes wrong is told in the row."""
        row = BenchResult(
            name=candidate.name,
            options=dict(candidate.options),
            at_once=candidate.at_once,
            coarseness=candidate.coarseness,
        )
        try:
            compute = Compute(device=self._name, **candidate.options)
            compute.check([self.config])
        except InvalidInput as error:
            row.status, row.reason = "not here", str(error)
            return row

        def measure() -> None:
            began = time.perf_counter()
            steppers = list[Stepper]()

            def make(seed: int) -> Step:
                steppers.append(Stepper(self.seeded(seed), self.images, compute))
                return steppers[-1]

            lanes = [Lane(lambda seed=i: make(seed), self.device) for i in range(candidate.at_once)]  # type: ignore[misc]
            for _ in range(COMPARED):
                for lane in lanes:
                    lane.advance()
            synchronize(self.device)
            row.setup_s = time.perf_counter() - began
            row.differs = max(self._difference(i, s) for i, s in enumerate(steppers))
            limit = MAY_DIFFER[candidate.coarseness]
            if not row.differs <= limit:
                row.status = "wrong"
                row.reason = (
                    f"its weights differ by {row.differs:.2g} of how far they moved, more than {limit}"
                )
            self._time(row, lanes)

        self._guarded(row, measure)
        return row

    def reference(self, name: str, make: Callable[[], Step], *, models: int = 1) -> BenchResult:
        """Time any other way of taking a step of `models` models, for comparison."""
        row = BenchResult(name=name, reference=True, at_once=models)

        def measure() -> None:
            began = time.perf_counter()
            lane = Lane(make, self.device)
            for _ in range(COMPARED):
                lane.advance()
            synchronize(self.device)
            row.setup_s = time.perf_counter() - began
            self._time(row, [lane])

        self._guarded(row, measure)
        return row

    def _guarded(self, row: BenchResult, measure: Callable[[], None]) -> None:
        self._clear()
        try:
            measure()
        except ModuleNotFoundError as error:
            row.status, row.reason = "not here", f"{error.name} is not installed"
        except Exception as error:  # one candidate's failure is a finding about it, and ends nothing
            first = (str(error).strip().splitlines() or [""])[0]
            row.status, row.reason = "failed", f"{type(error).__name__}: {first}"[:300]
        self._clear()

    def _clear(self) -> None:
        torch.compiler.reset()
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def _time(self, row: BenchResult, lanes: list[Lane]) -> None:
        def together() -> None:
            for lane in lanes:
                lane.advance()

        with Meter(self._read_power) as meter:
            found = timed(together, self.device, self.seconds)
        models = row.at_once
        row.images_per_s = models * self.config.optimizer.batch / found.seconds
        row.step_ms, row.spread, row.watts = 1e3 * found.seconds / models, found.spread, meter.watts
        if not row.reference:
            row.tflops = row.images_per_s * self._flops / 1e12
        if self.device.type == "cuda":
            row.peak_mib = torch.cuda.max_memory_reserved(self.device) / 2**20

    def _difference(self, seed: int, stepper: Stepper) -> float:
        if seed not in self._expected:
            plain = Stepper(self.seeded(seed), self.images, Compute(device=self._name, channels_last=False))
            start = _weights(plain)
            for step in range(COMPARED):
                plain(step)
            self._expected[seed] = start, _weights(plain)
        start, end = self._expected[seed]
        return float((_weights(stepper) - end).norm() / (end - start).norm())


def _weights(stepper: Stepper) -> Tensor:
    return torch.cat([p.detach().flatten().double().cpu() for p in stepper.denoiser.parameters()])
