"""What a network returns, in every convention, as one formula.

All conventions are the same network behind other coefficients of the noise level sigma:

    x0 = c_skip(sigma) x + c_out(sigma) F(c_in(sigma) x, time),    x = x0 + sigma noise.

`x` is in the variance-exploding form. A network that is trained on ``alpha_t x0 + sigma_t noise`` sees
``c_in x`` with ``c_in = alpha_t``, at the level ``sigma = sigma_t / alpha_t``. The form is that of Karras et al.,
arXiv:2206.00364, table 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

#: A function of noise levels, an array or a tensor of any shape.
Coefficient = Callable[[Any], Any]


@dataclass(frozen=True)
class Formula:
    """Coefficients of one convention.

    Parameters
    ----------
    name : str
        As users name it.
    c_in, c_skip, c_out : callable
        Functions of sigma.
    """

    name: str
    c_in: Coefficient
    c_skip: Coefficient
    c_out: Coefficient


def _one(sigma: Any) -> Any:
    return sigma**0


def _none(sigma: Any) -> Any:
    return 0 * sigma


def _vp(sigma: Any) -> Any:
    """alpha_t of the variance-preserving form, sqrt(alphas_cumprod)."""
    return (1 + sigma**2) ** -0.5


def _data_share(sigma: Any) -> Any:
    """Share of the data on the straight line between data and noise."""
    return 1 / (1 + sigma)


#: The network sees x = x0 + sigma noise and returns x0.
X0 = Formula("x0", _one, _none, _one)
#: It returns the gradient of ln p, (x0 - x)/sigma^2.
SCORE = Formula("score", _one, _one, lambda s: s**2)
#: It returns the noise, and sees x as it is.
EPS_VE = Formula("eps of x = x0 + sigma noise", _one, _one, lambda s: -s)
#: It sees sqrt(abar) x0 + sqrt(1 - abar) noise and returns the noise.
EPS = Formula("eps", _vp, _one, lambda s: -s)
#: It returns v = sqrt(abar) noise - sqrt(1 - abar) x0.
V = Formula("v", _vp, lambda s: 1 / (1 + s**2), lambda s: -s * _vp(s))
#: It returns x0.
SAMPLE = Formula("sample", _vp, _none, _one)
#: It sees (1 - s) data + s noise, s = sigma/(1 + sigma), and returns one of the two directions.
TO_DATA = Formula("flow, data - noise", _data_share, _data_share, lambda s: s / (1 + s))
TO_NOISE = Formula("flow, noise - data", _data_share, _data_share, lambda s: -s / (1 + s))


def edm(sigma_data: float, sign: float = 1.0) -> Formula:
    """Return the formula of the bare network F inside EDM's preconditioning.

    Parameters
    ----------
    sigma_data : float
        Standard deviation of the data, as the network was trained with; 0.5 for images in [-1, 1].
    sign : float
        -1 for a network that returns ``-F``, which diffusers calls v-prediction.
    """
    d2 = sigma_data**2
    return Formula(
        f"edm, sigma_data {sigma_data:g}",
        lambda s: (s**2 + d2) ** -0.5,
        lambda s: d2 / (s**2 + d2),
        lambda s: sign * sigma_data * s * (s**2 + d2) ** -0.5,
    )
