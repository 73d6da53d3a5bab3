"""Models and schedulers of the library diffusers.

Nothing is imported from it: a scheduler says its convention by ``config.prediction_type``, ``alphas_cumprod`` and the
other fields of its configuration. What a scheduler does to sample (`scale_model_input`, `init_noise_sigma`, the shift
of a flow's times, clipping) is not done: noise level and time follow from the convention alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from diffclaims.denoisers import formulas
from diffclaims.denoisers.adapters import Function, flow_clock, quarter_log
from diffclaims.denoisers.denoiser import Denoiser
from diffclaims.denoisers.formulas import Formula
from diffclaims.denoisers.levels import Clock, Continuous, Steps, refuse_zero_signal
from diffclaims.denoisers.network import Network
from diffclaims.denoisers.options import Options
from diffclaims.errors import InvalidInput
from diffclaims.problem.arguments import checked

_PREDICTIONS = {
    "epsilon": formulas.EPS,
    "v_prediction": formulas.V,
    "sample": formulas.SAMPLE,
    "original_sample": formulas.SAMPLE,
}


@checked
def from_diffusers(
    model_or_pipeline: Any,
    scheduler: Any = None,
    *,
    arguments: Mapping[str, Any] | None = None,
    **options: Any,
) -> Denoiser:
    """Adapt a model of diffusers by the scheduler that it was trained with.

    ====================================  ===============================================================
    scheduler                             read as
    ====================================  ===============================================================
    ``prediction_type="epsilon"``         `from_eps` with ``scheduler.alphas_cumprod``
    ``"v_prediction"``, ``"sample"``      `from_v`, `from_sample`
    ``timestep_type="continuous"``        v, told ``ln(sigma)/4``
    ``FlowMatch...``, flow sigmas         `from_flow`, data at 0, told ``t * num_train_timesteps``;
                                          data at 1 with ``invert_sigmas``
    ``EDM...``, ``Cosine...``             `from_edm` with ``raw=True``, told ``precondition_noise(sigma)``
    ====================================  ===============================================================

    Parameters
    ----------
    model_or_pipeline : object
        A model, called ``model(x, time, class_labels=...)``, or a pipeline with ``unet`` or ``transformer``.
    scheduler : object, optional
        That of the training; the pipeline's by default.
    arguments : mapping, optional
        Further keywords of every call, as ``encoder_hidden_states``. A tensor with one row is repeated.
    **options
        As `Options` has them. ``num_classes`` is read from the model's configuration.

    Returns
    -------
    Denoiser

    Raises
    ------
    InvalidInput
        For a scheduler without a known convention, and for epsilon with zero terminal SNR.
    """
    model = model_or_pipeline
    for part in ("unet", "transformer"):
        if getattr(model_or_pipeline, part, None) is not None:
            model = getattr(model_or_pipeline, part)
    if scheduler is None:
        scheduler = getattr(model_or_pipeline, "scheduler", None)
    if scheduler is None:
        raise InvalidInput.of(
            "scheduler", None, "be given with a model", "give the scheduler of the training"
        )
    formula, clock = _convention(scheduler)
    chosen = Options.of(options, **_classes(model))
    return Denoiser(
        Network(_call(model, arguments or {}), chosen, model, learned_variance=True), formula, clock
    )


def _convention(scheduler: Any) -> tuple[Formula, Clock]:
    """Read the convention off a scheduler's configuration."""

    def setting(name: str, default: Any = None) -> Any:
        return getattr(scheduler.config, name, default)

    prediction = setting("prediction_type")
    # Consistency models have a sigma_data too, and another formula.
    if hasattr(scheduler, "precondition_outputs"):
        sign = -1 if prediction == "v_prediction" else 1
        return formulas.edm(float(setting("sigma_data")), sign), Continuous(scheduler.precondition_noise)
    if prediction == "flow_prediction" or (prediction is None and setting("shift") is not None):
        scale = float(setting("num_train_timesteps", 1000))
        if setting("invert_sigmas", False):
            return formulas.TO_DATA, flow_clock(1, scale)
        return formulas.TO_NOISE, flow_clock(0, scale)
    abar = getattr(scheduler, "alphas_cumprod", None)
    if prediction not in _PREDICTIONS or abar is None:
        limit = f"predict {', '.join(_PREDICTIONS)} or flow_prediction, and have alphas_cumprod or a shift"
        shown = f"{type(scheduler).__name__}, prediction_type {prediction!r}"
        raise InvalidInput.of(
            "scheduler", shown, limit, "use the adapter of the convention, as from_x0, itself"
        )
    if setting("rescale_betas_zero_snr", False):
        # Some schedulers store 2**-24 at the last step, which may be more than the step before it has.
        abar = [*abar[:-1].tolist(), 0.0]
    if prediction == "epsilon":
        refuse_zero_signal(abar)
    if setting("timestep_type") == "continuous" and prediction == "v_prediction":
        return formulas.V, quarter_log()
    return _PREDICTIONS[prediction], Steps(abar)


def _classes(model: Any) -> dict[str, Any]:
    """Return the options of labels that a model's configuration states."""
    config = getattr(model, "config", None)
    if k := getattr(config, "num_class_embeds", None):
        return {"num_classes": int(k)}
    if (k := getattr(config, "num_embeds_ada_norm", None)) and getattr(
        config, "norm_type", ""
    ) == "ada_norm_zero":
        # Its table of labels has a row more, for no class.
        return {"num_classes": int(k), "null": "index"}
    return {}


def _call(model: Any, arguments: Mapping[str, Any]) -> Function:
    """Return ``f(x, time, labels)`` of a model, or ``f(x, time)`` of one without classes."""

    def given(x: Any) -> dict[str, Any]:
        return {
            name: value.expand(len(x), *value.shape[1:])
            if getattr(value, "shape", (0,))[:1] == (1,)
            else value
            for name, value in arguments.items()
        }

    def with_classes(x: Any, time: Any, labels: Any = None) -> Any:
        words = {} if labels is None else {"class_labels": labels}
        return model(x, timestep=time, **words, **given(x))

    def without_classes(x: Any, time: Any) -> Any:
        return model(x, timestep=time, **given(x))

    names = inspect.signature(getattr(model, "forward", model)).parameters
    known = "class_labels" in names and getattr(model, "class_embedding", True) is not None
    return with_classes if known else without_classes
