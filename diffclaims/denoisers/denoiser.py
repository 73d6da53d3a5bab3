"""A network of any convention as one object: x0 and the score at a noise level."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffclaims.denoisers.formulas import Formula
from diffclaims.denoisers.labels import tensor_of
from diffclaims.denoisers.levels import SAME_LEVEL, Clock
from diffclaims.denoisers.network import Network
from diffclaims.denoisers.options import Options
from diffclaims.errors import InvalidInput
from diffclaims.problem.arguments import checked
from diffclaims.problem.validate import numbers


class Denoiser:
    """What all adapters return.

    ``x_noisy = x0 + sigma * noise``, whatever the network was trained on. Answers are computed without gradients, in
    float32 at least, and come in the type and on the device of x_noisy. Whether the network is in training mode is
    left as it is.

    Parameters
    ----------
    network : Network
        How it is called.
    formula : Formula
        What it returns.
    clock : Clock
        When it is asked.

    Attributes
    ----------
    convention : str
    levels : ndarray or None
        Noise levels of its schedule, increasing; None where every level can be asked. Others cost two calls.
    sigma_min, sigma_max : float
        Least and largest level that can be asked.
    """

    def __init__(self, network: Network, formula: Formula, clock: Clock) -> None:
        self.network, self.formula, self.clock = network, formula, clock
        self.options: Options = network.options
        scale = self.options.scale
        self.levels = None if clock.levels is None else clock.levels / scale
        self.sigma_min, self.sigma_max = clock.low / scale, clock.high / scale

    @property
    def convention(self) -> str:
        """Name of the convention."""
        return self.formula.name

    def __repr__(self) -> str:
        return (
            f"<Denoiser {self.network.name}: {self.convention}, sigma {self.sigma_min:g}..{self.sigma_max:g}>"
        )

    @checked
    def nearest(self, sigma: ArrayLike) -> NDArray[np.float64]:
        """Return the levels nearest to some, in ln sigma, at which one call is enough.

        Parameters
        ----------
        sigma : array_like, shape (n,)
            Positive.

        Returns
        -------
        ndarray, shape (n,)
            Those of the schedule; or the same, held to what can be asked.
        """
        wanted = numbers("sigma", sigma)
        if wanted.min() <= 0:
            raise InvalidInput.of("sigma", sigma, "be positive", "ask for levels above 0")
        if self.levels is None:
            return np.clip(wanted, self.sigma_min, self.sigma_max)
        distance = np.abs(np.log(wanted)[..., None] - np.log(self.levels))
        return np.asarray(self.levels[distance.argmin(axis=-1)])

    def denoise(self, x_noisy: Any, sigma: Any, labels: Any = None) -> Any:
        """Return the network's estimate of x0.

        Parameters
        ----------
        x_noisy : tensor, shape (B, ...)
            ``x0 + sigma * noise``, in the units of the data.
        sigma : float or tensor, shape (B,)
            Standard deviation of the noise.
        labels : array_like of int, shape (B,) or (), optional
            Classes. None asks without a class, as `Options.null` says.

        Returns
        -------
        tensor, shape (B, ...)

        Raises
        ------
        InvalidInput
            For input that does not fit, a level that cannot be asked, and answers that are not finite or of another
            shape.
        """
        x, levels = self._checked(x_noisy, sigma)
        return self._answer(x, levels, labels, less=0).to(x_noisy.dtype)

    __call__ = denoise

    def score(self, x_noisy: Any, sigma: Any, labels: Any = None) -> Any:
        """Return the gradient of ln p(x_noisy) at the noise level, ``(x0 - x_noisy)/sigma**2``; as `denoise`.

        It is computed without that difference, which would lose digits at low noise.
        """
        x, levels = self._checked(x_noisy, sigma)
        answer = self._answer(x, levels, labels, less=1)
        return (answer / column(levels, x) ** 2).to(x_noisy.dtype)

    def _answer(self, x: Any, sigma: Any, labels: Any, *, less: int) -> Any:
        """Return x0 less so many times x, in the units of the data."""
        o, torch = self.options, self.network.torch
        y = o.scale * x + o.offset
        total = torch.zeros_like(y)
        with torch.no_grad():
            for ask in self.clock.asks(o.scale * sigma):
                s = column(ask.sigma, y)
                seen = self.formula.c_in(s).to(y.dtype) * y
                raw = self.network(seen, ask.time, labels, ask.sigma)
                share = less if o.clip is None else 0
                part = (self.formula.c_skip(s) - share).to(y.dtype) * y + self.formula.c_out(s).to(
                    y.dtype
                ) * raw
                weight = ask.weight if isinstance(ask.weight, int) else column(ask.weight, y).to(y.dtype)
                total = total + weight * part
        if o.clip is not None:
            total = total.clamp(-o.clip, o.clip) - less * y
        return (total - (0 if less else o.offset)) / o.scale

    def _checked(self, x_noisy: Any, sigma: Any) -> tuple[Any, Any]:
        """Return x in the type of the arithmetic, and levels (B,) in float64."""
        torch = self.network.torch
        if (
            not torch.is_tensor(x_noisy)
            or not x_noisy.is_floating_point()
            or x_noisy.ndim < 2
            or not len(x_noisy)
        ):
            shown = tuple(x_noisy.shape) if torch.is_tensor(x_noisy) else type(x_noisy).__name__
            limit = "be a tensor of real numbers of shape (B, ...) with B at least 1"
            raise InvalidInput.of(
                "x_noisy", shown, limit, "use torch.as_tensor(x), and x[None] for one sample"
            )
        n = len(x_noisy)
        # A number of Python's has the digits of float64.
        levels = tensor_of("sigma", sigma, dtype=torch.float64, device=x_noisy.device)
        if levels.numel() not in (1, n):
            limit = f"hold one level, or one for each of the {n} rows of x_noisy"
            raise InvalidInput.of("sigma.shape", tuple(levels.shape), limit, "give sigma of shape (B,)")
        levels = levels.reshape(-1).expand(n)
        low, high = float(levels.min()), float(levels.max())
        slack = 1 + SAME_LEVEL
        if not (
            low > 0 and low * slack >= self.sigma_min and high <= self.sigma_max * slack and np.isfinite(high)
        ):
            worst = low if not (low > 0 and low * slack >= self.sigma_min) else high
            limit = (
                f"lie in [{self.sigma_min:g}, {self.sigma_max:g}]"
                if self.sigma_min
                else "be positive and finite"
            )
            fix = "at sigma = 0 the answer is x_noisy itself; denoiser.nearest(sigma) gives levels that can be asked"
            raise InvalidInput.of("sigma", worst, limit, fix)
        return x_noisy.to(torch.promote_types(x_noisy.dtype, torch.float32)), levels


def column(values: Any, like: Any) -> Any:
    """Return values (B,) in a shape that multiplies (B, ...)."""
    return values.reshape(-1, *(1,) * (like.ndim - 1))
