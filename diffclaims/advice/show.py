"""An advice as text: it reads the dataset and computes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from diffclaims.advice.sentences import HELPED, asked, in_order, number, place, ratio, time, widest, window
from diffclaims.advice.weights import STATES
from diffclaims.terminal import ascii_only, printable, rendered, table


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
    parts = [f"{a['source']}: {asked(a)}", _samples(advice), _orders(advice), *_weights(advice)]
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
            number(one["variance"], ".3g"),
            number(one["effective_dimension"], ".1f"),
            _plain(f"{near} ({float(one['nearest_distance']):.1f} sd)" if near else "-"),
            number(one["coverage"], ".2f"),
        )
    return rows


def _orders(advice: xr.Dataset) -> Any:
    late = "finite_tau_mem" in advice
    heads = ["class", "learned", "at", "memorized", "at", "by coverage"]
    rows = table(*heads, *(["finite: learned", "best", "memorized"] if late else []))
    first = float(np.nanmin(advice["tau_gen"]))
    finite_first = float(np.nanmin(advice["finite_tau_gen"])) if late else np.nan
    for k in in_order(advice):
        one = advice.isel({"class": k})
        more = [ratio(one[f"finite_tau_{m}"], finite_first) for m in ("gen", "best", "mem")] if late else []
        rows.add_row(
            _name(one),
            place(one, "learned"),
            _fitted(time(one, "gen", first)),
            place(one, "memorized"),
            _fitted(time(one, "mem", first)),
            number(one["covered_place"], ".0f"),
            *more,
        )
    return rows


def _weights(advice: xr.Dataset) -> list[Any]:
    a = advice.attrs
    if "weights_state" not in a:
        return ["Weights: not searched for so many classes."]
    parts: list[Any] = [
        _fitted(f"{window(advice)}."),
        f"Weights: {STATES[a['weights_state']]}.",
    ]
    if a["weights_state"] not in HELPED:
        return parts
    opens = a["weights_state"] == "opens"
    rows = table("class", "weight", *(["opens it"] if opens else []), "widest found")
    for k in range(advice.sizes["class"]):
        one = advice.isel({"class": k})
        names = ["weight", *(["weight_opening"] if opens else []), "weight_widest"]
        rows.add_row(_name(one), *(number(one[n], ".3f") for n in names))
    return [*parts, rows, widest(a)]


def _at_stop(advice: xr.Dataset) -> Any:
    rows = table("class", "learned", "gap", title=f"At {advice.attrs['stop']:g} times the first class's time")
    for k in range(advice.sizes["class"]):
        one = advice.isel({"class": k})
        rows.add_row(
            _name(one), number(one["learned_at_stop"], ".0%"), number(one["memorized_at_stop"], ".0%")
        )
    return rows


def _fitted(text: str) -> str:
    """Text with a factor, also where the output has no sign for division."""
    return text.replace("x/÷", "x or /") if ascii_only() else text


def _name(one: xr.Dataset) -> Any:
    return _plain(f"{one['class'].values}{' *' if str(one['mark'].values) else ''}")


def _plain(words: str) -> Any:
    """Text of a user's data, in which brackets are no markup and unprintable characters are shown."""
    from rich.text import Text

    return Text(printable(words))
