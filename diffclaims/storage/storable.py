"""What a file can hold so that it comes back as it went; all else is refused by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffclaims.errors import BaselineError
from diffclaims.storage.groups import Group, Variable

#: Attribute that holds others as JSON: what NetCDF would lose, or what is its own. `unpacked` puts them back.
PACKED = "more_attributes"
#: Attributes that have a meaning of their own to NetCDF, HDF5 or xarray.
_RESERVED = frozenset(
    {
        *("_FillValue", "missing_value", "coordinates", "dtype", "scale_factor", "add_offset", "_Unsigned"),
        *(
            "_Encoding",
            "NAME",
            "CLASS",
            "DIMENSION_LIST",
            "REFERENCE_LIST",
            "DIMENSION_LABELS",
            "grid_mapping",
        ),
        *("calendar", "units_metadata", "bounds", "cell_measures", "ancillary_variables", "formula_terms"),
    }
)


def plain(value: Any) -> Any:
    """Value of an attribute as JSON can hold it, the same before writing and after reading."""
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items()}
    return value


def storable(groups: Mapping[str, Group]) -> dict[str, Group]:
    """Return groups as they come back from a file.

    Parameters
    ----------
    groups : mapping of str to Group
        By their paths, "/" the root.

    Raises
    ------
    BaselineError
        With the name of the first variable or attribute that a file cannot hold, and what to do.
    """
    return {path: _storable_group(path, group) for path, group in groups.items()}


def _storable_group(path: str, group: Group) -> Group:
    where = "" if path == "/" else f"{path.lstrip('/')}: "
    for part in path.strip("/").split("/") if path != "/" else ():
        named("the group", part)
    variables: dict[str, Variable] = {}
    for name, (dims, values, attrs) in group.variables.items():
        what = f"{where}the variable {name!r}"
        for own in (name, *dims):
            named(what, own)
        variables[name] = (dims, _values(what, values), _attributes(f"{what}, attribute", attrs))
    return Group(variables, _attributes(f"{where}the attribute", group.attrs), group.coordinates)


def _refuse(what: str, why: str, fix: str) -> BaselineError:
    return BaselineError(f"{what} cannot be stored: {why}; {fix}")


def named(what: str, name: str) -> None:
    """Check a name.

    Raises
    ------
    BaselineError
        When a file cannot hold it.
    """
    if (
        not name
        or "/" in name
        or "\0" in name
        or name in (".", "..")
        or not _text(name)
        or name.strip() != name
    ):
        raise _refuse(
            what,
            f"the name {name!r} is empty, or has a slash, a NUL, a lone surrogate or space around it",
            "give it another name",
        )


def _text(text: str) -> bool:
    """Whether a file returns the text: no lone surrogate, and no NUL, at which HDF5 ends a string."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _values(what: str, values: NDArray[Any]) -> NDArray[Any]:
    kind = values.dtype.kind
    if kind == "O":
        wrong = [v for v in values.ravel() if not isinstance(v, str)]
        if wrong:
            raise _refuse(
                what,
                f"it holds the object {wrong[0]!r}",
                "use numbers only, NaN for what is missing, or text only",
            )
        values, kind = values.astype(np.str_), "U"
    if kind == "U":
        lost = [v for v in values.ravel().tolist() if not _text(v)]
        if lost:
            raise _refuse(what, f"the text {lost[0]!r} has a NUL or a lone surrogate", "take it out")
        return values
    if kind in "Mm":
        raise _refuse(
            what, "it holds dates or durations", "store numbers, as seconds, with the unit as an attribute"
        )
    if kind not in "biuf" or values.dtype.itemsize > 8:
        raise _refuse(
            what, f"it has dtype {values.dtype}", "convert it to float64, integers, booleans or text"
        )
    return values


def _attributes(what: str, attrs: Mapping[Any, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in attrs.items():
        if not isinstance(key, str):
            raise _refuse(f"{what} {key!r}", f"its name is a {type(key).__name__}", "give it a name of text")
        named(f"{what} {key!r}", key)
        try:
            json.dumps(plain(value)).encode()
        except (TypeError, ValueError) as error:
            fix = "give text, numbers, true or false, None, or lists and dictionaries of these"
            raise _refuse(
                f"{what} {key!r}", f"its value is a {type(value).__name__} ({error})", fix
            ) from None
        found[key] = plain(value)
    return found


def packed(attrs: Mapping[str, Any], most: int, visible: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return attributes as NetCDF keeps them: what it would lose, and all beyond `most`, as one of JSON."""
    many = len(attrs) > most
    rest = {k: v for k, v in attrs.items() if (many and k not in visible) or not _kept(k, v)}
    if not rest:
        return dict(attrs)
    return {**{k: v for k, v in attrs.items() if k not in rest}, PACKED: json.dumps(rest)}


def _kept(key: str, value: Any) -> bool:
    """Whether NetCDF keeps an attribute as it is."""
    if key in _RESERVED or key == PACKED or key.startswith(("_Netcdf4", "_nc", "_NC")):
        return False
    if isinstance(value, str):
        return bool(value) and _text(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return -(2**63) <= value < 2**63
    return isinstance(value, float)


def unpacked(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes as they were before `packed`."""
    if PACKED not in attrs:
        return dict(attrs)
    return {**{k: v for k, v in attrs.items() if k != PACKED}, **json.loads(attrs[PACKED])}
