"""Public functions given values of another kind: each answers, or says in one error of ours what is wrong."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from diffclaims.errors import DiffclaimsError
from tests.stress.around import Call

#: What a function of the user's own raises is the user's; these take one.
CALLABLES = {"score", "features", "activation", "of_classes"}


def outcome(function: Callable[..., Any], arguments: dict[str, Any]) -> str:
    """Return "accepted", "refused", or what was raised or warned of that is not ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            function(**arguments)
        except DiffclaimsError as error:
            return "refused" if str(error) else "refused without a word"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    return "accepted"


def put(call: Call, argument: str, value: Any) -> str:
    """Return the `outcome` of a call with a value in the place of an argument."""
    if argument in CALLABLES and callable(value):
        return "accepted"
    return outcome(call.function, {**call.arguments, argument: value})


def is_foreign(call: Call, argument: str, value: Any) -> str:
    """Return what is wrong with the answer to a value in the place of an argument; nothing if all is well."""
    found = put(call, argument, value)
    return "" if found in ("accepted", "refused") else found
