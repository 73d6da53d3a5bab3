"""Groups of a stored file in memory: plain tuples, of which few may be needed as datasets of xarray."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

#: Dimensions, values and attributes.
Variable = tuple[tuple[str, ...], NDArray[Any], dict[str, Any]]


@dataclass(frozen=True)
class Group:
    """One group of a file, in memory.

    Attributes
    ----------
    variables : dict of str to tuple
        Dimensions, values and attributes by name.
    attrs : dict
        Attributes of the group.
    coordinates : frozenset of str
        Which variables are coordinates.
    """

    variables: dict[str, Variable]
    attrs: dict[str, Any]
    coordinates: frozenset[str] = frozenset()

    @classmethod
    def of(cls, dataset: xr.Dataset) -> Group:
        """Return a dataset as a group."""
        variables = {
            str(n): (tuple(map(str, v.dims)), np.asarray(v.values), dict(v.attrs))
            for n, v in dataset.variables.items()
        }
        return cls(variables, dict(dataset.attrs), frozenset(map(str, dataset.coords)))

    def values(self, name: str) -> NDArray[Any]:
        """Return the values of a variable."""
        return self.variables[name][1]

    def dataset(self, *, copy: bool = False) -> xr.Dataset:
        """Return the group as a dataset: of its own arrays, or of copies."""
        parts: tuple[dict[str, Variable], dict[str, Variable]] = ({}, {})
        for name, (dims, values, attrs) in self.variables.items():
            parts[name in self.coordinates][name] = (dims, values.copy() if copy else values, attrs)
        return xr.Dataset(parts[0], coords=parts[1], attrs=self.attrs)


def tree_of(groups: Mapping[str, Group]) -> xr.DataTree:
    """Return groups as a tree."""
    return xr.DataTree.from_dict({path: group.dataset() for path, group in groups.items()})
