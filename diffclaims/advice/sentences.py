"""What is said of an advice, in words that the terminal and the page share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

#: States of `Advised` in which there are other weights to show.
HELPED = ("opens", "widens")
#: A rank correlation nearer to 0 is called neither agreement nor disagreement.
UNDECIDED = 0.25


def asked(a: Mapping[str, Any]) -> str:
    """Return what was asked, of how many samples."""
    return (
        f"{a['n_samples']} samples of {a['n_dims']} dimensions. Model: {a['psi_p']:.3g} features and "
        f"{a['psi_n']:.3g} samples a dimension, t = {a['diffusion_time']:g}."
    )


def in_order(advice: xr.Dataset) -> list[int]:
    """Return positions of the classes, first learned first."""
    keys = advice["tau_gen"].fillna(np.inf).values, advice["tau_mem"].fillna(np.inf).values
    return [int(k) for k in np.lexsort(keys[::-1])]


def widest(a: Mapping[str, Any]) -> str:
    """Return what the window is with the weights found."""
    fewer = a["window_fewer"]
    state = f"its end is {np.exp(fewer):.2f} times its start" if fewer > 0 else "it is closed"
    within = np.isfinite(a["window_stderr"]) and a["window_widest"] < 1.96 * a["window_stderr"]
    scattered = ", less than what resampled data scatter" if within else ""
    return (
        f"With the widest, and {a['n_samples']} samples in all, its end is {np.exp(a['window_widest']):.2f} times "
        f"its start{scattered}. Reached by leaving out samples, with {a['n_samples_fewer']} that remain, {state}. "
        "Drawing the same samples more often is not what the theory knows."
    )


def window(advice: xr.Dataset) -> str:
    """Return the safe window, in units of the time at which the first class is learned."""
    a = advice.attrs
    judged = int((~np.isnan(advice["tau_gen"].values)).sum())
    whole = judged == advice.sizes["class"]
    which = "all classes" if whole else f"all {judged} classes that could be judged"
    what = f"time at which {which} are learned and none is memorized"
    if judged == 1 and not whole:
        what = "time at which the one class that could be judged is learned and not memorized"
    if a["window"] == np.inf:
        return f"There is a {what} from {a['window_start']:.2f} on, without end"
    if a["window"] == -np.inf:
        return f"There is no {what}: a class is never learned"
    start, end = (f"{a[f'window_{e}']:.2f}" for e in ("start", "end"))
    scatter = 1.96 * a["window_stderr"]
    sure = f" (its end over its start {factor(scatter)} over resampled data)" if np.isfinite(scatter) else ""
    if a["window"] > 0:
        return f"There is a {what} from {start} to {end}{sure}"
    return f"There is no {what}: the first is memorized at {end}, the last learned at {start}{sure}"


def number(value: xr.DataArray, form: str) -> str:
    """Return a number, or a hyphen where it is not known."""
    known = float(value)
    return "-" if np.isnan(known) else f"{known:{form}}"


def ratio(value: xr.DataArray, unit: float) -> str:
    """Return a time in a unit."""
    known = float(value)
    return "-" if np.isnan(known) else ("never" if known == np.inf else f"{known / unit:.2f}")


def time(one: xr.Dataset, which: str, first: float) -> str:
    """Return a time in units of the first class's, and 95 % over resampled data."""
    text = ratio(one[f"tau_{which}"], first)
    error = float(one.get(f"tau_{which}_stderr", np.nan))
    return text if text in ("-", "never") or np.isnan(error) else f"{text} {factor(1.96 * error)}"


def factor(error: float) -> str:
    """Return an error of a logarithm as the factor by which the number is larger or smaller.

    As a percentage it would be read as one of the number itself, which it is only where it is small.
    """
    by = float(np.exp(error))
    return f"x/÷ {by:.2f}" if by < 2 else f"x/÷ {by:.1f}" if by < 100 else f"x/÷ {by:.2g}"


def agreement(correlation: float) -> str:
    """Return how the orders of learning by theory and by coverage go together."""
    word = "agree" if correlation > 0 else "disagree"
    if abs(correlation) < UNDECIDED:
        word = "neither agree nor disagree"
    return f"Here theory and coverage {word} on the order of learning (rank correlation {correlation:+.2f})."


def place(one: xr.Dataset, word: str) -> str:
    """Return the place of a class, and the places that occur over resampled data."""
    text = number(one[f"{word}_place"], ".0f")
    low, high = (float(one.get(f"{word}_{end}", np.nan)) for end in ("first", "last"))
    return text if text == "-" or not low < high else f"{text} ({low:.0f}-{high:.0f})"
