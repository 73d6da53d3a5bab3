"""One adapter a convention. Each says what the network sees and returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike

from diffclaims.denoisers import formulas
from diffclaims.denoisers.denoiser import Denoiser
from diffclaims.denoisers.formulas import Formula
from diffclaims.denoisers.levels import Clock, Continuous, Steps, refuse_zero_signal
from diffclaims.denoisers.network import Network
from diffclaims.denoisers.options import Options
from diffclaims.errors import InvalidInput
from diffclaims.problem.arguments import checked
from diffclaims.problem.validate import POSITIVE

Function = Callable[..., Any]


@checked
def from_x0(f: Function, **options: Any) -> Denoiser:
    """Adapt a network that returns x0.

    It sees ``x = x0 + sigma noise`` (alpha_t = 1, sigma_t = sigma) and returns its estimate of x0.

    Parameters
    ----------
    f : callable
        ``f(x_noisy, sigma, labels)``, sigma of shape (B,); two arguments for a network without labels.
    **options
        As `Options` has them.

    Returns
    -------
    Denoiser
    """
    return _continuous(f, formulas.X0, Options.of(options))


@checked
def from_score(f: Function, **options: Any) -> Denoiser:
    """Adapt a network that returns the score of the noisy data.

    It sees ``x = x0 + sigma noise`` and returns ``grad ln p_sigma(x) = (x0 - x)/sigma^2``.

    Parameters
    ----------
    f : callable
        ``f(x_noisy, sigma, labels)``, sigma of shape (B,).
    **options
        As `Options` has them.

    Returns
    -------
    Denoiser
    """
    return _continuous(f, formulas.SCORE, Options.of(options))


@checked
def from_edm(net: Function, *, raw: bool = False, sigma_data: float = 0.5, **options: Any) -> Denoiser:
    """Adapt a network of EDM, Karras et al., arXiv:2206.00364.

    Preconditioned, as NVlabs' ``EDMPrecond`` and its like are, it sees ``x0 + sigma noise`` and returns x0. Raw, it
    sees ``c_in x`` and is told ``ln(sigma)/4``, and ``x0 = c_skip x + c_out F`` with d = sigma_data,
    ``c_in = 1/sqrt(sigma^2 + d^2)``, ``c_skip = d^2/(sigma^2 + d^2)``, ``c_out = sigma d/sqrt(sigma^2 + d^2)``.

    Parameters
    ----------
    net : callable
        ``net(x_noisy, sigma, labels)``. Where it has ``label_dim``, labels become one-hot rows, and zeros where none
        are; ``sigma_min`` and ``sigma_max`` limit what it is asked.
    raw : bool
        Whether it is the network inside the preconditioning.
    sigma_data : float
        Of a raw network. 0.5 is meant for images in [-1, 1].
    **options
        As `Options` has them.

    Returns
    -------
    Denoiser
    """
    POSITIVE.check("sigma_data", sigma_data)
    defaults: dict[str, Any] = {}
    if classes := int(getattr(net, "label_dim", 0) or 0):
        defaults = {"num_classes": classes, "one_hot": True, "null": "zeros"}
    chosen = Options.of(options, **defaults)
    if raw:
        return _adapted(net, formulas.edm(sigma_data), quarter_log(), chosen)
    low, high = float(getattr(net, "sigma_min", 0.0)), float(getattr(net, "sigma_max", float("inf")))
    return _adapted(net, formulas.X0, Continuous(low=low, high=high), chosen)


@checked
def from_eps(f: Function, alphas_cumprod: ArrayLike, *, time_scale: float = 1.0, **options: Any) -> Denoiser:
    """Adapt a network that predicts the noise, as DDPM does, Ho et al., arXiv:2006.11239.

    It sees ``x_t = sqrt(abar_t) x0 + sqrt(1 - abar_t) eps`` (alpha_t = sqrt(abar_t), sigma_t = sqrt(1 - abar_t)), is
    told the integer step t from 0 on, and returns eps: ``x0 = (x_t - sigma_t eps)/alpha_t``, which is
    ``x - sigma eps`` at ``sigma = sigma_t/alpha_t``. Twice the channels are a mean and a learned
    variance; the mean is taken.

    Parameters
    ----------
    f : callable
        ``f(x_t, t, labels)``, t of shape (B,) and type int64.
    alphas_cumprod : array_like, shape (T,)
        abar_t, as ``scheduler.alphas_cumprod``.
    time_scale : float
        What t is multiplied by: 1/1000 or 1/999 for a network that is told a time in [0, 1].
    **options
        As `Options` has them.

    Returns
    -------
    Denoiser

    Raises
    ------
    InvalidInput
        When the last step has no signal (zero terminal SNR): its x0 would be infinite.
    """
    refuse_zero_signal(alphas_cumprod)
    return _stepped(f, formulas.EPS, alphas_cumprod, time_scale, options)


@checked
def from_v(f: Function, alphas_cumprod: ArrayLike, *, time_scale: float = 1.0, **options: Any) -> Denoiser:
    """Adapt a network that predicts v, Salimans & Ho, arXiv:2202.00512; as `from_eps`.

    It returns ``v = sqrt(abar_t) eps - sqrt(1 - abar_t) x0``, so ``x0 = sqrt(abar_t) x_t - sqrt(1 - abar_t) v``. A
    last step without signal has no noise level, and is never asked.
    """
    return _stepped(f, formulas.V, alphas_cumprod, time_scale, options)


@checked
def from_sample(
    f: Function, alphas_cumprod: ArrayLike, *, time_scale: float = 1.0, **options: Any
) -> Denoiser:
    """Adapt a network that predicts x0 from x_t, which diffusers calls ``"sample"``; as `from_eps`."""
    return _stepped(f, formulas.SAMPLE, alphas_cumprod, time_scale, options)


@checked
def from_flow(
    f: Function, data_at: int = 1, *, velocity: str | None = None, time_scale: float = 1.0, **options: Any
) -> Denoiser:
    """Adapt a flow on straight lines, Lipman et al., arXiv:2210.02747; Liu et al., arXiv:2209.03003.

    ``data_at=1``, as torchcfm: ``x_t = t data + (1 - t) noise`` (alpha_t = t, sigma_t = 1 - t), and the network
    returns ``dx/dt = data - noise``. ``data_at=0``, as diffusers: ``x_t = (1 - t) data + t noise``, and it returns
    ``dx/dt = noise - data``. Either way the time is that of ``sigma = sigma_t/alpha_t``. A shift of a schedule only
    chooses at which times one samples, so none is applied here.

    Parameters
    ----------
    f : callable
        ``f(x_t, t, labels)``; with ``time_first=True`` it is called ``f(t, x_t, labels)``, as those of torchcfm.
    data_at : {1, 0}
        The time of the data.
    velocity : {"data - noise", "noise - data"}, optional
        What is returned, where it is not dx/dt.
    time_scale : float
        What t is multiplied by: 1000 for networks that are told ``t * num_train_timesteps``.
    **options
        As `Options` has them.

    Returns
    -------
    Denoiser
    """
    if data_at not in (0, 1):
        raise InvalidInput.of(
            "data_at", data_at, "be 0 or 1, the time of the data", "torchcfm has 1, diffusers 0"
        )
    POSITIVE.check("time_scale", time_scale)
    choices = {"data - noise": formulas.TO_DATA, "noise - data": formulas.TO_NOISE}
    name = ("data - noise" if data_at else "noise - data") if velocity is None else velocity
    if name not in choices:
        raise InvalidInput.of(
            "velocity", velocity, f"be one of {', '.join(choices)}", "leave it out for dx/dt"
        )
    return _adapted(f, choices[name], flow_clock(data_at, time_scale), Options.of(options))


def flow_clock(data_at: int, time_scale: float = 1.0) -> Continuous:
    """Return the times of a flow: ``sigma = (1 - t)/t`` with the data at 1, ``t/(1 - t)`` with the data at 0."""
    if data_at:
        return Continuous(lambda s: time_scale / (1 + s))
    return Continuous(lambda s: time_scale * s / (1 + s))


def quarter_log() -> Continuous:
    """Return the times that EDM's networks are told, ``c_noise = ln(sigma)/4``."""
    return Continuous(lambda s: s.log() / 4)


def _continuous(f: Function, formula: Formula, options: Options) -> Denoiser:
    return _adapted(f, formula, Continuous(), options)


def _stepped(
    f: Function, formula: Formula, alphas_cumprod: ArrayLike, time_scale: float, options: dict[str, Any]
) -> Denoiser:
    POSITIVE.check("time_scale", time_scale)
    return _adapted(f, formula, Steps(alphas_cumprod, time_scale), Options.of(options), learned_variance=True)


def _adapted(
    f: Function, formula: Formula, clock: Clock, options: Options, *, learned_variance: bool = False
) -> Denoiser:
    return Denoiser(Network(f, options, learned_variance=learned_variance), formula, clock)
