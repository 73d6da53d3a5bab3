"""Where arrays live: numpy, or torch on any device, in double precision.

Random numbers always come from numpy, so that a seed means the same draw on every backend.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf, ndtr

from diffclaims.errors import InvalidInput
from diffclaims.problem.model import RandomFeatures

#: An array of the backend: numpy's, or a torch tensor. Both know ``@``, arithmetic and slicing.
Array = Any
BACKENDS = ("numpy", "torch")


@dataclass(frozen=True, kw_only=True)
class Backend:
    """The few operations that numpy and torch spell differently.

    Parameters
    ----------
    name : {"numpy", "torch"}
        Library.
    device : str
        ``"cpu"`` for numpy; any device string for torch.

    Raises
    ------
    InvalidInput
        For an unknown library, a library that is not installed, or a device it cannot reach.
    """

    name: str = "numpy"
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.name not in BACKENDS:
            raise InvalidInput.of("backend", self.name, f"be one of {list(BACKENDS)}", "choose one of them")
        if self.name == "numpy":
            if self.device != "cpu":
                raise InvalidInput.of(
                    "device", self.device, 'be "cpu" with backend "numpy"', 'pass backend="torch" for others'
                )
            return
        try:
            import torch
        except ImportError:
            raise InvalidInput.of(
                "backend", self.name, "be installed", 'run pip install "diffclaims[unet]", or use "numpy"'
            ) from None
        try:
            torch.zeros(1, dtype=torch.float64, device=self.device)
        except (RuntimeError, AssertionError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise InvalidInput.of(
                "device", self.device, f"be one that torch can use in float64 ({reason})", 'use "cpu"'
            ) from None

    def array(self, x: NDArray[np.float64]) -> Array:
        """Move a numpy array to the device, as float64."""
        if self.name == "numpy":
            return np.asarray(x, dtype=np.float64)
        import torch

        return torch.tensor(np.ascontiguousarray(x), dtype=torch.float64, device=self.device)

    def numpy(self, x: Array) -> NDArray[np.float64]:
        """Bring an array back."""
        return np.asarray(x if self.name == "numpy" else x.cpu().numpy(), dtype=np.float64)

    def zeros(self, *shape: int) -> Array:
        """Zeros on the device."""
        return self.array(np.zeros(shape))

    def eigh(self, x: Array) -> tuple[Array, Array]:
        """Eigenvalues, ascending, and eigenvectors of a symmetric matrix."""
        if self.name == "numpy":
            # Divide and conquer: several times faster than the default driver of scipy here.
            values, vectors = np.linalg.eigh(x)
            return values, vectors
        import torch

        return tuple(torch.linalg.eigh(x))

    def call(self, function: str, x: Array) -> Array:
        """Apply one of the elementwise functions ``tanh``, ``erf``, ``relu``, ``ndtr``, ``exp``, ``sqrt``."""
        if self.name == "numpy":
            if function == "relu":
                return np.maximum(x, 0.0)
            return {"tanh": np.tanh, "erf": erf, "ndtr": ndtr, "exp": np.exp, "sqrt": np.sqrt}[function](x)
        import torch

        return getattr(torch.special if function in ("ndtr", "erf") else torch, function)(x)

    def act(self, model: RandomFeatures, x: Array) -> Array:
        """Apply the activation of the model; torch knows only the named ones."""
        if self.name == "numpy":
            return model.act(x)
        if not isinstance(model.activation, str):
            raise InvalidInput.of(
                "activation", model.activation, 'be named with backend "torch"', 'use backend "numpy"'
            )
        return self.call(model.activation, x)
