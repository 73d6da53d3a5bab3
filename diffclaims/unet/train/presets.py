"""Presets, one row each: settings shared by its runs, and its list of experiments.

A flag of the command line overrides any of them.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from diffclaims.errors import InvalidInput
from diffclaims.unet.config import RunConfig
from diffclaims.unet.data.fashion_mnist import CLASS_NAMES
from diffclaims.unet.data.registry import data_set

Settings = Mapping[str, Any]


def suiting(dataset: str) -> Settings:
    """Return the settings that suit a data set, its name among them.

    Raises
    ------
    InvalidInput
        For an unknown data set.
    """
    return {**data_set(dataset).settings, "dataset": dataset}


def _share(weight: float) -> tuple[float, float]:
    return (weight, round(1 - weight, 12))


#: Bag has the largest total variance of all classes, Trouser nearly the smallest.
_PAIR: dict[str, Settings] = {
    "balanced-n64": {"size": 64},
    "swap-n64": {"size": 64, "control": "variance-swap"},
}


def _weights(size: int, *values: float, **more: Any) -> dict[str, Settings]:
    return {
        f"bag{v:g}-n{size}": {"size": size, "size_of": "n_total", "weights": _share(v), **more}
        for v in values
    }


_TEN: Settings = {"classes": CLASS_NAMES, "size": 64, "n_eval": 64, "snapshots": 20, "uturn_at": ()}


def _pair_name(classes: Sequence[str]) -> str:
    return "-".join(c.replace("-", "").lower() for c in classes)


def _pairs(classes: Sequence[str]) -> dict[str, Settings]:
    """Every two of the classes, alphabetically: which of them comes first says nothing."""
    return {
        _pair_name(pair): {"classes": pair, "size": 64, "seeds": 2}
        for pair in itertools.combinations(sorted(classes), 2)
    }


#: Of the 45 pairs in the order of their ratio of total variances at 14 x 14, those of rank 1, 2, 22, 23, 44 and 45;
#: the class of larger variance first.
_BY_RATIO = (
    ("Bag", "Sneaker"),
    ("Bag", "Trouser"),
    ("Shirt", "Dress"),
    ("Pullover", "Dress"),
    ("T-shirt", "Coat"),
    ("Trouser", "Sneaker"),
)
#: Only what times are read from: the low noise levels, and no images.
_TIMES_ONLY: Settings = {"snapshots": 20, "levels": (0.2, 0.35, 0.6), "sample_at": (), "uturn_at": ()}

#: Settings of a rehearsal; its figures say nothing about any real run.
TOY: Mapping[str, Any] = {
    "resolution": 14, "multipliers": (1, 2), "width": 8, "embedding": 16, "batch": 8, "n_eval": 16, "snapshots": 5,
    "first_snapshot": 5, "n_samples": 8, "sampler_steps": 4, "uturn_levels": (1.0, 4.0), "uturn_starts": 4,
    "uturn_returns": 1,
}  # fmt: skip
#: `seeds`: how many of each experiment, from `first_seed` (0 by default); `experiments`: settings that differ from
#: the row's own.
PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {
        "settings": {
            "steps": 120,
            "n_eval": 32,
            "snapshots": 8,
            "first_snapshot": 10,
            "width": 8,
            "n_samples": 16,
            "sampler_steps": 8,
            "uturn_levels": (1.0, 4.0),
            "uturn_starts": 8,
            "uturn_returns": 2,
        },
        "experiments": {"balanced-n64": {"size": 64, "seeds": 2}},
    },
    "cpu": {
        "settings": {"steps": 3000, "uturn_at": (1 / 3, 1.0), "uturn_starts": 64, "uturn_returns": 2},
        "experiments": {
            "balanced-n64": {**_PAIR["balanced-n64"], "seeds": 8},
            "swap-n64": {**_PAIR["swap-n64"], "seeds": 5},
            **_weights(256, 0.1, seeds=5),
            **_weights(256, 0.3, 0.05, 0.9, seeds=4),
            "balanced-n256": {"size": 128, "seeds": 5, "steps": 8000},
            "ten-n64": {**_TEN, "seeds": 3},
        },
    },
    "gpu9": {
        # Seeds of their own: what another campaign found decides nothing here.
        "first_seed": 1000,
        "settings": {
            "resolution": 28,
            "width": 32,
            "multipliers": (1, 2, 2),
            "steps": 4000,
            "snapshots": 25,
            "uturn_at": (1 / 3,),
            "uturn_starts": 64,
            "uturn_returns": 2,
        },
        "experiments": {
            "balanced-n64": {**_PAIR["balanced-n64"], "seeds": 8},
            **_weights(256, 0.1, 0.05, seeds=8),
            "swap-n64": {**_PAIR["swap-n64"], "seeds": 8},
            "ten-n64": {**_TEN, "seeds": 3},
            "balanced-n256": {"size": 128, "seeds": 5, "steps": 8000},
        },
    },
    "pairs": {
        "first_seed": 1000,
        "settings": {"steps": 1200, **_TIMES_ONLY},
        "experiments": _pairs(CLASS_NAMES),
    },
    "digits": {
        "first_seed": 1000,
        "settings": {"steps": 1200, **_TIMES_ONLY, **suiting("digits"), "n_eval": 48},
        "experiments": _pairs(data_set("digits").classes),
    },
    "imbalance": {
        "first_seed": 1000,
        "settings": {"steps": 2000, **_TIMES_ONLY, "size": 256, "size_of": "n_total"},
        "experiments": {
            f"{_pair_name(pair)}-{weight:g}": {"classes": pair, "weights": _share(weight), "seeds": 3}
            for pair in _BY_RATIO
            for weight in (0.1, 0.5, 0.9)
        },
    },
    "rare": {
        "first_seed": 1000,
        "settings": {"steps": 1000, "snapshots": 20, "sample_at": (), "uturn_at": (1.0,), "uturn_starts": 64},
        "experiments": _weights(256, 0.1, 0.05, seeds=40),
    },
    "memorize": {
        "first_seed": 1000,
        "settings": {"steps": 20000, "uturn_at": (), "sample_at": (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)},
        "experiments": {"balanced-n16": {"size": 16, "seeds": 3}},
    },
    "cpu28": {
        "first_seed": 2000,
        "settings": {
            "resolution": 28,
            "width": 32,
            "multipliers": (1, 2, 2),
            "steps": 2000,
            "snapshots": 20,
            "uturn_at": (),
        },
        "experiments": {
            "balanced-n64": {**_PAIR["balanced-n64"], "seeds": 3},
            **_weights(256, 0.1, seeds=3),
            "swap-n64": {**_PAIR["swap-n64"], "seeds": 3},
        },
    },
    "paper": {
        "settings": {
            "resolution": 28,
            "width": 48,
            "multipliers": (1, 2, 2),
            "steps": 100000,
            "snapshots": 50,
            "n_eval": 512,
            "n_samples": 1024,
            "uturn_starts": 128,
            "sampler_steps": 40,
        },
        "experiments": {
            "balanced-n512": {"size": 256, "seeds": 5},
            "balanced-n2048": {"size": 1024, "seeds": 5},
            "swap-n512": {"size": 256, "control": "variance-swap", "seeds": 5},
            "mirror-n512": {"size": 256, "control": "variance-mirror", "seeds": 5},
            **_weights(2048, 0.3, 0.1, 0.05, 0.01, 0.9, seeds=5),
            "ten-n256": {**_TEN, "size": 256, "n_eval": 256, "seeds": 5},
            "null-n512": {"classes": ("Bag:1/2", "Bag:2/2"), "size": 256, "seeds": 5},
            "eps-n512": {"size": 256, "objective": "eps", "noise": "ddpm-uniform", "seeds": 5},
        },
    },
}


def runs(
    preset: str,
    *,
    only: Sequence[str] = (),
    seeds: int | None = None,
    overrides: Settings | None = None,
    experiments: Mapping[str, Settings] | None = None,
) -> list[RunConfig]:
    """Return the runs of a preset, seed by seed: if time ends early, each experiment has had its share.

    Parameters
    ----------
    preset : str
        A key of `PRESETS`.
    only : sequence of str
        Names of the experiments; all by default.
    seeds : int, optional
        Seeds of each experiment, instead of the preset's.
    overrides : mapping
        Flat settings that win over the preset's.
    experiments : mapping, optional
        The experiments to run, with settings of each that win over the preset's, ``seeds`` among them; all,
        as the preset has them, by default.

    Raises
    ------
    InvalidInput
        For an unknown preset, experiment or setting, or a value that is refused.
    """
    if preset not in PRESETS:
        raise InvalidInput.of("preset", preset, f"be one of {', '.join(PRESETS)}", "choose one")
    row = PRESETS[preset]
    listed = row["experiments"] if experiments is None else experiments
    for what, names, allowed in (("only", only, listed), ("experiment", listed, row["experiments"])):
        for name in names:
            if name not in allowed:
                near = difflib.get_close_matches(name, allowed, n=1)
                hint = f"did you mean {near[0]}?" if near else "choose from these"
                raise InvalidInput.of(what, name, f"be one of {', '.join(allowed)}", hint)
    if seeds is not None and seeds < 1:
        raise InvalidInput.of("seeds", seeds, "be at least 1", "give a number of repetitions")
    out: list[tuple[int, int, RunConfig]] = []
    for place, (name, own) in enumerate(row["experiments"].items()):
        if (only and name not in only) or name not in listed:
            continue
        chosen = {} if experiments is None else experiments[name]
        settings = {**row["settings"], **own, **chosen, **(overrides or {})}
        n_seeds = settings.pop("seeds")
        first = row.get("first_seed", 0)
        own_seeds = range(first, first + (seeds or n_seeds))
        out += [(seed, place, RunConfig.of(name, seed=seed, **settings)) for seed in own_seeds]
    return [run for _, _, run in sorted(out, key=lambda r: r[:2])]
