"""Where numbers go while a training runs: trackers of other libraries, each called as it wants to be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from diffclaims.errors import InvalidInput

#: Logged with everything, since the steps of the user's own logging and these may come in any order.
STEP = "monitor/step"

Log = Callable[[Mapping[str, float], int], None]


def log_to(sink: Any) -> Log:
    """Return the function that logs numbers of a step to an object.

    Parameters
    ----------
    sink : object
        With ``log(dict, step)``, as accelerate's trackers; an ``Accelerator``, for all its trackers; a run of Weights
        & Biases, or its module; with ``add_scalar(name, value, step)``, as TensorBoard's ``SummaryWriter``; or with
        ``log_metrics(dict, step)``, as Lightning's loggers.

    Raises
    ------
    InvalidInput
        For an object with none of these.
    """
    if isinstance(getattr(sink, "trackers", None), list):
        return lambda values, step: _to_all(sink.trackers, values, step)
    if hasattr(sink, "define_metric"):
        return _to_wandb(sink)
    if getattr(sink, "name", None) == "wandb" and hasattr(sink, "tracker"):
        return _to_wandb(sink.tracker)
    if callable(getattr(sink, "log", None)):
        return lambda values, step: sink.log({**values, STEP: step}, step=step)
    if hasattr(sink, "add_scalar"):
        return lambda values, step: _to_writer(sink, values, step)
    if hasattr(sink, "log_metrics"):
        return lambda values, step: sink.log_metrics({**values, STEP: step}, step=step)
    limit = "have log(dict, step), add_scalar(name, value, step) or log_metrics(dict, step)"
    fix = "give a tracker, a SummaryWriter, a run of Weights & Biases, or an object with log(dict, step)"
    raise InvalidInput.of("sink", type(sink).__name__, limit, fix)


def _to_all(trackers: list[Any], values: Mapping[str, float], step: int) -> None:
    for tracker in trackers:
        log_to(tracker)(values, step)


def _to_wandb(run: Any) -> Log:
    """Log without a step: a step below that of an earlier call would be dropped, with all that comes with it."""
    run.define_metric(STEP)
    run.define_metric("monitor/*", step_metric=STEP)
    return lambda values, step: run.log({**values, STEP: step})


def _to_writer(writer: Any, values: Mapping[str, float], step: int) -> None:
    for name, value in values.items():
        writer.add_scalar(name, value, step)
