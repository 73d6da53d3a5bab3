"""A user's model is asked and left as it was: mode of every module, random state, weights."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from diffclaims.denoisers.denoiser import Denoiser
from diffclaims.errors import InvalidInput
from diffclaims.extras import need


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Restore the random state of Python, NumPy's global one and PyTorch's on every device, whatever happens."""
    torch = need("torch", "unet", "monitoring")
    python, old_numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    cuda = (
        torch.cuda.get_rng_state_all() if torch.cuda.is_available() and torch.cuda.is_initialized() else None
    )
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(old_numpy)  # noqa: NPY002
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)


@contextmanager
def evaluating(denoisers: list[Denoiser], modules: list[Any]) -> Iterator[None]:
    """Put every module behind some denoisers into eval mode, and each part back into its own mode."""
    parts = {
        id(p): p for m in [*modules, *(m for d in denoisers for m in modules_of(d))] for p in m.modules()
    }
    modes = [(part, part.training) for part in parts.values()]
    try:
        for part, _ in modes:
            part.training = False
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def device_of(named: Any) -> Any:
    """Return a device of torch, as it is named; None for none.

    Raises
    ------
    InvalidInput
        For a name that torch does not know.
    """
    if named is None:
        return None
    torch = need("torch", "unet", "monitoring")
    try:
        return torch.device(named)
    except (RuntimeError, TypeError, ValueError, OverflowError):
        raise InvalidInput.of("device", named, "be a device of torch", "name cpu, or cuda:0, say") from None


def check_modules(modules: Sequence[Any]) -> list[Any]:
    """Return what a user names as modules of torch.

    Raises
    ------
    InvalidInput
        For anything else.
    """
    torch = need("torch", "unet", "monitoring")
    for module in modules:
        if not isinstance(module, torch.nn.Module):
            limit, fix = "hold modules of torch only", "name the networks that the denoiser calls"
            raise InvalidInput.of("modules", type(module).__name__, limit, fix)
    return list(modules)


def modules_of(denoiser: Denoiser) -> list[Any]:
    """Return the modules behind a denoiser: its network, or those that its function refers to."""
    network = denoiser.network
    return [network.module] if network.module is not None else _behind(network.f, 3)


def _behind(f: Any, depth: int) -> list[Any]:
    torch = need("torch", "unet", "monitoring")
    if isinstance(f, torch.nn.Module):
        return [f]
    if not depth:
        return []
    near = [getattr(f, name, None) for name in ("__self__", "func", "__wrapped__")]
    near += list(getattr(f, "args", ()) or ()) if hasattr(f, "func") else []
    near += [c.cell_contents for c in getattr(f, "__closure__", None) or () if _filled(c)]
    if code := getattr(f, "__code__", None):
        near += [f.__globals__[name] for name in code.co_names if name in f.__globals__]
    near += [v for v in vars(f).values() if callable(v)] if hasattr(f, "__dict__") else []
    found = [
        m
        for thing in near
        if callable(thing) and not isinstance(thing, type)
        for m in _behind(thing, depth - 1)
    ]
    return list({id(m): m for m in found}.values())


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


@contextmanager
def alone(denoiser: Denoiser) -> Iterator[None]:
    """Call the module inside a `DistributedDataParallel`, which would wait for the other ranks."""
    torch = need("torch", "unet", "monitoring")
    network = denoiser.network
    f = network.f
    wrapper = getattr(getattr(torch.nn, "parallel", None), "DistributedDataParallel", ())
    try:
        if wrapper and isinstance(f, wrapper):
            network.f = f.module
        yield
    finally:
        network.f = f


@contextmanager
def averaged(denoiser: Denoiser, ema: Any) -> Iterator[Denoiser]:
    """Give the denoiser with averaged weights, and leave none of them swapped in.

    Parameters
    ----------
    denoiser : Denoiser
        With the weights that are trained.
    ema : Denoiser, module, mapping of tensors, or object
        A denoiser of its own; a module in place of the network; a state dict; or, as diffusers' ``EMAModel`` and
        torch_ema have it, an object with ``store``, ``copy_to`` and ``restore``.
    """
    torch = need("torch", "unet", "monitoring")
    if isinstance(ema, Denoiser):
        yield ema
        return
    module = denoiser.network.module or next(iter(modules_of(denoiser)), None)
    if isinstance(ema, torch.nn.Module) and denoiser.network.f is denoiser.network.module:
        other, network = copy.copy(denoiser), copy.copy(denoiser.network)
        network.f = network.module = ema
        other.network = network
        yield other
        return
    swaps = all(hasattr(ema, name) for name in ("store", "copy_to", "restore"))
    if module is None or not (swaps or isinstance(ema, Mapping)):
        limit = "be a denoiser, or averaged weights of the denoiser's module"
        fix = "give measure(step, denoiser, ema=another_denoiser)"
        raise InvalidInput.of("ema", type(ema).__name__, limit, fix)
    with _swapped(module, ema):
        yield denoiser


@contextmanager
def _swapped(module: Any, ema: Any) -> Iterator[None]:
    """Put averaged weights into a module while the block runs."""
    if not isinstance(ema, Mapping):
        parameters = list(module.parameters())
        ema.store(parameters)
        try:
            ema.copy_to(parameters)
            yield
        finally:
            ema.restore(parameters)
        return
    before = {name: value.detach().clone() for name, value in module.state_dict().items()}
    try:
        module.load_state_dict(dict(ema))
        yield
    except RuntimeError as error:
        if "Error(s) in loading" not in str(error):
            raise
        limit, fix = "fit the denoiser's module", "give its own averaged state dict"
        raise InvalidInput.of("ema", "<a state dict>", limit, f"{fix} ({error})") from error
    finally:
        module.load_state_dict(before)


def first_process() -> bool:
    """Whether this is the process that measures: the first of a distributed training, or the only one."""
    distributed = need("torch", "unet", "monitoring").distributed
    return not (distributed.is_available() and distributed.is_initialized()) or distributed.get_rank() == 0
