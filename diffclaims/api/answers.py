"""What no answer of a subject may be, whoever asked: checked in the contract, and again before a claim judges."""

from __future__ import annotations

import xarray as xr

from diffclaims.errors import SubjectInvalid
from diffclaims.problem.mixture import GaussianMixture


def check_names(dataset: xr.Dataset, mixture: GaussianMixture, who: str) -> None:
    """Refuse classes under other names than the mixture's, or in another order.

    Parameters
    ----------
    dataset : xarray.Dataset
        An answer about the mixture.
    mixture : GaussianMixture
        Where its classes have no names but their numbers, a subject may give them its own.
    who : str
        Named in the message.

    Raises
    ------
    SubjectInvalid
        For names that would put values on the wrong class.
    """
    names = list(mixture.classes)
    for dim in ("class", "to_class"):
        if dim not in dataset.coords:
            continue
        found = dataset[dim].values.tolist()
        if found != names and (mixture.named or set(found) == set(names)):
            raise SubjectInvalid(
                f"{who}: the coordinate {dim} is {found}; it must name the classes of the mixture in its order, "
                f"{names}: use list(experiment.mixture.classes)"
            )
