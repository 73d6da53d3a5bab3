"""Electric power of a GPU while something runs, if anything on this machine can read it."""

from __future__ import annotations

import statistics
import subprocess
import threading
from collections.abc import Callable

import torch

#: Seconds between readings. Drivers average over up to a second, so shorter spans than that say little.
EVERY = 0.1


def _nvidia_smi(device: torch.device) -> Callable[[], float]:
    # By its address, since CUDA_VISIBLE_DEVICES renumbers devices for torch and not for nvidia-smi.
    uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
    words = ["nvidia-smi", f"--id={uuid}", "--query-gpu=power.draw", "--format=csv,noheader,nounits"]

    def read() -> float:
        return float(subprocess.run(words, capture_output=True, text=True, timeout=5, check=True).stdout)

    return read


def reader(device: torch.device) -> tuple[Callable[[], float] | None, str]:
    """Return what reads watts, and its name; or None, and why nothing can."""
    if device.type != "cuda":
        return None, "only read on CUDA devices"
    reasons = []
    for name, make in (
        ("nvml", lambda: lambda: torch.cuda.power_draw(device) / 1000),
        ("nvidia-smi", lambda: _nvidia_smi(device)),
    ):
        try:
            read: Callable[[], float] = make()
            read()
        except Exception as error:  # whatever it is, power is a side matter
            reasons.append(f"{name}: {type(error).__name__}: {error}".splitlines()[0])
        else:
            return read, name
    return None, "; ".join(reasons)


class Meter:
    """Read power in a thread while the context lasts; `watts` is then the mean, or None."""

    def __init__(self, read: Callable[[], float] | None) -> None:
        self._read = read
        self.watts: float | None = None

    def __enter__(self) -> Meter:
        self._values: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        if self._read is not None:
            self._thread.start()
        return self

    def _watch(self) -> None:
        while self._read is not None and not self._stop.wait(EVERY):
            try:
                self._values.append(self._read())
            except Exception:  # a reading that fails is one reading less
                continue

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self.watts = statistics.fmean(self._values) if self._values else None
