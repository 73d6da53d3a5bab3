"""Arguments of public functions, held to their annotations: another kind is one clear error.

A function that is `checked` takes what its signature says. Its body may then rely on it, so that no function asks by
itself whether a number is a number.
"""

from __future__ import annotations

import collections.abc as abc
import dataclasses
import functools
import inspect
import os
import types
import typing
from collections.abc import Callable
from numbers import Integral
from typing import Annotated, Any, Literal, ParamSpec, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from diffclaims.errors import InvalidInput
from diffclaims.problem.validate import LARGEST, SMALLEST, Limit, as_float, at_least, one_of, unmasked

#: A seed of random numbers.
Seed = Annotated[int, at_least(0)]

P = ParamSpec("P")
R = TypeVar("R")

#: Where ArrayLike is a union, which dissolves in another, its parts; where it is a name of one, none.
_DISSOLVED = frozenset(typing.get_args(ArrayLike))
#: Integers up to here are doubles, too.
_LARGEST_INTEGER = 2**53


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Refuse arguments of another kind than a function's annotations name.

    Looked at are integers, real numbers, truth values, text, literals, paths, callables, classes, and sequences,
    mappings and unions of them; a `Limit` in ``Annotated`` is held too. Anything else passes, and so
    do a parameter's default itself and what ``*args`` and ``**kwargs`` gather.

    Raises
    ------
    InvalidInput
        By the function that is returned, with the argument, its value and what it must be.
    TypeError
        For a missing or unknown argument, with the function and its signature.
    """
    signature = inspect.signature(function)
    gathered = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    single = {name: p.default for name, p in signature.parameters.items() if p.kind not in gathered}
    by_place = [
        n for n, p in signature.parameters.items() if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    ]
    plain = len(single) == len(signature.parameters) and not any(
        p.kind is inspect.Parameter.POSITIONAL_ONLY for p in signature.parameters.values()
    )
    needed = {name for name, default in single.items() if default is inspect.Parameter.empty}

    @functools.cache
    def limits() -> dict[str, Limit]:
        found = _limits(typing.get_type_hints(function, include_extras=True))
        return {name: limit for name, limit in found.items() if name in single}

    def given(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        # What `bind` finds for a call that fits, in less time: a run makes thousands. It tells of those that do not.
        named = dict(zip(by_place, args, strict=False))
        named.update(kwargs)
        fits = plain and len(named) == len(args) + len(kwargs) and needed <= named.keys() <= single.keys()
        return named if fits else _bound(function, signature, args, kwargs)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        bound = given(args, kwargs)
        for name, limit in limits().items():
            if name in bound and bound[name] is not single[name]:
                limit.check(name, bound[name])
        return function(*args, **kwargs)

    return call


def _bound(
    function: Callable[..., Any], signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Return the arguments of a call by name, or say how the function is called."""
    try:
        return signature.bind(*args, **kwargs).arguments
    except TypeError as error:
        bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
        of_instance = bool(bare) and bare[0].name in ("self", "cls")
        how = inspect.Signature(bare[of_instance:])
        # A class is called, not its __init__; what is defined inside a function is known by its own name.
        name = function.__qualname__.rpartition("<locals>.")[2].removesuffix(".__init__")
        raise TypeError(f"{name}: {error}; the call is {name}{how}") from None


def check_fields(instance: Any, *, but: tuple[str, ...] = ()) -> None:
    """Hold the fields of a dataclass to their annotations, as `checked` holds arguments.

    Parameters
    ----------
    instance : dataclass instance
        What was built; call it in ``__post_init__``.
    but : tuple of str
        Fields that are looked at otherwise.

    Raises
    ------
    InvalidInput
        For the first field of another kind.
    """
    for name, limit in _of_fields(instance.__class__).items():
        if name not in but:
            limit.check(name, getattr(instance, name))


@functools.cache
def _of_fields(cls: type) -> dict[str, Limit]:
    names = {field.name for field in dataclasses.fields(cls)}
    hints = typing.get_type_hints(cls, include_extras=True)
    return _limits({name: hint for name, hint in hints.items() if name in names})


def _limits(hints: dict[str, Any]) -> dict[str, Limit]:
    found = {name: limit_of(hint) for name, hint in hints.items() if name != "return"}
    return {name: limit for name, limit in found.items() if limit is not None}


def limit_of(hint: Any) -> Limit | None:
    """Return what a value with an annotation must be, or None where anything may be."""
    if hint is Any or isinstance(hint, TypeVar | str):
        return None
    if hint is None or hint is type(None):
        return Limit("be None", lambda v: v is None, "leave it out")
    if hint is ArrayLike or hint == ArrayLike:
        return _ARRAY
    if hasattr(hint, "__value__"):  # another name of a type
        return limit_of(hint.__value__)
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _all([limit_of(parts[0]), *(p for p in parts[1:] if isinstance(p, Limit))])
    if origin is Literal:
        return one_of(*parts)
    if origin in (typing.Union, types.UnionType):
        if _DISSOLVED and set(parts) >= _DISSOLVED:
            return _any([_ARRAY, *(limit_of(part) for part in parts if part not in _DISSOLVED)])
        return _any([limit_of(part) for part in parts])
    if (origin or hint) in _PLAIN:
        return _PLAIN[origin or hint]
    if origin is not None:
        return _container(origin, parts)
    return _instance(hint) if isinstance(hint, type) else None


def _all(limits: list[Limit | None]) -> Limit | None:
    """Return the limit of values that keep several; the text is that of the narrowest, the last."""
    known = [limit for limit in limits if limit is not None]
    if len(known) < 2:
        return known[0] if known else None
    return Limit(known[-1].text, lambda v: all(limit.admits(v) for limit in known), known[-1].fix)


def _any(limits: list[Limit | None]) -> Limit | None:
    known = [limit for limit in limits if limit is not None]
    if len(known) < len(limits):
        return None
    # "None" is named last, as it is the exception.
    known.sort(key=lambda limit: limit.text == "be None")
    texts = [limit.text.removeprefix("be ") if i else limit.text for i, limit in enumerate(known)]
    return Limit(
        " or ".join(dict.fromkeys(texts)), lambda v: any(limit.admits(v) for limit in known), known[0].fix
    )


def _container(origin: Any, parts: tuple[Any, ...]) -> Limit | None:
    if not isinstance(origin, type):
        return None
    if issubclass(origin, abc.Callable):  # type: ignore[arg-type]
        return Limit("be callable", callable, "give a function")
    if issubclass(origin, abc.Mapping):
        inner = [limit_of(part) for part in parts]
        return Limit(
            "be a mapping" + _of(inner[1] if len(inner) > 1 else None),
            lambda v: (
                isinstance(v, abc.Mapping) and _each(inner[:1], v.keys()) and _each(inner[1:], v.values())
            ),
            "give a dict",
        )
    if not issubclass(origin, abc.Iterable) or issubclass(origin, type):
        return None
    if issubclass(origin, tuple) and parts and Ellipsis not in parts:
        return _fixed([limit_of(part) for part in parts])
    items = [limit_of(parts[0])] if parts and (len(parts) == 1 or parts[1] is Ellipsis) else []
    ordered = issubclass(origin, abc.Sequence)
    return Limit(
        f"be a {'sequence' if ordered else 'collection'}" + _of(items[0] if items else None),
        # A set has no order of its own: that of words changes from one process to the next.
        lambda v: (
            _many(v)
            and not (ordered and isinstance(v, abc.Set))
            and (isinstance(v, abc.Iterator) or _each(items, v))
        ),
        "give a list",
    )


def _fixed(parts: list[Limit | None]) -> Limit:
    """Return the limit of tuples of so many entries."""

    def holds(value: Any) -> bool:
        if not _many(value) or isinstance(value, abc.Set | abc.Iterator) or len(value) != len(parts):
            return False
        return all(part is None or part.admits(v) for part, v in zip(parts, value, strict=True))

    known = [part for part in parts if part is not None]
    return Limit(f"be {len(parts)} values" + _of(known[0] if known else None), holds, f"give {len(parts)}")


def _of(limit: Limit | None) -> str:
    return "" if limit is None else f" whose entries must {limit.text}"


def _each(limits: list[Limit | None], values: Any) -> bool:
    return all(limit is None or all(limit.admits(v) for v in values) for limit in limits)


def _many(value: Any) -> bool:
    """Whether a value holds others one after another; words do not."""
    if isinstance(value, str | bytes | abc.Mapping) or getattr(value, "ndim", 1) == 0:
        return False
    return isinstance(value, abc.Iterable)


def _instance(cls: type) -> Limit | None:
    if getattr(cls, "_is_protocol", False):
        return None
    word = (
        f"{cls.__module__.partition('.')[0]}.{cls.__name__}" if cls.__module__ != "builtins" else cls.__name__
    )
    article = "an" if word[0] in "aeio" else "a"
    return Limit(f"be {article} {word}", lambda v: isinstance(v, cls), f"build {article} {word} first")


def _integer(value: Any) -> bool:
    if isinstance(value, bool):  # which Python counts among the integers
        return False
    return isinstance(value, Integral) and abs(int(value)) <= _LARGEST_INTEGER


def _real(value: Any) -> bool:
    """Whether a value is one finite number of a size that can be squared."""
    size = abs(as_float(value))
    return size == 0 or SMALLEST <= size <= LARGEST


def _array(value: Any) -> bool:
    """Whether a value makes an array of numbers or of words."""
    try:
        unmasked("value", value)
        array = np.asarray(value)
    except (InvalidInput, ValueError, TypeError, OverflowError):
        return False
    return array.dtype.kind in "biufUSO" and (array.dtype.kind != "O" or array.ndim > 0)


_ARRAY = Limit("be an array, or what makes one", _array, "give a list or an array with no entry masked")
_PATH = Limit("be a path", lambda v: isinstance(v, str | os.PathLike) and bool(str(v)), "give a path as text")
_PLAIN: dict[Any, Limit] = {
    bool: Limit("be True or False", lambda v: isinstance(v, bool | np.bool_), "choose one"),
    int: Limit("be an integer", _integer, "give a whole number below 2**53"),
    float: Limit("be a finite number", _real, f"give 0 or one between {SMALLEST:g} and {LARGEST:g} in size"),
    str: Limit("be text", lambda v: isinstance(v, str), "give a str"),
    os.PathLike: _PATH,
}
