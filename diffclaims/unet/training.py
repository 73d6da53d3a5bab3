"""One run: train, measure in place, survive being killed at any moment.

Everything random at step s comes from (seed, s), and the saved state holds all that a step changes, so a
run that was killed continues with the very numbers it would have had.
"""

from __future__ import annotations

import dataclasses
import io
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from diffclaims.errors import DiffclaimsError
from diffclaims.provenance import provenance
from diffclaims.unet.config import RunConfig
from diffclaims.unet.data import FashionMNIST, PreparedData, prepare
from diffclaims.unet.files import write_atomic
from diffclaims.unet.network import UNet, n_parameters
from diffclaims.unet.objective import Denoiser, NetworkDenoiser, draw_levels
from diffclaims.unet.probes import Probe
from diffclaims.unet.randomness import INITIAL, SAMPLE, STEP, UTURN, mix
from diffclaims.unet.references import ClassMoments
from diffclaims.unet.sampling import SAMPLERS, sample, uturns

RAW, STATE, CONFIG, STATUS = "raw.npz", "state.pt", "config.json", "status.jsonl"

Arrays = dict[str, NDArray[Any]]


class RunRefused(DiffclaimsError):
    """A results folder holds a run of another config, or one that cannot be read."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compute:
    """Where and how it is computed; changes speed, and results only to rounding.

    `channels_last` gains about a fifth at 14 x 14 on a CPU. `bf16` and `compile` concern CUDA.
    """

    device: str = "cpu"
    channels_last: bool = True
    bf16: bool = False
    compile: bool = False
    #: Seconds between saved states.
    save_every: float = 30.0
    #: Seconds between lines of progress.
    report_every: float = 15.0
    #: Also keep the weights of every snapshot.
    keep_snapshots: bool = False


def build(config: RunConfig, device: torch.device) -> NetworkDenoiser:
    """Return the untrained network of a run, wrapped as a denoiser."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix(config.seed, INITIAL))
        network = UNet(config.network, config.data.resolution)
    return NetworkDenoiser(network, config.objective).to(device)


def _optimizer(config: RunConfig, module: torch.nn.Module) -> torch.optim.Optimizer:
    o = config.optimizer
    if o.optimizer == "sgd":
        return torch.optim.SGD(module.parameters(), lr=o.rate, momentum=o.momentum)
    return torch.optim.Adam(module.parameters(), lr=o.rate, betas=(0.9, 0.99), fused=True)


class Stepper:
    """Optimizer steps of one run, each a function of (seed, step) and the weights alone.

    Parameters
    ----------
    config : RunConfig
    train : float32 array, shape (n, 1, R, R)
        Training images; they live on the device.
    compute : Compute
    """

    def __init__(self, config: RunConfig, train: NDArray[np.float32], compute: Compute) -> None:
        self.config = config
        self.device = torch.device(compute.device)
        self.denoiser = build(config, self.device)
        if compute.channels_last:
            self.denoiser = self.denoiser.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = _optimizer(config, self.denoiser)
        self._loss: Callable[..., torch.Tensor] = self.denoiser.loss
        if compute.compile:
            self._loss = torch.compile(self.denoiser.loss, mode="reduce-overhead")
        self._bf16 = compute.bf16
        self._images = torch.from_numpy(train).to(self.device)
        self._generator = torch.Generator(self.device)

    def __call__(self, step: int) -> torch.Tensor:
        """Take the step after `step` steps; return its training loss."""
        o, g, device = self.config.optimizer, self._generator, self.device
        for group in self.optimizer.param_groups:
            group["lr"] = o.rate * min(1.0, (step + 1) / max(1, o.warmup))
        g.manual_seed(mix(self.config.seed, STEP, step))
        index = torch.randint(len(self._images), (o.batch,), generator=g, device=device)
        sigma = draw_levels(self.config.objective, o.batch, g, device)
        x = self._images[index]
        noise = torch.randn(x.shape, generator=g, device=device)
        with torch.autocast(device.type, torch.bfloat16, enabled=self._bf16):
            loss = self._loss(x, sigma, noise).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach()


def read_state(folder: Path, config: RunConfig) -> dict[str, Any] | None:
    """Return the saved state of this very run, or None if there is none.

    Raises
    ------
    RunRefused
        If the folder holds another config, or a state that cannot be read.
    """
    path = folder / CONFIG
    if path.exists():
        saved = path.read_text()
        if saved != config.to_json():
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


def measure_samples(
    denoiser: Denoiser, data: PreparedData, config: RunConfig, device: torch.device
) -> Arrays:
    """Draw images by each sampler; keys ``samples_<sampler>``, shape (n, 1, R, R), half precision."""
    s, o = config.sample, config.objective
    return {
        f"samples_{name}": sample(
            denoiser,
            data.train,
            n=s.n_samples,
            sampler=name,
            high=o.sigma_max,
            low=o.sigma_min,
            steps=s.sampler_steps,
            seed=mix(config.seed, SAMPLE),
            device=device,
        ).astype(np.float16)
        for name in SAMPLERS
    }


def measure_uturns(denoiser: Denoiser, data: PreparedData, config: RunConfig, device: torch.device) -> Arrays:
    """Run U-turns; key ``uturns``, shape (K, level, start, return, 1, R, R), half precision."""
    s, o = config.sample, config.objective
    out = [
        [
            uturns(
                denoiser,
                data.held_out[k][: s.uturn_starts],
                level=level,
                returns=s.uturn_returns,
                high=o.sigma_max,
                low=o.sigma_min,
                steps=s.sampler_steps,
                seed=mix(config.seed, UTURN, k, i),
                device=device,
            )
            for i, level in enumerate(s.uturn_levels)
        ]
        for k in range(len(data.classes))
    ]
    return {"uturns": np.array(out, dtype=np.float16)}


def train(
    config: RunConfig,
    source: FashionMNIST,
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
    source : FashionMNIST
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
    """
    compute = compute or Compute()
    say = report or (lambda line: print(line, file=sys.stderr, flush=True))
    state = read_state(folder, config)
    raw = folder / RAW
    if raw.exists():
        return raw
    write_atomic(folder / CONFIG, lambda p: p.write_text(config.to_json()))

    device = torch.device(compute.device)
    p = config.probe
    needed = max(p.n_eval, config.sample.uturn_starts)
    data = prepare(config.data, source, seed=config.seed, n_held_out=needed)
    moments = tuple(ClassMoments.of(x) for x in data.population)
    probe = Probe(data, p, seed=config.seed, moments=moments, device=device)
    stepper = Stepper(config, data.train, compute)
    denoiser, optimizer = stepper.denoiser, stepper.optimizer

    total = config.optimizer.steps
    snapshots = set(p.steps(total))
    sample_at = {max(1, round(f * total)) for f in config.sample.sample_at}
    uturn_at = {max(1, round(f * total)) for f in config.sample.uturn_at}
    step, records, seconds = 0, dict[str, Any](), {"train": 0.0, "probe": 0.0, "sample": 0.0}
    if state is not None:
        denoiser.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step, records, seconds = state["step"], state["records"], state["seconds"]
        say(f"{config.folder}: continues at step {step}")
    began_at, began = step, time.monotonic()

    def save() -> None:
        content = {
            "config": config.to_json(),
            "step": step,
            "model": denoiser.state_dict(),
            "optimizer": optimizer.state_dict(),
            "records": records,
            "seconds": dict(seconds),
        }
        write_atomic(folder / STATE, lambda path: torch.save(content, path))

    def status(**more: object) -> None:
        line = {"time": round(time.time(), 1), "step": step, "steps": total, **more}
        with open(folder / STATUS, "a") as file:
            file.write(json.dumps(line) + "\n")

    def check_finite(what: str, value: float) -> None:
        if not np.isfinite(value):
            raise DiffclaimsError(
                f"{config.folder}: the {what} is {value} at step {step}; it must be finite: lower `rate`"
            )

    def measure() -> None:
        denoiser.eval()
        if step in snapshots:
            t = time.monotonic()
            found = probe(denoiser, batch=256 if device.type == "cpu" else 8192)
            check_finite("test loss", float(found["test_loss"].sum()))
            records.update({f"probe/{step}/{k}": torch.from_numpy(v) for k, v in found.items()})
            seconds["probe"] += time.monotonic() - t
            low = [p.levels.index(v) for v in p.low]
            shown = {
                f"{split}_loss": {
                    name: round(float(np.nanmean(found[f"{split}_loss"][k][low])), 4)
                    for k, name in enumerate(data.classes)
                }
                for split in ("test", "train")
            }
            status(seconds={k: round(v, 1) for k, v in seconds.items()}, **shown)
            if compute.keep_snapshots:
                weights = {k: v.float() for k, v in denoiser.state_dict().items()}
                write_atomic(folder / f"snapshot-{step:06d}.pt", lambda path: torch.save(weights, path))
        t = time.monotonic()
        found = {}
        if step in sample_at:
            found |= measure_samples(denoiser, data, config, device)
        if step in uturn_at:
            found |= measure_uturns(denoiser, data, config, device)
        records.update({f"sample/{step}/{k}": torch.from_numpy(v) for k, v in found.items()})
        seconds["sample"] += time.monotonic() - t
        denoiser.train()

    last_saved = last_said = time.monotonic()
    recent = 0.0
    while step < total:
        if stop_at is not None and step >= stop_at:
            save()
            return None
        t = time.monotonic()
        loss = stepper(step)
        step += 1
        now = time.monotonic()
        seconds["train"] += now - t
        measured = step in snapshots or step in sample_at or step in uturn_at
        if measured or now - last_said > compute.report_every:
            recent = float(loss)
            check_finite("training loss", recent)
        if measured:
            measure()
        if now - last_saved > compute.save_every:
            save()
            last_saved = time.monotonic()
        if now - last_said > compute.report_every:
            spent = time.monotonic() - began
            rate = (step - began_at) * config.optimizer.batch / max(spent, 1e-9)
            eta = (total - step) * config.optimizer.batch / rate
            say(
                f"{config.folder}: step {step}/{total}, {rate:.0f} images/s, ETA {eta:.0f} s, "
                f"loss {recent:.4f}"
            )
            status(images_per_s=round(rate), eta_s=round(eta), loss=recent)
            last_said = time.monotonic()

    arrays: Arrays = {k: v.numpy() for k, v in records.items()}
    info = {
        "config": config.to_dict(),
        "n_parameters": n_parameters(denoiser),
        "seconds": seconds,
        "counts": list(data.counts),
        "contrast": list(data.contrast),
        "torch_version": torch.__version__,
        "compute": dataclasses.asdict(compute),
        "n_threads": torch.get_num_threads(),
        "evaluations_per_snapshot": probe.n_pairs,
        "provenance": provenance(subject="unet", seeds=[config.seed], device=compute.device, dtype="float32"),
        "n_snapshots": len(snapshots),
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, info=np.array(json.dumps(info)), **arrays)  # type: ignore[arg-type]
    save()
    write_atomic(raw, lambda path: path.write_bytes(buffer.getvalue()))
    status(done=True, seconds={k: round(v, 1) for k, v in seconds.items()})
    return raw
