"""An advice as text: it reads the dataset and computes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from diffclaims.advice.weights import STATES
from diffclaims.terminal import rendered, table


def shown(advice: xr.Dataset, width: int) -> str:
    """Return an advice as text.

    Parameters
    ----------
    advice : xarray.Dataset
        As `diffclaims.advise` returns it.
    width : int
        In characters.
    """
    a = advice.attrs
    head = (
        f"{a['source']}: {a['n_samples']} samples of {a['n_dims']} dimensions. Model: {a['psi_p']:.3g} features and "
        f"{a['psi_n']:.3g} samples a dimension, t = {a['diffusion_time']:g}."
    )
    parts = [head, _samples(advice), _orders(advice), *_weights(advice)]
    if "stop" in a:
        parts.append(_at_stop(advice))
    marks = [m for m in advice["mark"].values if m]
    for title, lines in (
        ("Marked *:", marks),
        ("Recorded U-Nets say of these predictions:", a["trust"].splitlines()),
        ("To be doubted:", a["notes"].splitlines()),
    ):
        if lines:
            parts += ["", title, *(f"- {line}" for line in lines)]
    return rendered(*parts, width=width, soft_wrap=False)


def _samples(advice: xr.Dataset) -> Any:
    rows = table("class", "samples", "variance", "eff. dim.", "nearest class", "coverage")
    for k in range(advice.sizes["class"]):
        one = advice.isel({"class": k})
        near = str(one["nearest"].values)
        rows.add_row(
            _name(one),
            str(int(one["samples"])),
            _number(one["variance"], ".3g"),
            _number(one["effective_dimension"], ".1f"),
            _plain(f"{near} ({float(one['nearest_distance']):.1f} sd)" if near else "-"),
            _number(one["coverage"], ".2f"),
        )
    return rows


def _orders(advice: xr.Dataset) -> Any:
    late = "finite_tau_mem" in advice
    heads = ["class", "learned", "at", "memorized", "at", "by coverage"]
    rows = table(*heads, *(["finite: learned", "best", "memorized"] if late else []))
    first = float(np.nanmin(advice["tau_gen"]))
    finite_first = float(np.nanmin(advice["finite_tau_gen"])) if late else np.nan
    keys = advice["tau_gen"].fillna(np.inf).values, advice["tau_mem"].fillna(np.inf).values
    for k in np.lexsort(keys[::-1]):
        one = advice.isel({"class": int(k)})
        more = [_ratio(one[f"finite_tau_{m}"], finite_first) for m in ("gen", "best", "mem")] if late else []
        rows.add_row(
            _name(one),
            _place(one, "learned"),
            _time(one, "gen", first),
            _place(one, "memorized"),
            _time(one, "mem", first),
            _number(one["covered_place"], ".0f"),
            *more,
        )
    return rows


def _weights(advice: xr.Dataset) -> list[Any]:
    a = advice.attrs
    if "weights_state" not in a:
        return ["Weights: not searched for so many classes."]
    parts: list[Any] = [
        f"{_window(a)}.",
        f"Weights: {STATES[a['weights_state']]}.",
    ]
    if a["weights_state"] not in ("opens", "widens"):
        return parts
    opens = a["weights_state"] == "opens"
    rows = table("class", "weight", *(["opens it"] if opens else []), "widest found")
    for k in range(advice.sizes["class"]):
        one = advice.isel({"class": k})
        names = ["weight", *(["weight_opening"] if opens else []), "weight_widest"]
        rows.add_row(_name(one), *(_number(one[n], ".3f") for n in names))
    fewer = a["window_fewer"]
    state = f"its end is {np.exp(fewer):.2f} times its start" if fewer > 0 else "it is closed"
    within = np.isfinite(a["window_stderr"]) and a["window_widest"] < 1.96 * a["window_stderr"]
    scattered = ", less than what resampled data scatter" if within else ""
    return [
        *parts,
        rows,
        f"With the widest, and {a['n_samples']} samples in all, its end is {np.exp(a['window_widest']):.2f} times "
        f"its start{scattered}. Reached by leaving out samples, with {a['n_samples_fewer']} that remain, {state}. "
        "Drawing the same samples more often is not what the theory knows.",
    ]


def _window(a: dict[str, Any]) -> str:
    """The safe window, in units of the time at which the first class is learned."""
    what = "time at which all classes are learned and none is memorized"
    if a["window"] == np.inf:
        return f"There is a {what} from {a['window_start']:.2f} on, without end"
    if a["window"] == -np.inf:
        return f"There is no {what}: a class is never learned"
    start, end = (f"{a[f'window_{e}']:.2f}" for e in ("start", "end"))
    scatter = 1.96 * a["window_stderr"]
    sure = f" (its end over its start +-{scatter:.0%} over resampled data)" if np.isfinite(scatter) else ""
    if a["window"] > 0:
        return f"There is a {what} from {start} to {end}{sure}"
    return f"There is no {what}: the first is memorized at {end}, the last learned at {start}{sure}"


def _at_stop(advice: xr.Dataset) -> Any:
    rows = table("class", "learned", "gap", title=f"At {advice.attrs['stop']:g} times the first class's time")
    for k in range(advice.sizes["class"]):
        one = advice.isel({"class": k})
        rows.add_row(
            _name(one), _number(one["learned_at_stop"], ".0%"), _number(one["memorized_at_stop"], ".0%")
        )
    return rows


def _name(one: xr.Dataset) -> Any:
    return _plain(f"{one['class'].values}{' *' if str(one['mark'].values) else ''}")


def _plain(words: str) -> Any:
    """Text of a user's data, in which brackets are no markup and unprintable characters are shown."""
    from rich.text import Text

    return Text("".join(c if c.isprintable() else repr(c)[1:-1] for c in words))


def _number(value: xr.DataArray, form: str) -> str:
    number = float(value)
    return "-" if np.isnan(number) else f"{number:{form}}"


def _ratio(value: xr.DataArray, unit: float) -> str:
    number = float(value)
    return "-" if np.isnan(number) else ("never" if number == np.inf else f"{number / unit:.2f}")


def _time(one: xr.Dataset, which: str, first: float) -> str:
    """A time in units of the first class's, and 95 % over resampled data."""
    text = _ratio(one[f"tau_{which}"], first)
    error = float(one.get(f"tau_{which}_stderr", np.nan))
    return text if text in ("-", "never") or np.isnan(error) else f"{text} +-{1.96 * error:.0%}"


def _place(one: xr.Dataset, word: str) -> str:
    text = _number(one[f"{word}_place"], ".0f")
    low, high = (float(one.get(f"{word}_{end}", np.nan)) for end in ("first", "last"))
    return text if text == "-" or not low < high else f"{text} ({low:.0f}-{high:.0f})"
