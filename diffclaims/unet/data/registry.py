"""Data sets by name; none is imported before it is asked for."""

from __future__ import annotations

import difflib
import importlib

from diffclaims.errors import InvalidInput
from diffclaims.unet.data.data_set import DataSet

#: What is used where no data set is named.
DEFAULT = "fashion-mnist"
#: Name -> module with a data set called `DATA`.
BUILT_IN = {
    "fashion-mnist": "diffclaims.unet.data.fashion_mnist",
    "digits": "diffclaims.unet.data.digits",
    "blobs": "diffclaims.unet.data.blobs",
}


def data_set(name: str) -> DataSet:
    """Return a data set.

    Parameters
    ----------
    name : str
        A built-in name, or ``package.module:OBJECT`` for one of your own.

    Raises
    ------
    InvalidInput
        For an unknown name, or an object that is no `DataSet`.
    """
    target = f"{BUILT_IN[name]}:DATA" if name in BUILT_IN else name
    module, colon, attribute = target.partition(":")
    if not colon:
        near = difflib.get_close_matches(name, BUILT_IN, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise InvalidInput.of(
            "dataset", name, f"be one of {', '.join(BUILT_IN)}, or package.module:OBJECT", f"{hint}choose one"
        )
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except ImportError as error:
        raise InvalidInput.of("dataset", name, "name a module that can be imported", str(error)) from error
    if not isinstance(found, DataSet):
        raise InvalidInput.of(
            "dataset", name, "name a diffclaims.unet.data.DataSet", f"{module} has no such {attribute!r}"
        )
    return found
