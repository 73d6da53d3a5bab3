"""Modules that only an extra of the package brings along, and objects that a user names."""

from __future__ import annotations

import importlib
from typing import Any

from diffclaims.errors import DiffclaimsError, InvalidInput


def need(module: str, extra: str, purpose: str) -> Any:
    """Import and return a module of an extra.

    Parameters
    ----------
    module : str
        What to import.
    extra : str
        The extra that installs it.
    purpose : str
        What it is needed for, as a phrase.

    Raises
    ------
    DiffclaimsError
        When it is not installed, with the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise DiffclaimsError(
            f"{error.name} is not installed, and is needed for {purpose}; pip install 'diffclaims[{extra}]'"
        ) from None


def object_of(what: str, target: str) -> object:
    """Import a user's object.

    Parameters
    ----------
    what : str
        What it is, for messages.
    target : str
        ``"package.module:OBJECT"``.

    Raises
    ------
    InvalidInput
        When the module cannot be imported or has no such object.
    """
    module_name, _, path = target.partition(":")
    importable = "name a module that can be imported"
    try:
        found: object = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        fix = f"no module {error.name!r} was found"
        raise InvalidInput.of(what, target, importable, fix) from error
    except Exception as error:
        raise InvalidInput.of(what, target, importable, f"importing it raised {error!r}") from error
    for part in path.split("."):
        if not part or not hasattr(found, part):
            missing = f"{module_name} has no {part or 'object named after the colon'!r}"
            raise InvalidInput.of(what, target, "have the form package.module:OBJECT", missing)
        found = getattr(found, part)
    return found
