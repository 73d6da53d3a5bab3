"""The random-features score model: its sizes, its noise level and its activation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from diffclaims.errors import InvalidInput
from diffclaims.problem.validate import LARGEST, SMALLEST, as_float

Activation = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def _relu(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(x, 0.0)


ACTIVATIONS: dict[str, Activation] = {"tanh": np.tanh, "erf": erf, "relu": _relu}


@dataclass(frozen=True, kw_only=True)
class RandomFeatures:
    """Score model ``s(y) = (A / sqrt(p)) act(W y / sqrt(d))`` at one diffusion time, only A trained.

    Parameters
    ----------
    psi_p : float
        Features per dimension, p/d, > 0.
    psi_n : float
        Training samples per dimension, n/d, > 0.
    diffusion_time : float
        Time t of the Ornstein-Uhlenbeck noising ``x_t = exp(-t) x + sqrt(1 - exp(-2t)) xi``, > 0.
    activation : {"tanh", "erf", "relu"} or callable
        Applied elementwise; a callable takes and returns a float array of any shape.

    Raises
    ------
    InvalidInput
        For a size or time that is not positive and finite, or an activation that is neither a
        known name nor a vectorized callable.

    Notes
    -----
    Normalisation of arXiv:2505.17638.
    """

    psi_p: float
    psi_n: float
    diffusion_time: float
    activation: str | Activation = "tanh"

    def __post_init__(self) -> None:
        for name in ("psi_p", "psi_n", "diffusion_time"):
            value = getattr(self, name)
            number = as_float(value)
            if not SMALLEST <= number <= LARGEST:
                raise InvalidInput.of(name, value, "be a finite number above 0", "give a ratio or a time")
            object.__setattr__(self, name, number)
        if isinstance(self.activation, str):
            if self.activation not in ACTIVATIONS:
                raise InvalidInput.of(
                    "activation",
                    self.activation,
                    f"be one of {sorted(ACTIVATIONS)} or a vectorized callable",
                    "choose one of them",
                )
            return
        probe = np.linspace(-2.0, 2.0, 6).reshape(2, 3)
        try:
            answer = np.asarray(self.activation(probe), dtype=np.float64)
        except Exception as error:
            raise InvalidInput.of(
                "activation", self.activation, f"accept a float array (it raised {error!r})", "vectorize it"
            ) from error
        if answer.shape != probe.shape or not np.isfinite(answer).all():
            raise InvalidInput.of(
                "activation",
                self.activation,
                "return finite numbers of its argument's shape",
                "vectorize it over arrays of any shape",
            )

    @property
    def signal(self) -> float:
        """Squared signal amplitude, ``exp(-2t)``."""
        return float(np.exp(-2.0 * self.diffusion_time))

    @property
    def noise(self) -> float:
        """Noise variance ``Delta = 1 - exp(-2t)``."""
        return float(-np.expm1(-2.0 * self.diffusion_time))

    @property
    def kappa(self) -> float:
        """Rate factor ``2 Delta / psi_p``: eigenvalue z is learned at ``1/(kappa z)``."""
        return 2.0 * self.noise / self.psi_p

    def act(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Apply the activation."""
        function = ACTIVATIONS[self.activation] if isinstance(self.activation, str) else self.activation
        return np.asarray(function(x), dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON; a callable activation is named by where it is defined."""
        name = self.activation
        if not isinstance(name, str):
            name = f"{getattr(name, '__module__', '?')}:{getattr(name, '__qualname__', repr(name))}"
        return {
            "psi_p": self.psi_p,
            "psi_n": self.psi_n,
            "diffusion_time": self.diffusion_time,
            "activation": name,
        }
