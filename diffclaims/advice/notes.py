"""What is known to be unreliable in an advice: a sentence each, for one class or for all."""

from __future__ import annotations

import numpy as np
import xarray as xr

from diffclaims.advice import trial, trust
from diffclaims.advice.sentences import HELPED, agreement

#: Below so many samples the scatter over resampled data says little.
FEW = 10
#: A class with less of an even share is rare: recorded U-Nets are later with it than the theory is.
RARE = 0.2
#: Share of samples with an equal one that is worth a sentence.
REPEATED = 0.05
#: Standard deviations of data that networks are usually given lie between.
USUAL = (0.05, 2.0)


def with_notes(
    advice: xr.Dataset, left_out: dict[int, str], recorded: xr.Dataset | None, tried: xr.Dataset | None
) -> xr.Dataset:
    """Return an advice with ``mark`` of each class, and ``notes`` and ``trust`` as attributes, a sentence a line.

    Parameters
    ----------
    advice : xarray.Dataset
    left_out : dict
        By position of the class.
    recorded : xarray.Dataset or None
        Kind "trust".
    tried : xarray.Dataset or None
        Kind "trial".
    """
    even = advice.attrs["n_samples"] / max(1, int((~np.isnan(advice["tau_gen"].values)).sum()))
    marks = [
        left_out.get(k, "") or _mark(advice.isel({"class": k}), even) for k in range(advice.sizes["class"])
    ]
    out = advice.assign(mark=("class", marks))
    out.attrs |= {"notes": "\n".join(_notes(advice)), "trust": "\n".join(_trust(advice, recorded, tried))}
    return out


def _mark(one: xr.Dataset, even: float) -> str:
    """What to doubt of one class; `even` is the number of samples that each would have in balance."""
    name, n = str(one["class"].values), int(one["samples"])
    said = []
    if bool(one["small"]):
        varying = int(one.attrs["n_varying"])
        said.append(f"{name} has {n} samples for {varying} dimensions that vary")
        if float(one["shrunk"]) > 0:
            said[-1] += (
                f": its covariance is drawn {float(one['shrunk']):.0%} of the way to one alike in all of them "
                f"({one.attrs['shrinkage']}), which moves ln tau_gen by {_moved(one)}"
            )
        else:
            said[-1] += ": its effective dimension comes out too low, and its times scatter"
    if n < RARE * even:
        said.append(
            f"{name} has {n / even:.2g} of an even share: recorded U-Nets (one pair) learned so rare a class "
            "later than the theory does, and memorized its images the sooner the fewer they were"
        )
    if n < FEW:
        said.append(f"{name} has {n} samples: its scatter over resampled data says little")
    if float(one["repeated"]) > REPEATED:
        said.append(f"{float(one['repeated']):.0%} of the samples of {name} have an equal one in the class")
    if np.isposinf(float(one["tau_gen"])):
        said.append(f"{name} is never learned in the theory: it has too few features for it")
    return "; ".join(said) + ("." if said else "")


def _moved(one: xr.Dataset) -> str:
    shift = float(one["shrinkage_shift"])
    return f"{shift:+.2f}" if np.isfinite(shift) else "so much that it is reached only with one of them"


def _notes(advice: xr.Dataset) -> list[str]:
    """What to doubt of the whole."""
    a, said = advice.attrs, []
    if advice.sizes["class"] == 1 or (~np.isnan(advice["tau_gen"].values)).sum() == 1:
        said.append("There is one class that varies: it has no order, and no weights to choose.")
    if not a["bytes_scaled"] and not USUAL[0] <= a["deviation"] <= USUAL[1]:
        said.append(
            f"Samples are taken as they are, with standard deviation {a['deviation']:.3g}; networks are mostly "
            "trained on [-1, 1] or on deviation 1: give them in the scale of your training, or as bytes."
        )
    if a["factor"] > 1:
        said.append(f"Images are made smaller by means over blocks of {a['factor']} x {a['factor']} pixels.")
    if a["n_constant"]:
        said.append(f"{a['n_constant']} of {a['n_dims']} dimensions are the same in all samples.")
    if a["psi_p"] < 1:
        said.append(
            f"The model has {a['psi_p']:.2g} features a dimension, and learns not all directions; at 28 x 28 the "
            "theory with as few did not order recorded U-Nets. Leave out the number of parameters to ask it with 8."
        )
    if "finite_tau_mem" not in advice:
        said.append(
            "On images the theory's tau_mem and tau_best, and so the window and the weights, are off by factors of "
            "two and more; --finite trains the model on the samples themselves."
        )
    else:
        said.append(
            f"The finite-size model has {a['finite_sizes']}: orders of memorization may be read off it, not times."
        )
    said.append(
        "The unit of time is not that of an optimizer: times are stated in those of the first class learned."
    )
    return said


def _trust(advice: xr.Dataset, recorded: xr.Dataset | None, tried: xr.Dataset | None) -> list[str]:
    """A sentence for each order that is predicted, how the two predictors agree here, and one for the weights."""
    weights = advice.attrs.get("weights_state") in HELPED
    return _orders(advice, recorded) + ([trial.sentence(tried)] if weights else [])


def _orders(advice: xr.Dataset, recorded: xr.Dataset | None) -> list[str]:
    if recorded is None:
        return [
            "How far recorded U-Nets support this is not known here: baselines/advice/trust.nc is missing."
        ]
    said = []
    theory = trust.THEORY_SIZED if "parameters" in advice.attrs else trust.THEORY
    for milestone in trust.ORDERS:
        for predictor in (theory, trust.COVERAGE):
            sentence = trust.verdict(recorded, predictor, milestone)[1]
            said.append(sentence[0].upper() + sentence[1:])
    if np.isfinite(correlation := advice.attrs["agreement_gen"]):
        said.append(agreement(correlation))
    return said
