"""One call of a user's network: where it lives, what it is given, what it gives back."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from diffclaims.denoisers.labels import as_taken
from diffclaims.denoisers.options import Options
from diffclaims.errors import InvalidInput
from diffclaims.extras import need

#: What PyTorch says (any of some words), and what it means here.
_SAYS = (
    (
        ("same device", "expected device"),
        "run on the device of x_noisy, {x.device}",
        "move one of them: x_noisy.to(device) or model.to(device)",
    ),
    (
        ("indices",),
        "take times in {time.dtype}",
        "a table of integer steps needs from_eps, from_v or from_sample, with integer steps",
    ),
    (
        ("dtype", "scalar type"),
        "take x in {x.dtype} with times in {time.dtype} (times are never rounded to half precision)",
        "cast the time's embedding inside the network, or name its type: dtype=torch.float32",
    ),
)


class Network:
    """A user's function of x, time and labels, called in its own type and layout.

    Parameters
    ----------
    f : callable
        ``f(x, time, labels)``, or ``f(time, x, labels)``. Where it takes two arguments, labels are refused.
    options : Options
    module : torch.nn.Module, optional
        The network behind it, for its device and type; `f` itself by default, or what it is a method of.
    learned_variance : bool
        Whether twice the channels are a mean and a variance, of which the mean is taken.
    """

    def __init__(
        self, f: Callable[..., Any], options: Options, module: Any = None, *, learned_variance: bool = False
    ) -> None:
        self.torch = need("torch", "unet", "denoisers")
        self.f, self.options, self.learned_variance = f, options, learned_variance
        owner = getattr(f, "__self__", f) if module is None else module
        self.module = owner if isinstance(owner, self.torch.nn.Module) else None
        self.takes_labels, self.needs_labels = _third_argument(f)

    def dtype(self, x: Any) -> Any:
        """Return the type in which the network is called for x."""
        first = self.first_parameter()
        dtype = self.options.dtype or (x.dtype if first is None else first.dtype)
        if dtype == self.torch.float16 and x.device.type == "cpu":
            limit = "be float32 or bfloat16 on a CPU, whose half precision overflows at noise levels above 65504/x"
            raise InvalidInput.of(
                "dtype", dtype, limit, "use model.float(), or move model and x_noisy to CUDA"
            )
        return dtype

    def first_parameter(self) -> Any:
        """Return a parameter of the network, or None."""
        return None if self.module is None else next(self.module.parameters(), None)

    def __call__(self, x: Any, time: Any, labels: Any, sigma: Any) -> Any:
        """Return what the network returns.

        Parameters
        ----------
        x : tensor, shape (B, ...)
            As the network sees it, in the type of the arithmetic, float32 or float64.
        time : tensor, shape (B,)
            Integers stay integers; others are told in float32 at least.
        labels : array_like or None
            As users give them.
        sigma : tensor, shape (B,)
            Noise levels, for messages.

        Returns
        -------
        tensor, shape (B, ...)
            In the type of x.
        """
        self._check_device(x)
        dtype = self.dtype(x)
        taken = as_taken(labels, len(x), x.device, self.options)
        if taken is not None and not self.takes_labels:
            fix = "give a function f(x, time, labels), or no labels"
            raise InvalidInput.of("labels", labels, "be None for a network that takes no labels", fix)
        if time.is_floating_point():
            time = time.to(self.torch.float64 if dtype == self.torch.float64 else self.torch.float32)
        if taken is not None and taken.is_floating_point():
            taken = taken.to(dtype)
        given = x.to(dtype)
        if self.options.channels_last:
            given = given.movedim(1, -1)
        answer = _tensor(self._call(given, time, taken), self.torch)
        if self.options.channels_last and answer.ndim == x.ndim:
            answer = answer.movedim(-1, 1)
        return self._checked(answer, x, time, sigma).to(x.dtype)

    def _call(self, x: Any, time: Any, labels: Any) -> Any:
        words = [time, x] if self.options.time_first else [x, time]
        if labels is not None or self.needs_labels:
            words.append(labels)
        try:
            return self.f(*words)
        except RuntimeError as error:
            for said, limit, fix in _SAYS:
                if any(word in str(error) for word in said):
                    limit = limit.format(x=x, time=time)
                    raise InvalidInput.of("model", self.name, limit, f"{fix} ({error})") from error
            raise

    @property
    def name(self) -> str:
        """Of the network or the function, for messages."""
        thing = self.f if self.module is None else self.module
        return type(thing).__name__

    def _check_device(self, x: Any) -> None:
        first = self.first_parameter()
        if first is not None and first.device != x.device:
            limit = f"be on the device of the network, {first.device}"
            fix = f"use x_noisy.to({str(first.device)!r})"
            raise InvalidInput.of("x_noisy.device", str(x.device), limit, fix)

    def _checked(self, answer: Any, x: Any, time: Any, sigma: Any) -> Any:
        shape, wanted = tuple(answer.shape), tuple(x.shape)
        if answer.device != x.device:
            limit = f"be on the device of x_noisy, {x.device}"
            fix = f"use x_noisy.to({str(answer.device)!r})"
            raise InvalidInput.of("output of the model", str(answer.device), limit, fix)
        if self.learned_variance and shape == (wanted[0], 2 * wanted[1], *wanted[2:]):
            answer = answer[:, : wanted[1]]
        elif shape != wanted:
            raise InvalidInput.of(
                "output of the model",
                shape,
                f"have the shape of x_noisy, {wanted}",
                "check its last layer, and channels_last=True for a network that takes (B, ..., C)",
            )
        if bool(self.torch.isfinite(answer).all()):
            return answer
        bad = ~self.torch.isfinite(answer).reshape(len(x), -1).all(dim=1)
        level, told = float(sigma[bad][0]), time[bad][0].item()
        raise InvalidInput.of(
            "output of the model",
            float("nan"),
            f"be finite; it is not in {int(bad.sum())} of {len(x)} rows, first at sigma = {level:g} (time {told:g})",
            "look at its weights, and at half precision near that level",
        )


def _third_argument(f: Callable[..., Any]) -> tuple[bool, bool]:
    """Whether a function takes a third positional argument, and whether it has to be given."""
    try:
        parameters = inspect.signature(getattr(f, "forward", f)).parameters.values()
    except (TypeError, ValueError):
        return True, True
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return True, len(positional) > 2 and positional[2].default is inspect.Parameter.empty
    if len(positional) < 3:
        return False, False
    return True, positional[2].default is inspect.Parameter.empty


def _tensor(answer: Any, torch: Any) -> Any:
    """Return the tensor in an answer: itself, its ``.sample``, or the first of a tuple."""
    first = answer
    if not torch.is_tensor(first) and hasattr(first, "sample"):
        first = first.sample
    if isinstance(first, (tuple, list)) and first:
        first = first[0]
    if torch.is_tensor(first):
        return first
    limit = "be a tensor, hold one as .sample, or be a tuple whose first is one"
    raise InvalidInput.of("output of the model", type(answer).__name__, limit, "wrap it: lambda x, t, y: ...")
