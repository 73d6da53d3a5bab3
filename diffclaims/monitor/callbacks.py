"""The monitor as a callback of other trainers. None of their libraries is needed until one is asked for."""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from typing import Any

from diffclaims.denoisers.denoiser import Denoiser
from diffclaims.errors import DiffclaimsError, InvalidInput
from diffclaims.extras import need
from diffclaims.monitor.states import STATES

#: Two packages with a `Callback` each; a trainer knows its own.
_LIGHTNING = ("lightning.pytorch", "pytorch_lightning")
_STOPS = STATES[2:]


class Watch:
    """What both callbacks do.

    Parameters
    ----------
    monitor : Monitor
        Not imported here, for it imports this file.
    denoiser : Denoiser, or callable ``(model) -> Denoiser``, optional
        The attribute ``denoiser`` of the model that is trained, by default.
    ema : as `Monitor.measure` has it, optional
    stop : {"memorizing", "memorized"}, optional
        Stop the training when a class is that far at two measurements in a row.
    """

    def __init__(self, monitor: Any, denoiser: Any, ema: Any, stop: str | None) -> None:
        if stop is not None and stop not in _STOPS:
            raise InvalidInput.of("stop", stop, f"be one of {', '.join(_STOPS)}", "leave it out to go on")
        if denoiser is not None and not callable(denoiser) and not isinstance(denoiser, Denoiser):
            limit, fix = "be a denoiser or a function of the model", "use an adapter of diffclaims.denoisers"
            raise InvalidInput.of("denoiser", type(denoiser).__name__, limit, fix)
        self.monitor, self.denoiser, self.ema, self.stop = monitor, denoiser, ema, stop
        self._raised = self._reached = False

    def see(self, step: int, model: Any) -> bool:
        """Measure what is due, and return whether to stop, on every process alike."""
        if self.monitor.due(step):
            self.monitor.measure(step, self._of(model), self.ema)
            if self.stop is not None:
                worst = max(v for k, v in self.monitor.record.scalars().items() if k.endswith("/state"))
                raised = worst >= STATES.index(self.stop)
                # Stopping cannot be undone, and an alarm may be by chance: the next measurement must confirm it.
                self._reached, self._raised = raised and self._raised, raised
        return self.stop is not None and _on_any_process(self._reached, model)

    def _of(self, model: Any) -> Denoiser:
        if isinstance(self.denoiser, Denoiser):
            return self.denoiser
        found = getattr(model, "denoiser", None) if self.denoiser is None else self.denoiser(model)
        if not isinstance(found, Denoiser):
            limit = "be a denoiser, or a function that makes one of the model"
            fix = "give denoiser=lambda model: denoisers.from_eps(model.net, alphas_cumprod)"
            raise InvalidInput.of("denoiser", type(found).__name__, limit, fix)
        return found


def lightning_callback(watch: Watch) -> Any:
    """Return an instance of the `Callback` of whichever package is imported, of both if both are."""

    class MonitorCallback(*_lightning_bases()):  # type: ignore[misc]
        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            self._see(trainer, pl_module)

        def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any, **__: Any) -> None:
            self._see(trainer, pl_module)

        def state_dict(self) -> dict[str, Any]:
            return dict(watch.monitor.state_dict())

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            watch.monitor.load_state_dict(state_dict)

        def _see(self, trainer: Any, pl_module: Any) -> None:
            if watch.see(trainer.global_step, pl_module):
                trainer.should_stop = True

    return MonitorCallback()


def hf_callback(watch: Watch) -> Any:
    """Return an instance of the `TrainerCallback` of transformers."""
    if find_spec("transformers") is None:
        raise _missing("transformers", "as_hf")

    class MonitorCallback(importlib.import_module("transformers").TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self._see(state, control, kwargs)

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self._see(state, control, kwargs)

        def _see(self, state: Any, control: Any, kwargs: dict[str, Any]) -> None:
            if watch.see(state.global_step, kwargs.get("model")):
                control.should_training_stop = True

    return MonitorCallback()


def _lightning_bases() -> list[type]:
    names = [name for name in _LIGHTNING if name in sys.modules]
    names = names or [name for name in _LIGHTNING if find_spec(name.partition(".")[0]) is not None][:1]
    if not names:
        raise _missing("lightning", "as_lightning")
    return list(dict.fromkeys(importlib.import_module(name).Callback for name in names))


def _missing(package: str, method: str) -> DiffclaimsError:
    return DiffclaimsError(
        f"{package} is not installed, and is needed for monitor.{method}(); pip install {package}"
    )


def _on_any_process(flag: bool, model: Any) -> bool:
    """Whether it is true on any process of a distributed training: only the first one measures."""
    torch = need("torch", "unet", "monitoring")
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return flag
    first = next(iter(model.parameters()), None)
    told = torch.tensor(float(flag), device="cpu" if first is None else first.device)
    torch.distributed.all_reduce(told, torch.distributed.ReduceOp.MAX)
    return bool(told > 0)
