"""How fast this machine trains a preset, by which means, and how many steps and seeds of it fit into a time.

The rule, fixed before anything is trained. Float32 first: of its candidates that end where plain float32 ends, the
fastest. The largest share of the preset's steps is taken at which all seeds fit, a margin kept free. Where less than
all of the preset's steps fit, TF32 is asked the same, and taken if it allows more. Where not even the smallest share
fits, it is taken with as many whole seeds as fit. Bfloat16 is timed for comparison only.
"""

from __future__ import annotations

import dataclasses
import json
import math
import signal
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from diffclaims.errors import DiffclaimsError, InvalidInput
from diffclaims.storage.files import write_atomic
from diffclaims.unet.config import RunConfig
from diffclaims.unet.data.data_set import LabelledImages
from diffclaims.unet.data.prepare import prepare
from diffclaims.unet.model.device import new_stream, on, release, synchronize
from diffclaims.unet.model.options import Compute
from diffclaims.unet.model.stepper import Stepper
from diffclaims.unet.train.loops import Images, Step, diffusers_loop, plain_loop
from diffclaims.unet.train.plan import PLAN_VERSION, Row, fastest, make_plan
from diffclaims.unet.train.run import aside

SINGLE = ((), ("channels_last",), ("cuda_graph",), ("cuda_graph", "channels_last"), ("cuda_graph", "tf32"),
          ("cuda_graph", "tf32", "channels_last"), ("cuda_graph", "bf16", "channels_last"))  # fmt: skip
COMPILED = (("cuda_graph", "compile"), ("cuda_graph", "tf32", "compile"))
#: Steps whose outcome is compared, and by how much the weights may end elsewhere, as a share of how far they moved.
#: On a CPU rounding gives 2e-6 and bfloat16 1e-2, while a rate that stays that of an earlier step gives 0.6.
COMPARED, MAY_DIFFER = 16, (0.01, 0.1, 0.1)
#: Seconds that one candidate may take, its compilation among them.
LONGEST = 30.0


class TooLong(BaseException):
    """A candidate took too long. No `Exception`, for a compiler would catch one and go on."""


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def ring(*_: object) -> None:
        raise TooLong(f"longer than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Bench:
    """Time candidates on the training images of one run; another seed for each model at once."""

    def __init__(
        self, config: RunConfig, images: Images, device: str, seconds: float, tell: Callable[[Row], None]
    ) -> None:
        self.config, self.images, self.device = config, images, torch.device(device)
        self.rows, self.seconds, self._ends = list[Row](), seconds, time.monotonic() + seconds
        self._tell, self._plain = tell, dict[int, tuple[torch.Tensor, torch.Tensor]]()

    def candidate(self, words: Sequence[str], at_once: int = 1) -> Row:
        """Time a way to train, and compare where it ends with plain float32."""
        options = {"channels_last": False, **dict.fromkeys(words, True)}
        row = Row(name=f"{' '.join(words) or 'eager'} x{at_once}", options=options, at_once=at_once)

        def make(i: int) -> Step:
            compute = Compute(device=str(self.device), **options)  # type: ignore[arg-type]
            compute.check([self.config])
            return self._stepper(i, compute)

        return self._keep(row, make)

    def reference(self, name: str, make: Callable[[RunConfig, Images, torch.device], Step]) -> Row:
        """Time another way to train, for comparison only."""
        return self._keep(
            Row(name=name, reference=True), lambda _: make(self.config, self.images, self.device)
        )

    def _stepper(self, i: int, compute: Compute) -> Stepper:
        return Stepper(dataclasses.replace(self.config, seed=self.config.seed + i), self.images, compute)

    def _keep(self, row: Row, make: Callable[[int], Step]) -> Row:
        self.rows.append(row)
        try:
            left = self._ends - time.monotonic()
            if left < 1 and len(self.rows) > 1:
                raise TooLong(f"the pilot's {self.seconds:g} s are over")
            with _alarm(min(LONGEST, max(left, 1.0))):
                self._measure(row, make)
        except InvalidInput as error:
            row.status, row.reason = "not here", str(error)
        except ModuleNotFoundError as error:
            row.status, row.reason = "not here", f"{error.name} is not installed"
        except TooLong as error:
            row.status, row.reason = "no time", str(error)
        except Exception as error:  # a candidate's failure is a finding about it, and ends nothing
            row.status = "failed"
            row.reason = f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"[:300]
        torch.compiler.reset()
        release(self.device)
        self._tell(row)
        return row

    def _measure(self, row: Row, make: Callable[[int], Step]) -> None:
        cuda, began, models = self.device.type == "cuda", time.perf_counter(), list[tuple[Any, Step]]()
        if cuda:
            torch.cuda.reset_peak_memory_stats(self.device)
        for i in range(row.at_once):  # each on a stream of its own, as a run of a campaign is
            stream = new_stream(self.device)
            with on(stream):
                models.append((stream, make(i)))

        def together(step: int) -> None:
            for stream, take in models:
                with on(stream):
                    take(step)

        for step in range(COMPARED):
            together(step)
        synchronize(self.device)
        row.setup_s = time.perf_counter() - began
        if not row.reference:
            row.differs = max(self._difference(i, s) for i, (_, s) in enumerate(models))
            limit = MAY_DIFFER[row.arithmetic]
            if not row.differs <= limit:
                row.status = "wrong"
                row.reason = f"its weights differ by {row.differs:.2g} of how far they moved, over {limit}"
        row.images_per_s = (
            row.at_once * self.config.optimizer.batch / timed(together, self.device, self.seconds / 100)
        )
        row.peak_mib = torch.cuda.max_memory_reserved(self.device) / 2**20 if cuda else None

    def _difference(self, i: int, stepper: Any) -> float:
        if i not in self._plain:
            plain = self._stepper(i, Compute(device=str(self.device), channels_last=False))
            start = _weights(plain)
            for step in range(COMPARED):
                plain(step)
            self._plain[i] = start, _weights(plain)
        start, end = self._plain[i]
        return float((_weights(stepper) - end).norm() / (end - start).norm())


def _weights(stepper: Stepper) -> torch.Tensor:
    return torch.cat([p.detach().flatten().double().cpu() for p in stepper.denoiser.parameters()])


def timed(call: Callable[[int], object], device: torch.device, seconds: float) -> float:
    """Median seconds of a call that is warm, over five blocks; work on every stream counts."""

    def block(n: int) -> float:
        synchronize(device)
        began = time.perf_counter()
        for i in range(n):
            call(COMPARED + i)
        synchronize(device)
        return (time.perf_counter() - began) / n

    n = max(1, math.floor(seconds / 5 / block(1)))
    return statistics.median(block(n) for _ in range(5))


def pilot(
    wanted: Sequence[RunConfig],
    source: LabelledImages,
    out: Path,
    *,
    preset: str,
    settings: Mapping[str, Any],
    device: str = "cpu",
    seconds: float = 45.0,
    budget: float = 6.0,
    at_once: int = 8,
    compiled: bool = False,
) -> dict[str, Any]:
    """Measure, choose and plan; return what was found, which is written to `out` as it comes in.

    `seconds` is of the pilot, `budget` is the minutes of the training that is planned; `settings` are those in
    which the runs differ from the preset's.
    """
    for name, value in (("seconds", seconds), ("budget", budget), ("at_once", at_once)):
        if not value > 0:
            raise InvalidInput.of(name, value, "be positive", "raise it")
    if len({(r.network, r.optimizer.batch, r.data.resolution) for r in wanted}) > 1:
        fix = "choose experiments with --only"
        raise InvalidInput.of("preset", preset, "train one network with one size of batch", fix)
    Compute(device=device).check()
    machine = "cpu" if device == "cpu" else torch.cuda.get_device_name(torch.device(device))
    found: dict[str, Any] = {"pilot_version": PLAN_VERSION, "machine": machine, "torch": torch.__version__}

    def keep(**more: Any) -> None:
        found.update(more)
        write_atomic(out, lambda path: path.write_text(json.dumps(found, indent=1)))

    def tell(row: Row) -> None:
        keep(candidates=[dataclasses.asdict(r) for r in bench.rows])
        differs = "" if row.differs is None else f", differs {row.differs:.1e}"
        rate = f"{row.images_per_s:,.0f} images/s{differs}, set up in {row.setup_s:.1f} s"
        print(f"{row.name}: {row.status}, {row.reason or rate}", flush=True)

    images = prepare(wanted[0].data, source, seed=wanted[0].seed, n_held_out=2).train
    bench = Bench(wanted[0], images, device, seconds, tell)
    asides = _try_all(bench, wanted, source, at_once, compiled)
    plan = make_plan(wanted, bench.rows, asides, 60 * budget, preset, settings, device)
    keep(aside=plan["cost"]["aside"], plan=plan)
    return found


def _try_all(
    bench: Bench, wanted: Sequence[RunConfig], source: LabelledImages, at_once: int, compiled: bool
) -> dict[int, tuple[float, float]]:
    """Time all candidates, what is needed most first; return what runs spend aside, by their number of classes."""
    for words in SINGLE:
        bench.candidate(words)
    for row in [fastest(bench.rows, arithmetic) for arithmetic in (0, 1)]:
        for n in (8, 4, 2) if row else ():
            if n <= at_once:
                bench.candidate([w for w, on in row.options.items() if on], n)  # type: ignore[union-attr]
    base = fastest(bench.rows, 0) or fastest(bench.rows, 1)
    if base is None:
        raise DiffclaimsError("no candidate could be measured; the lines above say why")
    compute = Compute(device=str(bench.device), **base.options)  # type: ignore[arg-type]
    # The first also loads what all of them share, and is not counted.
    aside(wanted[0], source, compute)
    kinds = {len(r.data.classes): r for r in wanted}
    found = {n: aside(run, source, compute) for n, run in kinds.items()}
    bench.reference("plain loop", plain_loop)
    bench.reference("diffusers UNet2DModel", diffusers_loop)
    for words in COMPILED if compiled else ():
        row, same = bench.candidate(words), fastest(bench.rows, int("tf32" in words))
        if row.status == "measured" and same is not None and same.at_once > 1:
            bench.candidate(words, same.at_once)
    return found
