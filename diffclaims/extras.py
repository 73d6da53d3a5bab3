"""Modules that only an extra of the package brings along, and objects that a user names."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
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
        ``"package.module:OBJECT"``: of a module on Python's path, or else in the current folder, which then stays at
        the end of the path.

    Raises
    ------
    InvalidInput
        When the module cannot be imported or has no such object.
    """
    module_name, _, path = target.partition(":")
    importable = "name a module that can be imported"
    try:
        found: object = _module(module_name)
    except ModuleNotFoundError as error:
        fix = f"no module {error.name!r} was found, on Python's path or in the current folder"
        raise InvalidInput.of(what, target, importable, fix) from error
    except Exception as error:
        raise InvalidInput.of(what, target, importable, f"importing it raised {error!r}") from error
    for part in path.split("."):
        if not part or not hasattr(found, part):
            missing = f"{module_name} has no {part or 'object named after the colon'!r}"
            raise InvalidInput.of(what, target, "have the form package.module:OBJECT", missing)
        found = getattr(found, part)
    return found


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # The commands `pytest` and `diffclaims` leave the current folder out, unlike `python -m`. At the end of the
        # path it hides nobody's modules, and a subject may import its neighbours when it is asked.
        here, top = Path.cwd(), name.partition(".")[0]
        there = (here / top).is_dir() or (here / f"{top}.py").is_file()
        if error.name != top or not there or str(here) in sys.path or sys.flags.safe_path:
            raise
    sys.path.append(str(here))
    return importlib.import_module(name)
