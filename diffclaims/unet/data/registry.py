"""Data sets by name; none is imported before it is asked for."""

from __future__ import annotations

import difflib

from diffclaims.errors import InvalidInput
from diffclaims.extras import object_of
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
    if ":" not in target:
        near = difflib.get_close_matches(name, BUILT_IN, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise InvalidInput.of(
            "dataset", name, f"be one of {', '.join(BUILT_IN)}, or package.module:OBJECT", f"{hint}choose one"
        )
    found = object_of("dataset", target)
    if not isinstance(found, DataSet):
        limit = "name a diffclaims.unet.data.DataSet"
        raise InvalidInput.of("dataset", name, limit, f"it is a {type(found).__name__}: name another object")
    return found
