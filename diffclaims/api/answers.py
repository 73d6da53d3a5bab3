"""What no answer of a subject may be, whoever asked: checked in the contract, and again before a claim judges."""

from __future__ import annotations

import numpy as np
import xarray as xr

from diffclaims.api.seeds import check_seeds
from diffclaims.errors import SubjectInvalid
from diffclaims.problem.experiment import Experiment
from diffclaims.problem.mixture import GaussianMixture

#: Largest accuracy that an exact subject may state, by the kind of its answers: with a larger one its effects could
#: not be told from their thresholds, and nothing could fail. An error of 0.003 in a loss is one of about 0.02 in ln
#: tau, the least effect that claims ask for. `theory` states at most 2.3e-5 for losses, 1.5e-3 for probabilities that
#: it samples, and 4.9e-4 of missing mass for spectra. Ours.
ACCURACY_LIMIT = {"curves": 3e-3, "speciation": 1e-2, "spectrum": 3e-3}


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


def check_accuracy(dataset: xr.Dataset, kind: str, who: str) -> None:
    """Refuse an exact answer that is not exact: no accuracy stated as a positive number, or one above the limit.

    Raises
    ------
    SubjectInvalid
        With the value and the limit.
    """
    accuracy = dataset.attrs.get("accuracy")
    if not isinstance(accuracy, int | float | np.number) or not 0 < float(accuracy) < np.inf:
        raise SubjectInvalid(
            f"{who}: attribute accuracy is {accuracy!r}; an exact subject states a positive number, the "
            "absolute accuracy of its losses or probabilities"
        )
    if accuracy > ACCURACY_LIMIT[kind]:
        raise SubjectInvalid(
            f"{who}: attribute accuracy is {float(accuracy):.3g}; of {kind} it must be {ACCURACY_LIMIT[kind]:g} or "
            "less, or nothing could fail: solve more accurately, or measure by seeds"
        )


def check_answer(dataset: xr.Dataset, experiment: Experiment, who: str) -> None:
    """Check one answer before a claim judges it: names of classes, stated accuracy, and seeds.

    Parameters
    ----------
    dataset : xarray.Dataset
        An answer of a kind that subjects give; what claims a kind of its own is left to who reads it.
    experiment : Experiment
        What was asked.
    who : str
        Named in the message.

    Raises
    ------
    SubjectInvalid
        With the first thing that is wrong.
    """
    kind = str(dataset.attrs.get("schema", ""))
    if kind not in ACCURACY_LIMIT:
        return
    check_names(dataset, experiment.mixture, who)
    if "accuracy" in dataset.attrs and "seed" not in dataset.dims:
        check_accuracy(dataset, kind, who)
    check_seeds(dataset, kind, who)
