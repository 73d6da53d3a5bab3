"""Small things that pages show, made without a training: a record, an advice, a report; with any names."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

import diffclaims
from diffclaims.monitor import Record
from diffclaims.monitor.store import Measurement, Store
from diffclaims.suite.runner import Row

NAMES = ("early", "late", "copied")
STEPS = (0, 1, 3, 10, 30, 100, 300, 1000)
#: Samples of a class and split, and noise levels.
N, LEVELS = 24, (0.2, 1.0)
#: ln(1 + step) at which each class is learned, and at which its gap opens.
LEARNED, OPENS = (2.0, 3.5, 4.5), (9.0, 9.0, 5.5)


def record(
    folder: Path, names: Sequence[int | str] = NAMES, *, opens=OPENS, pictures: bool = False
) -> Record:
    """A run of three classes: the first two are learned, the third is memorized at the end."""
    store, rng = Store(folder), np.random.default_rng(0)
    k, n_levels = len(names), len(LEVELS)
    flat = np.zeros((n_levels, k * N))
    about = {
        "version": 1,
        "classes": list(names),
        "shape": [2, 2],
        "counts": {"train": [30 + i for i in range(k)], "held_out": [40 + i for i in range(k)]},
        "chosen": {"train": [N] * k, "held_out": [N] * k},
        "seed": 0,
        "fingerprint": "0123",
        "levels": list(LEVELS),
        "missing": [f"{names[0]}: told to be missing"],
    }
    reference = {
        "train_log": flat,
        "held_out_log": flat,
        "trivial": flat + 1.0,
        "told": flat + 0.1,
        "untold": flat + 0.1,
    }
    store.begin(about, reference)
    jitter = {s: 0.05 * rng.standard_normal((n_levels, k * N)) for s in ("train", "held_out")}
    for step in STEPS:
        at, arrays = np.log1p(step), {}
        for split in ("train", "held_out"):
            level = [
                np.log(0.1 + 0.9 / (1 + np.exp(3 * (at - LEARNED[i] + 0.8))))
                - (split == "train") * max(0.0, at - opens[i])
                for i in range(k)
            ]
            logs = np.repeat(level, N)[None] + jitter[split]
            arrays |= {f"raw_{split}_log": logs, f"raw_{split}_loss": np.exp(logs)}
        last = step == STEPS[-1]
        info = {
            "weights": ["raw"],
            "samples": {"raw": samples(k)} if last else {},
            "labels_matter": {"raw": True},
            "seconds": {},
            "schedule": {
                "account": {"elapsed": 1.0 + step, "spent": 0.1},
                "since_samples": 0,
                "left_out": [],
            },
        }
        if last and pictures:
            info["samples"]["raw"]["near"] = [
                {"class": i, "train_class": 0, "ratio": 0.2 + 0.3 * i, "copy": i == 0} for i in range(k)
            ]
            arrays |= {
                "raw_near_samples": np.arange(4 * k, dtype=np.uint8).reshape(k, 2, 2),
                "raw_near_train": np.full((k, 2, 2, 3), 200, dtype=np.uint8)[..., 0],
            }
        store.write(Measurement(step, arrays, info))
    return Record(folder)


def samples(k: int) -> dict[str, object]:
    """Measures of generated samples, another value for each class."""
    out: dict[str, object] = {"n_samples": [64.0] * k, "n_held_out": [float(N)] * k, "n_sources": [40.0] * k}
    out |= {
        "copied_sources": [0.0] * k,
        "pool_share": 1.0,
        "missing": "",
        "class_rule": "the class that was asked for",
    }
    for j, name in enumerate(("gap_ratio", "auth_pct", "copied", "c_t")):
        values = np.array([0.01 + 0.1 * i + 0.03 * j for i in range(k)])
        out |= {name: list(values), f"{name}_low": list(values - 0.005), f"{name}_high": list(values + 0.005)}
        out[f"{name}_null"] = list(values + 0.02)
    return out


def one_line(text: str) -> str:
    """As notes are, which stand in lines."""
    return text.replace("\n", " ")


@functools.cache
def _advice() -> xr.Dataset:
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [rng.normal(size=(n, 12)) * s + c for n, s, c in ((60, 1.4, 0), (30, 0.5, 1), (10, 1.0, 3))]
    )
    return diffclaims.advise(x, ["a"] * 60 + ["b"] * 30 + ["c"] * 10, stop=2.0, resamples=3)


def advice(names: Sequence[str] = NAMES) -> xr.Dataset:
    """An advice on three classes, the last of which is marked; every text of the user's is the name."""
    old = _advice()
    new = dict(zip(old["class"].values.tolist(), names, strict=True))
    out = old.assign_coords({"class": list(names)})
    out["nearest"] = ("class", [new[str(n)] for n in old["nearest"].values])
    out["mark"] = (
        "class",
        [new[str(c)] if str(m) else "" for c, m in zip(new, old["mark"].values, strict=True)],
    )
    return out.assign_attrs(source=names[0], notes=f"{one_line(names[1])}\nsecond", trust=one_line(names[2]))


def row(**more: object) -> Row:
    values = {"claim": "order", "case": "ratio-2", "subject": "toy", "role": "regime", "expect": ["holds"]}
    values |= {
        "outcome": "holds",
        "effect": "ln",
        "value": 0.5,
        "low": 0.25,
        "high": 0.75,
        "status": "as expected",
    }
    return Row(**(values | {"sentence": "s", "baseline": "same", "n_seeds": 8} | more))  # type: ignore[arg-type]


def report(names: Sequence[str] = NAMES) -> dict[str, object]:
    """A report in which a case failed, one is an expected failure, one inconclusive, one was not run."""
    a, b, c = names
    rows = [
        row(),
        row(case="tie", role="control", outcome="fails", expect=["fails"], value=-0.5, low=-0.6, high=-0.4),
        row(
            case="ratio-4",
            subject=a,
            outcome="fails",
            status="unexpected",
            reason=b,
            value=-1.0,
            low=-1.5,
            high=-0.9,
        ),
        row(case="ratio-2", subject=a, outcome="fails", status="expected failure", expected_failure=c),
        row(
            case="ratio-8", subject=a, outcome="inconclusive", status="inconclusive", sentence=b, low=-np.inf
        ),
        row(
            case="equal", subject=b, outcome="not run", status="not run", reason=c, value=None, baseline="off"
        ),
    ]
    from diffclaims.suite.report import to_json

    titles = {"toy": "toy", a: f"{a} here", b: b}
    told = {
        "command": f"pytest claims --subject {c}",
        "claims": {"order": {"says": a, "source": b, "regime": c, "definitions": a, "cases": {"tie": b}}},
        "subjects": {name: {"title": title, "reason": ""} for name, title in titles.items()},
    }
    return copy.deepcopy(json.loads(to_json(rows, told)))
