"""Modules that only an extra of the package brings along."""

from __future__ import annotations

import importlib
from typing import Any

from diffclaims.errors import DiffclaimsError


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
