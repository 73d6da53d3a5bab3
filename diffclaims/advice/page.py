"""The page of an advice: it reads the dataset and computes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from diffclaims.advice.sentences import HELPED, asked, in_order, number, place, ratio, time, widest, window
from diffclaims.advice.weights import STATES
from diffclaims.pages.bars import bar
from diffclaims.pages.render import render
from diffclaims.pages.tables import Cell, Column, Table

_CLASS = Column("class", "A class of the data set. An asterisk: marked, see below.")
_SAMPLES = (
    Column("samples", "Number of samples of the class."),
    Column("variance", "Mean over dimensions of the variance of the class."),
    Column(
        "eff. dim.",
        "How many directions carry the variance: the squared sum of the eigenvalues of the covariance over "
        "the sum of squares.",
    ),
    Column(
        "nearest class",
        "Whose centroid is least far; in brackets how far, in standard deviations of the class along that "
        "line.",
    ),
    Column(
        "coverage",
        "Mean distance of a sample to the nearest other one of its class, over the root mean squared "
        "distance of two "
        "samples of it: 0 where each has a twin, near 1 where none tells of another. With 95 % over the "
        "samples.",
    ),
)
_LEARNED = Column(
    "learned", "Predicted place in the order of learning, with the places that occur over resampled data."
)
_LEARNED_AT = Column(
    "learned at",
    "When half of what there is to learn is learned, by the theory of the moments; in units of the time of "
    "the class "
    "that is learned first. ×/÷ 2 is from half to twice as much: 95 % over resampled data, which hold nothing of "
    "the errors of the theory.",
)
_MEMORIZED = Column(
    "memorized",
    "Predicted place in the order of memorization, with the places that occur over resampled data.",
)
_MEMORIZED_AT = Column(
    "memorized at",
    "When the gap of test and training loss reaches 0.1 of what there is to learn, in the same unit.",
)
_COVERED = Column(
    "by coverage", "Place by coverage: the class that is covered best comes first. A second predictor."
)
_FINITE = (
    Column(
        "finite: learned",
        "When the class is learned by the model of finite size, trained on the samples themselves.",
    ),
    Column("finite: best", "When its test loss is least there."),
    Column("finite: memorized", "When it is memorized there."),
)
_WEIGHT = Column("weight", "Share of the class in the training as it was asked.")
_OPENING = Column(
    "opens it", "The shares nearest to these, on the way to the widest, with which the window opens."
)
_WIDEST = Column("widest found", "The shares with which the window is widest, of those that were tried.")
_AT_STOP = (
    Column("learned by then", "Share of what there is to learn that is learned when you stop."),
    Column("gap by then", "Gap of test and training loss, as a share of what there is to learn."),
)


def page(advice: xr.Dataset) -> str:
    """Return the page of an advice.

    Parameters
    ----------
    advice : xarray.Dataset
        As `diffclaims.advise` returns it.

    Raises
    ------
    DiffclaimsError
        Without Jinja2.
    """
    a = advice.attrs
    searched = "weights_state" in a
    marks = [
        (str(c), str(m)) for c, m in zip(advice["class"].values, advice["mark"].values, strict=True) if str(m)
    ]
    return render(
        "advice.html",
        source=str(a["source"]),
        asked=asked(a),
        window=_shown(f"{window(advice)}.") if searched else "",
        look=_look(float(a["window"])) if searched else "",
        state=f"{STATES[a['weights_state']]}." if searched else "not searched for so many classes.",
        orders=_orders(advice),
        samples=_samples(advice),
        weights=_weights(advice) if a.get("weights_state") in HELPED else None,
        widest=widest(a) if a.get("weights_state") in HELPED else "",
        at_stop=_at_stop(advice) if "stop" in a else None,
        marks=marks,
        trust=_lines(a["trust"]),
        notes=_lines(a["notes"]),
        facts=_facts(a),
    )


def _lines(text: str) -> list[str]:
    return [line for line in str(text).split("\n") if line]


def _look(width: float) -> str:
    return "good" if width > 0 else "bad"


def _name(one: xr.Dataset) -> Cell:
    return Cell(f"{one['class'].values}{' *' if str(one['mark'].values) else ''}")


def _classes(advice: xr.Dataset) -> list[xr.Dataset]:
    return [advice.isel({"class": k}) for k in range(advice.sizes["class"])]


def _samples(advice: xr.Dataset) -> Table:
    rows = []
    for one in _classes(advice):
        near = str(one["nearest"].values)
        coverage, error = float(one["coverage"]), float(one["coverage_stderr"])
        rows.append(
            [
                _name(one),
                Cell(f"{int(one['samples']):,}"),
                Cell(number(one["variance"], ".3g")),
                Cell(number(one["effective_dimension"], ".1f")),
                Cell(f"{near} ({float(one['nearest_distance']):.1f} sd)" if near else "-", "name"),
                Cell(
                    f"{number(one['coverage'], '.2f')}{f' ± {1.96 * error:.2f}' if error > 0 else ''}",
                    bar=bar(coverage, coverage - 1.96 * error, coverage + 1.96 * error, (0.0, 1.0)),
                ),
            ]
        )
    return Table("What the samples say, without a theory", [_CLASS, *_SAMPLES], rows)


def _orders(advice: xr.Dataset) -> Table:
    late = "finite_tau_mem" in advice
    first = float(np.nanmin(advice["tau_gen"]))
    finite_first = float(np.nanmin(advice["finite_tau_gen"])) if late else np.nan
    axis = _axis(advice, first)
    rows = []
    for k in in_order(advice):
        one = advice.isel({"class": k})
        at = float(one["tau_gen"]) / first
        error = 1.96 * float(one.get("tau_gen_stderr", np.nan))
        drawn = bar(at, at * np.exp(-error), at * np.exp(error), axis, log=True) if np.isfinite(at) else None
        cells = [
            _name(one),
            Cell(place(one, "learned")),
            Cell(_shown(time(one, "gen", first)), bar=drawn),
            Cell(place(one, "memorized")),
            Cell(_shown(time(one, "mem", first))),
            Cell(number(one["covered_place"], ".0f")),
        ]
        if late:
            cells += [Cell(ratio(one[f"finite_tau_{m}"], finite_first)) for m in ("gen", "best", "mem")]
        rows.append(cells)
    columns = [_CLASS, _LEARNED, _LEARNED_AT, _MEMORIZED, _MEMORIZED_AT, _COVERED, *(_FINITE if late else ())]
    return Table("Predicted order, first learned first", columns, rows)


def _axis(advice: xr.Dataset, first: float) -> tuple[float, float]:
    """Times of learning, with their limits, of all classes."""
    at = advice["tau_gen"].values / first
    error = 1.96 * advice.get("tau_gen_stderr", xr.zeros_like(advice["tau_gen"])).fillna(0).values
    ends = np.concatenate([at * np.exp(-error), at * np.exp(error)])
    ends = ends[np.isfinite(ends) & (ends > 0)]
    low, high = float(ends.min()), float(ends.max())
    return low / 1.01, high * 1.01


def _shown(text: str) -> str:
    return text.replace("x/÷", "×/÷")


def _weights(advice: xr.Dataset) -> Table:
    opens = advice.attrs["weights_state"] == "opens"
    names = ["weight", *(["weight_opening"] if opens else []), "weight_widest"]
    columns = [_CLASS, _WEIGHT, *([_OPENING] if opens else []), _WIDEST]
    rows = []
    for one in _classes(advice):
        weight = float(one["weight"])
        cells = [
            Cell(
                number(one[n], ".3f"),
                bar=None
                if n == "weight"
                else bar(float(one[n]), float(one[n]), float(one[n]), (0.0, 1.0), weight),
            )
            for n in names
        ]
        rows.append([_name(one), *cells])
    return Table(
        "Shares of the classes in the training", columns, rows, "The tick is the share that was asked."
    )


def _at_stop(advice: xr.Dataset) -> Table:
    rows = [
        [
            _name(one),
            Cell(number(one["learned_at_stop"], ".0%")),
            Cell(number(one["memorized_at_stop"], ".0%")),
        ]
        for one in _classes(advice)
    ]
    caption = f"At {advice.attrs['stop']:g} times the time of the class that is learned first"
    return Table(caption, [_CLASS, *_AT_STOP], rows)


def _facts(a: dict[str, Any]) -> list[tuple[str, str]]:
    given = [("parameters of the network", f"{a['parameters']:,.0f}")] if "parameters" in a else []
    return [
        ("data", str(a["source"])),
        ("samples", f"{a['n_samples']:,}"),
        ("dimensions", f"{a['n_dims']:,}, of which {a['n_varying']:,} vary"),
        ("diffusion time t", f"{a['diffusion_time']:g}"),
        ("features a dimension", f"{a['psi_p']:.3g}"),
        ("samples a dimension", f"{a['psi_n']:.3g}"),
        *given,
        ("shrinkage", str(a["shrinkage"])),
        ("data sets drawn anew", str(a["n_resampled"])),
        ("made", str(a["created_at"])),
        ("commit", f"{a['commit']}{' with changes' if a['dirty'] else ''}" if a["commit"] else "-"),
        (
            "versions",
            ", ".join(f"{n} {a[f'{n}_version']}" for n in ("diffclaims", "python", "numpy", "scipy")),
        ),
    ]
