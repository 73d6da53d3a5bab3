"""One run: train, measure in place, survive being killed at any moment.

Everything random at step s comes from (seed, s), and the saved state holds all that a step changes, so a
run that was killed continues with the very numbers it would have had.
"""

from __future__ import annotations

import dataclasses
import io
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffclaims.errors import DiffclaimsError
from diffclaims.monitor.guard import evaluating
from diffclaims.storage.files import write_atomic
from diffclaims.storage.provenance import provenance
from diffclaims.terminal import tell
from diffclaims.unet.config import RunConfig
from diffclaims.unet.data.data_set import LabelledImages
from diffclaims.unet.data.prepare import prepare
from diffclaims.unet.measure.probes import Probe
from diffclaims.unet.measure.schedule import Arrays, Schedule, measure_samples, measure_uturns
from diffclaims.unet.measure.wiener import ClassMoments
from diffclaims.unet.model.device import new_stream, on, tf32
from diffclaims.unet.model.network import n_parameters
from diffclaims.unet.model.options import Compute
from diffclaims.unet.model.stepper import Stepper

RAW, STATE, CONFIG, STATUS = "raw.npz", "state.pt", "config.json", "status.jsonl"


class RunRefused(DiffclaimsError):
    """A results folder holds a run of another config, or one that cannot be read."""


def _check_config(folder: Path, config: RunConfig) -> None:
    path = folder / CONFIG
    if not path.exists():
        return
    saved = path.read_text()
    if saved == config.to_json():
        return
    old, new = json.loads(saved), config.to_dict()
    differ = [
        f"{s}.{k}: {old[s].get(k)!r} there, {v!r} now"
        for s, part in new.items()
        if isinstance(part, dict)
        for k, v in part.items()
        if json.dumps(old.get(s, {}).get(k)) != json.dumps(v)
    ] + [
        f"{s}: {old.get(s)!r} there, {v!r} now"
        for s, v in new.items()
        if not isinstance(v, dict) and old.get(s) != v
    ]
    raise RunRefused(
        f"{folder} holds a run of another config ({'; '.join(differ)}): "
        "use another results folder, or delete this one"
    )


def finished(folder: Path, config: RunConfig) -> Path | None:
    """Return the file of raw measurements of this very run, or None if it has not ended.

    Raises
    ------
    RunRefused
        If the folder holds another config.
    """
    _check_config(folder, config)
    return folder / RAW if (folder / RAW).exists() else None


def read_state(folder: Path, config: RunConfig) -> dict[str, Any] | None:
    """Return the saved state of this very run, or None if there is none.

    Raises
    ------
    RunRefused
        If the folder holds another config, or a state that cannot be read.
    """
    _check_config(folder, config)
    state = folder / STATE
    if not state.exists():
        return None
    try:
        loaded: dict[str, Any] = torch.load(state, map_location="cpu", weights_only=True)
    except Exception as error:
        raise RunRefused(f"{state} cannot be read ({error}): delete it to start this run again") from error
    if loaded.get("config") != config.to_json():
        raise RunRefused(f"{state} belongs to another config: use another results folder, or delete this one")
    return loaded


class Run:
    """A run that has not ended: taken up where it was, advanced one step at a time, left at any time.

    Several of them can be advanced in turn: each has its own generators, and on a CUDA device its own stream.

    Parameters
    ----------
    config : RunConfig
    source : LabelledImages
    folder : Path
        Of this run; what was saved there is continued.
    compute : Compute
    say : callable
        Takes a line of progress.

    Attributes
    ----------
    step : int
        Steps taken so far.

    Raises
    ------
    RunRefused
        If the folder holds another config or an unreadable state.
    """

    def __init__(
        self,
        config: RunConfig,
        source: LabelledImages,
        folder: Path,
        *,
        compute: Compute,
        say: Callable[[str], None],
    ) -> None:
        state = read_state(folder, config)
        write_atomic(folder / CONFIG, lambda p: p.write_text(config.to_json()))
        self.config, self.folder = config, folder
        self._compute, self._say = compute, say
        self._device = torch.device(compute.device)
        self._stream = new_stream(self._device)
        self._schedule = Schedule(config)
        needed = max(config.probe.n_eval, config.sample.uturn_starts)
        data = prepare(config.data, source, seed=config.seed, n_held_out=needed)
        moments = tuple(ClassMoments.of(x) for x in data.population)
        # Only its moments are needed from here on, and several runs may be held at once.
        self._data = dataclasses.replace(data, population=())
        with on(self._stream):
            self._probe = Probe(data, config.probe, seed=config.seed, moments=moments, device=self._device)
            self._stepper = Stepper(config, data.train, compute)
            self._denoiser = self._stepper.denoiser
            self.step, self._records = 0, dict[str, Any]()
            self._seconds = {"train": 0.0, "probe": 0.0, "sample": 0.0}
            if state is not None:
                self._stepper.restore(state["model"], state["optimizer"])
                self.step, self._records, self._seconds = state["step"], state["records"], state["seconds"]
                say(f"{config.folder}: continues at step {self.step}")
        self._began_at, self._began = self.step, time.monotonic()
        self._last_saved = self._last_said = self._began

    @property
    def ended(self) -> bool:
        """Whether all steps are taken, so that only `finish` is left."""
        return self.step >= self.config.optimizer.steps

    def advance(self) -> None:
        """Take one step, and do what is due after it: measure, save, report."""
        with on(self._stream):
            if self.step == 0:
                self._measure()
            began = time.monotonic()
            loss = self._stepper(self.step)
            self.step += 1
            measured = self.step in self._schedule
            reported = time.monotonic() - self._last_said > self._compute.report_every
            recent = 0.0
            if measured or reported:
                recent = float(loss)  # waits until the device is here, which is time of training
            self._seconds["train"] += time.monotonic() - began
            if measured or reported:
                self._check_finite("training loss", recent)
            if measured:
                self._measure()
            if time.monotonic() - self._last_saved > self._compute.save_every:
                self.save()
            if reported:
                self._report(recent)

    def save(self) -> None:
        """Save all that is needed to go on from here."""
        with on(self._stream):
            content = {
                "config": self.config.to_json(),
                "step": self.step,
                **self._stepper.state(),
                "records": self._records,
                "seconds": dict(self._seconds),
            }
            write_atomic(self.folder / STATE, lambda path: torch.save(content, path))
        self._last_saved = time.monotonic()

    def finish(self) -> Path:
        """Write the raw measurements of a run that has ended, and return their file."""
        config = self.config
        arrays: Arrays = {k: v.numpy() for k, v in self._records.items()}
        info = {
            "config": config.to_dict(),
            "n_parameters": n_parameters(self._denoiser),
            "seconds": self._seconds,
            "counts": list(self._data.counts),
            "contrast": list(self._data.contrast),
            "torch_version": torch.__version__,
            "compute": dataclasses.asdict(self._compute),
            "n_threads": torch.get_num_threads(),
            "evaluations_per_snapshot": self._probe.n_pairs,
            "provenance": provenance(
                subject="unet", seeds=[config.seed], device=self._compute.device, dtype="float32"
            ),
            "n_snapshots": len(self._schedule.probes),
        }
        buffer = io.BytesIO()
        np.savez_compressed(buffer, info=np.array(json.dumps(info)), **arrays)  # type: ignore[arg-type]
        self.save()
        raw = self.folder / RAW
        write_atomic(raw, lambda path: path.write_bytes(buffer.getvalue()))
        self._status(done=True, seconds=self._rounded_seconds())
        return raw

    @contextmanager
    def _measuring(self, what: str) -> Iterator[None]:
        """Evaluate the network in full float32, and count the time as `what`."""
        began = time.monotonic()
        with evaluating([], [self._denoiser]), tf32(False, self._device):
            yield
        self._seconds[what] += time.monotonic() - began

    def _measure(self) -> None:
        if self.step in self._schedule.probes:
            with self._measuring("probe"):
                found = self._probe(self._denoiser, batch=256 if self._device.type == "cpu" else 2048)
                self._check_finite("test loss", float(found["test_loss"].sum()))
                self._keep("probe", found)
            self._status(seconds=self._rounded_seconds(), **self._shown(found))
            if self._compute.keep_snapshots:
                weights = {k: v.float() for k, v in self._denoiser.state_dict().items()}
                path = self.folder / f"snapshot-{self.step:06d}.pt"
                write_atomic(path, lambda p: torch.save(weights, p))
        with self._measuring("sample"):
            what = self._denoiser, self._data, self.config, self._device
            if self.step in self._schedule.samples:
                self._keep("sample", measure_samples(*what))
            if self.step in self._schedule.uturns:
                self._keep("sample", measure_uturns(*what))

    def _keep(self, kind: str, found: Arrays) -> None:
        self._records.update({f"{kind}/{self.step}/{k}": torch.from_numpy(v) for k, v in found.items()})

    def _shown(self, found: Arrays) -> dict[str, dict[str, float]]:
        """Mean losses at low noise by split and class."""
        p = self.config.probe
        low = [p.levels.index(v) for v in p.low]
        return {
            f"{split}_loss": {
                name: round(float(np.nanmean(found[f"{split}_loss"][k][low])), 4)
                for k, name in enumerate(self._data.classes)
            }
            for split in ("test", "train")
        }

    def _check_finite(self, what: str, value: float) -> None:
        if not np.isfinite(value):
            raise DiffclaimsError(
                f"{self.config.folder}: the {what} is {value} at step {self.step}; it must be finite: lower `rate`"
            )

    def _report(self, loss: float) -> None:
        total, batch = self.config.optimizer.steps, self.config.optimizer.batch
        spent = time.monotonic() - self._began
        rate = (self.step - self._began_at) * batch / max(spent, 1e-9)
        eta = (total - self.step) * batch / rate
        self._say(
            f"{self.config.folder}: step {self.step}/{total}, {rate:.0f} images/s, ETA {eta:.0f} s, "
            f"loss {loss:.4f}"
        )
        self._status(images_per_s=round(rate), eta_s=round(eta), loss=loss)
        self._last_said = time.monotonic()

    def _rounded_seconds(self) -> dict[str, float]:
        return {k: round(v, 1) for k, v in self._seconds.items()}

    def _status(self, **more: object) -> None:
        line = {
            "time": round(time.time(), 1),
            "step": self.step,
            "steps": self.config.optimizer.steps,
            **more,
        }
        with open(self.folder / STATUS, "a") as file:
            file.write(json.dumps(line) + "\n")


def train(
    config: RunConfig,
    source: LabelledImages,
    folder: Path,
    *,
    compute: Compute | None = None,
    report: Callable[[str], None] | None = None,
    stop_at: int | None = None,
) -> Path | None:
    """Train one run, or finish it, and write its measurements.

    Parameters
    ----------
    config : RunConfig
    source : LabelledImages
    folder : Path
        Of this run. A finished run is left as it is; a started one is continued.
    compute : Compute, optional
    report : callable, optional
        Takes a line of progress; standard error by default.
    stop_at : int, optional
        Save the state and stop before this step.

    Returns
    -------
    Path or None
        The file of raw measurements; None if stopped before the end.

    Raises
    ------
    RunRefused
        If the folder holds another config or an unreadable state.
    InvalidInput
        If it cannot be computed as `compute` says.
    """
    compute = compute or Compute()
    compute.check([config])
    raw = finished(folder, config)
    if raw is not None:
        return raw
    say = report or tell
    run = Run(config, source, folder, compute=compute, say=say)
    while not run.ended:
        if stop_at is not None and run.step >= stop_at:
            run.save()
            return None
        run.advance()
    return run.finish()


def aside(config: RunConfig, source: LabelledImages, compute: Compute) -> tuple[float, float]:
    """Seconds of a run that are no training, and of each snapshot: those of a run of nine steps, end to end."""
    short = dataclasses.replace(
        config,
        optimizer=dataclasses.replace(config.optimizer, steps=9),
        probe=dataclasses.replace(config.probe, snapshots=3, first_snapshot=3),
    )
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        raw = train(short, source, Path(folder), compute=compute, report=lambda line: None)
        wall = time.monotonic() - began
        assert raw is not None
        with np.load(raw) as file:
            info = json.loads(str(file["info"]))
    spent = info["seconds"]
    return wall - spent["train"] - spent["probe"], spent["probe"] / info["n_snapshots"]
