"""The page of a monitored run: it reads a record, and measures nothing."""

from __future__ import annotations

import datetime
import math
from typing import Any

import numpy as np
import xarray as xr

from diffclaims.monitor.record import Record
from diffclaims.monitor.states import UNKNOWN
from diffclaims.monitor.window import Window
from diffclaims.monitor.words import COLUMNS, NULL
from diffclaims.pages.bars import bar
from diffclaims.pages.curves import Chart, Line, chart
from diffclaims.pages.numbers import number, spread
from diffclaims.pages.png import data_uri
from diffclaims.pages.render import render
from diffclaims.pages.tables import Cell, Column, Table

_LOOKS = {
    "learned": "badge good",
    "memorizing": "badge warn",
    "memorized": "badge bad",
    UNKNOWN: "badge none",
}
_NEVER = "not reached"
_EVENTS = {"learned_at": "learned", "memorizing_at": "memorizing", "memorized_at": "memorized"}
_NO_PICTURES = (
    "No pictures were kept. Monitor(..., images=True) keeps the generated samples that are nearest to a "
    "training sample, "
    "images=(height, width) where samples are flattened; they come with the measurements that generate samples."
)


def page(record: Record, weights: str | None = None) -> str:
    """Return the page of a monitored run.

    Parameters
    ----------
    record : Record
    weights : {"raw", "ema"}, optional
        The averaged weights where they were measured, by default.

    Raises
    ------
    DiffclaimsError
        Where nothing was measured, or without Jinja2.
    """
    status, window, bands = record.status(weights), record.window(weights), record.loss_bands(weights)
    pictures = _pictures(record, weights)
    return render(
        "monitor.html",
        name=record.store.folder.resolve().name,
        reason=window.reason[0].upper() + window.reason[1:],
        look="good"
        if window.open
        else "bad"
        if window.reason.startswith(("no window", "closed"))
        else "warn",
        window_facts=_window_facts(window),
        states=_states(status),
        measures=_measures(status),
        copies=_copies(status),
        charts=list(zip(_charts(status, window, bands), _state_words(status), strict=True)),
        marked=_marked(window) is not None,
        pictures=pictures,
        no_pictures="" if pictures else _NO_PICTURES,
        missing=[m for m in str(status.attrs["missing"]).split("; ") if m],
        facts=_facts(record, status),
    )


def _names(status: xr.Dataset) -> list[str]:
    return [str(name) for name in status["class"].values]


def _rows(status: xr.Dataset) -> list[dict[str, Any]]:
    return [
        {"class": name, **{str(key): status[key].values[k] for key in status.data_vars}}
        for k, name in enumerate(_names(status))
    ]


def _state_words(status: xr.Dataset) -> list[str]:
    return [str(s) for s in status["state"].values]


def _at(row: dict[str, Any], key: str) -> str:
    """A time with its limits, in steps."""
    return spread(row[key], row[f"{key}_low"], row[f"{key}_high"], ",.0f", _NEVER)


def _states(status: xr.Dataset) -> Table:
    keys = ("class", "state", "since", "generalization", *_EVENTS, "best_at", "counts")
    rows = []
    for row in _rows(status):
        after = int(row["since_after"])
        known, measured = (
            " + ".join(f"{int(row[f'n_{split}{end}']):,}" for split in ("train", "held_out"))
            for end in ("", "_measured")
        )
        rows.append(
            [
                Cell(row["class"]),
                Cell(str(row["state"]), _LOOKS.get(str(row["state"]), "badge")),
                Cell(
                    f"{int(row['since']):,}",
                    mark=f"not yet at {after:,}" if after >= 0 else "the first measured",
                ),
                _interval(row, "generalization", (0.0, 1.2), 0.8),
                *(Cell(_at(row, key)) for key in _EVENTS),
                Cell(number(row["best_at"], ",.0f", "still falling")),
                Cell(known, mark=f"measured: {measured}"),
            ]
        )
    return Table(f"States at step {status.attrs['step']:,}", [COLUMNS[key] for key in keys], rows)


def _interval(
    row: dict[str, Any],
    key: str,
    axis: tuple[float, float],
    reference: float,
    mark: str = "",
    form: str = ".2f",
) -> Cell:
    value, low, high = (float(row[f"{key}{end}"]) for end in ("", "_low", "_high"))
    return Cell(spread(value, low, high, form), bar=bar(value, low, high, axis, reference), mark=mark)


def _measures(status: xr.Dataset) -> Table:
    gaps = np.nanmax([0.5, *status["gap_high"].values[np.isfinite(status["gap_high"].values)]])
    rows = [
        [
            Cell(row["class"]),
            _interval(row, "gap", (-0.1, float(gaps)), 0.0),
            _interval(row, "auc", (0.0, 1.0), 0.5),
            Cell(number(row["gap_level"], ".3g")),
            _interval(row, "label_gain", (-0.5, 1.5), 0.0),
        ]
        for row in _rows(status)
    ]
    keys = ("class", "gap", "auc", "gap_level", "label_gain")
    return Table(
        "Training samples against held-out ones",
        _columns(keys),
        rows,
        "The tick stands where a model that memorizes nothing would be.",
    )


def _columns(keys: tuple[str, ...]) -> list[Column]:
    return [COLUMNS[key] for key in keys]


def _copies(status: xr.Dataset) -> Table | None:
    """Measures of generated samples; None where none were generated."""
    if status.attrs["samples_at"] < 0:
        return None
    keys = ("gap_ratio", "auth_pct", "copied", "c_t")
    rows = []
    for row in _rows(status):
        cells = [Cell(row["class"])]
        for key in keys:
            null = float(row[f"{key}_null"])
            axis = (-10.0, 10.0) if key == "c_t" else (0.0, 1.0)
            cells.append(_interval(row, key, axis, null, f"held out: {number(null)}"))
        rows.append(cells)
    a = status.attrs
    note = f"Their class is {a['class_of_samples']}. {NULL}"
    return Table(f"Samples generated at step {a['samples_at']:,}", _columns(("class", *keys)), rows, note)


def _marked(window: Window) -> tuple[float, float] | None:
    """First and last step of the window; None where there is none."""
    known = not (math.isnan(window.start) or math.isnan(window.stop))
    return (window.start, window.stop) if known and window.start < window.stop else None


def _charts(status: xr.Dataset, window: Window, bands: xr.Dataset) -> list[Chart]:
    values = np.concatenate([bands[name].values.ravel() for name in bands.data_vars])
    values = values[np.isfinite(values) & (values > 0)]
    y_range = (float(values.min()) / 1.05, float(values.max()) * 1.05) if values.size else (0.1, 1.0)
    out = []
    for k, row in enumerate(_rows(status)):
        lines = [
            Line(look, *(bands[f"{split}_loss{end}"].values[k] for end in ("", "_low", "_high")))
            for look, split in (("first", "held_out"), ("second", "train"))
        ]
        last = [number(float(line.values[-1]), ".3g") for line in lines]
        out.append(
            chart(
                row["class"],
                f"held-out loss {last[0]} and training loss {last[1]} at step {status.attrs['step']:,}, "
                f"{row['state']}",
                bands["step"].values.astype(float),
                lines,
                y_range=y_range,
                window=_marked(window),
                marks=[(look, float(row[key])) for key, look in _EVENTS.items() if np.isfinite(row[key])],
            )
        )
    return out


def _window_facts(window: Window) -> list[tuple[str, str]]:
    if math.isnan(window.start):
        return []
    facts = [
        ("all learned at", spread(window.start, window.start_low, window.start_high, ",.0f", _NEVER)),
        ("first memorizing at", spread(window.stop, window.stop_low, window.stop_high, ",.0f", _NEVER)),
        ("resamplings with a window", number(window.certainty, ".0%")),
    ]
    if window.next_event:
        seconds = window.next_seconds
        in_time = f", in {_duration(seconds)}" if math.isfinite(seconds) else ""
        facts.append(("at the present rate", f"{window.next_event}{in_time}"))
    return facts


def _duration(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(seconds))) if seconds < 1e9 else "more than 30 years"


def _pictures(record: Record, weights: str | None) -> list[dict[str, Any]]:
    about, arrays = record.near(weights)
    names = [str(c) for c in record.about["classes"]]
    return [
        {
            "name": names[one["class"]],
            "nearest": names[one["train_class"]],
            "ratio": number(one["ratio"]),
            "is_copy": one["copy"],
            "sample": data_uri(arrays["samples"][i]),
            "train": data_uri(arrays["train"][i]),
        }
        for i, one in enumerate(about)
    ]


def _facts(record: Record, status: xr.Dataset) -> list[tuple[str, str]]:
    a, about = status.attrs, record.about
    steps = [m.step for m in record.measurements(a["weights"])]
    return [
        ("folder", str(record.store.folder)),
        ("weights", {"raw": "as trained", "ema": "averaged"}.get(a["weights"], a["weights"])),
        ("measured", f"{len(steps)} times, from step {steps[0]:,} to {steps[-1]:,}"),
        (
            "time of the training",
            f"{_duration(a['seconds'])}, of which measuring took {a['share_of_time']:.1%}",
        ),
        ("steps that were due and left out", str(len(a["left_out"]))),
        ("shape of a sample", " × ".join(map(str, about["shape"]))),
        ("noise levels", ", ".join(f"{s:.3g}" for s in about["levels"])),
        ("seed", str(about["seed"])),
        ("fingerprint of the data", str(about["fingerprint"])),
    ]
