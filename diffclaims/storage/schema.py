"""The written form of every result, enforced by one function.

Each kind of dataset names its variables, their dimensions and units. `stamp` adds the attributes
that every dataset carries, `validate` checks a dataset and says the first thing that is wrong.
Dimensions are never anonymous, labels are coordinates, and attributes are strings or numbers,
because NetCDF keeps nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from diffclaims.errors import InvalidInput, SubjectInvalid
from diffclaims.problem.arguments import checked

SCHEMA_VERSION = 1

#: Dimensions that any variable may have in front of its own: repetitions of the measurement.
REPEATS = ("seed",)

REQUIRED_ATTRS = ("schema", "schema_version", "subject", "diffclaims_version", "created_at", "seeds")


@dataclass(frozen=True)
class Variable:
    """What one variable of a dataset must look like."""

    dims: tuple[str, ...]
    units: str
    long_name: str
    required: bool = True
    #: Whether +inf is a legal value (a time that is never reached).
    allow_inf: bool = False
    #: Whether NaN (nothing was measured) and -inf are legal as well.
    allow_any: bool = False


@dataclass(frozen=True)
class Schema:
    """Variables and coordinates of one kind of dataset."""

    variables: Mapping[str, Variable]
    #: Coordinates with positive, increasing numbers.
    increasing: tuple[str, ...] = ()


_LOSS = "loss per dimension, 1 before training"

SCHEMAS: dict[str, Schema] = {
    "curves": Schema(
        {
            "test_loss": Variable(("class", "training_time"), "1", f"test {_LOSS}"),
            "train_loss": Variable(("class", "training_time"), "1", f"training {_LOSS}"),
            "bayes_loss": Variable(("class",), "1", "loss of the best linear denoiser of the class"),
        },
        increasing=("training_time",),
    ),
    "times": Schema(
        {
            "tau_gen": Variable(("class",), "training time", "time to generalize", allow_inf=True),
            "tau_best": Variable(("class",), "training time", "time of least test loss", allow_inf=True),
            "tau_mem": Variable(("class",), "training time", "time to memorize", allow_inf=True),
        }
    ),
    "calibration": Schema(
        {
            "samples": Variable(
                ("effect",), "1", "effects by seed; NaN beyond a case's seeds", allow_any=True
            ),
            "threshold": Variable(("effect",), "1", "what the effect must exceed"),
            "accuracy": Variable(("effect",), "1", "numerical accuracy of the effect"),
            "of_case": Variable(("effect",), "1", "number of the case"),
            "seconds": Variable(("case",), "s", "processor time of one seed of the case"),
        },
    ),
    "wrongness": Schema(
        {
            "smallest": Variable(
                ("claim", "family"), "1", "smallest size that the claim sees, NaN for none", allow_any=True
            ),
            "passes": Variable(("claim", "family"), "1", "largest size tried that passes", allow_any=True),
            "seen_by": Variable(("claim", "family"), "", "what sees the smallest"),
        }
    ),
    "error-rates": Schema(
        {
            "one_look": Variable(
                ("rule", "distribution", "n_seeds", "verdict"), "1", "repetitions that decide, at one look"
            ),
            "every_look": Variable(
                ("rule", "distribution", "verdict"),
                "1",
                "repetitions that decide, at a look after every seed",
            ),
            "claim": Variable(("correlation", "verdict"), "1", "the same, of claims of several effects"),
            "seeds_needed": Variable(("size", "test"), "1", "seeds that decide"),
        },
        increasing=("n_seeds", "size"),
    ),
    "orders": Schema(
        {
            "measured": Variable(
                ("definition", "pair"), "1", "ln tau_first/tau_second, mean over seeds", allow_any=True
            ),
            "by_seed": Variable(
                ("definition", "pair"),
                "1",
                "the same by seed, NaN if neither is reached",
                allow_any=True,
            ),
            "expected": Variable(
                ("predictor", "pair"), "1", "what stands for it before training", allow_any=True
            ),
            "share": Variable(("definition", "predictor"), "1", "share of pairs in the expected order"),
            "correlation": Variable(("definition", "predictor"), "1", "rank correlation over pairs"),
            "gain": Variable(("definition", "predictor"), "1", "that less the one of total variance"),
        }
    ),
    "orders_by_weight": Schema(
        {
            "measured": Variable(
                ("milestone", "pair", "weight"), "1", "ln tau_A/tau_B, mean over seeds", allow_any=True
            ),
            "by_seed": Variable(
                ("milestone", "pair", "weight"),
                "1",
                "the same by seed, NaN if neither is reached",
                allow_any=True,
            ),
            "rarer_later": Variable(
                ("milestone", "pair"), "1", "1 if A is the later the rarer it is, -1 if not"
            ),
            "reversed": Variable(
                ("milestone", "pair"), "1", "1 if A is later at its least weight, -1 if not"
            ),
        }
    ),
    "advice": Schema(
        {
            "samples": Variable(("class",), "1", "samples of the class"),
            "variance": Variable(("class",), "data^2", "variance per dimension", allow_any=True),
            "effective_dimension": Variable(
                ("class",), "1", "participation ratio of its spectrum", allow_any=True
            ),
            "nearest": Variable(("class",), "", "class of the nearest centroid"),
            "coverage": Variable(
                ("class",), "1", "distance to the nearest other sample, in units of the class", allow_any=True
            ),
            "tau_gen": Variable(("class",), "training time", "time to generalize, theory", allow_any=True),
            "tau_mem": Variable(("class",), "training time", "time to memorize, theory", allow_any=True),
            "mark": Variable(("class",), "", "what to doubt of the class"),
        }
    ),
    "trust": Schema(
        {
            "correlation": Variable(
                ("recording", "milestone", "predictor"), "1", "rank correlation over pairs", allow_any=True
            ),
            "share": Variable(
                ("recording", "milestone", "predictor"), "1", "share of pairs in the expected order"
            ),
        }
    ),
    "trial": Schema(
        {
            "width": Variable(
                ("design", "arm"),
                "1",
                "ln of the end of the safe window over its start",
                allow_any=True,
            ),
            "depth": Variable(
                ("design", "arm"),
                "1",
                "how far the worst class is inside both limits, best snapshot",
                allow_any=True,
            ),
            "n_train": Variable(("design", "arm", "place"), "1", "training images", allow_any=True),
        }
    ),
    "pair-rates": Schema(
        {
            "wrong": Variable(
                ("kind", "n_classes", "effect", "verdict"),
                "1",
                "repetitions that decide, where nothing orders",
            )
        },
        increasing=("n_classes",),
    ),
    "shares": Schema(
        {
            "claim": Variable(("point",), "", "claim that is asked"),
            "region": Variable(("point",), "", "inside or outside its regime"),
            "margin": Variable(
                ("point",), "1", "least effect minus threshold, NaN if not run", allow_any=True
            ),
            "verdict": Variable(("point",), "", "holds, fails, inconclusive or not run"),
            "decided_by": Variable(("point",), "", "effect of least margin"),
            "reason": Variable(("point",), "", "why it was not run"),
            "parameter": Variable(
                ("point", "axis"), "1", "where it is, NaN for what the claim does not have", allow_any=True
            ),
        }
    ),
    "convergence": Schema(
        {
            "bias": Variable(
                ("variable", "n_dims", "class", "training_time"), "1", "mean over seeds minus theory"
            ),
            "stderr": Variable(
                ("variable", "n_dims", "class", "training_time"), "1", "standard error of the bias"
            ),
            "rms": Variable(("variable", "n_dims"), "1", "bias, root mean square over classes and times"),
            "rms_stderr": Variable(("variable", "n_dims"), "1", "its standard error"),
            "exponent": Variable(("variable",), "1", "power of 1/d"),
        },
        increasing=("n_dims", "training_time"),
    ),
    "score-errors": Schema(
        {
            "log_time": Variable(
                ("run", "weight", "reading", "class"),
                "log diffusion time",
                "log speciation time by the reading",
                allow_any=True,
            ),
            "return_probability": Variable(
                ("run", "weight", "class", "diffusion_time"),
                "1",
                "probability that a U-turn returns to its class, mean over seeds",
                allow_any=True,
            ),
            "score_error": Variable(
                ("run", "weight", "class", "diffusion_time"),
                "1",
                "relative mean squared error of the score, mean over seeds",
                allow_any=True,
            ),
            "axis_error": Variable(
                ("run", "weight", "class", "diffusion_time"),
                "1",
                "the same along the difference of the centroids",
                allow_any=True,
            ),
            "balance": Variable(
                ("run", "weight"), "1", "mean violation of detailed balance over times", allow_any=True
            ),
        },
        increasing=("weight", "diffusion_time"),
    ),
    "spectrum": Schema(
        {
            "density": Variable(("eigenvalue",), "1/eigenvalue", "density of eigenvalues of U"),
            "population_energy": Variable(
                ("class", "eigenvalue"), "1/eigenvalue", "population energy of the class by eigenvalue"
            ),
            "training_energy": Variable(
                ("class", "eigenvalue"), "1/eigenvalue", "training energy of the class by eigenvalue"
            ),
        },
        increasing=("eigenvalue",),
    ),
    "speciation": Schema(
        {
            "commitment": Variable(
                ("class", "diffusion_time"), "1", "probability that the class is the most likely one"
            ),
            "return_probability": Variable(
                ("class", "diffusion_time"), "1", "probability that a U-turn returns to its class"
            ),
            "commitment_stderr": Variable(("class", "diffusion_time"), "1", "standard error", required=False),
            "return_probability_stderr": Variable(
                ("class", "diffusion_time"), "1", "standard error", required=False
            ),
            "transition": Variable(
                ("class", "to_class", "diffusion_time"),
                "1",
                "probability of ending in to_class",
                required=False,
            ),
            "transition_stderr": Variable(
                ("class", "to_class", "diffusion_time"), "1", "standard error", required=False
            ),
        },
        increasing=("diffusion_time",),
    ),
    "verdicts": Schema(
        {
            "effect": Variable(("case",), "1", "effect size, NaN if not run", allow_any=True),
            "threshold": Variable(("case",), "1", "what the effect must exceed", allow_any=True),
            "uncertainty": Variable(
                ("case",), "1", "how far beyond the threshold counts as decided", allow_any=True
            ),
            "verdict": Variable(("case",), "", "holds, fails, inconclusive or not run"),
        }
    ),
}


def schema_of(kind: str) -> Schema:
    """Return the schema of a kind of result.

    Raises
    ------
    InvalidInput
        For a kind that there is not.
    """
    if not isinstance(kind, str) or kind not in SCHEMAS:
        raise InvalidInput.of("kind", kind, f"be one of {sorted(SCHEMAS)}", "choose one of them")
    return SCHEMAS[kind]


@checked
def stamp(dataset: xr.Dataset, kind: str, attrs: Mapping[str, str | int | float]) -> xr.Dataset:
    """Return `dataset` as a finished result of one kind: units, names, provenance, then validated.

    Parameters
    ----------
    dataset : xarray.Dataset
        Values and coordinates.
    kind : str
        A key of `SCHEMAS`.
    attrs : mapping
        What `provenance` returned, and whatever else belongs to the result.
    """
    out = dataset.copy()
    for name, variable in schema_of(kind).variables.items():
        if name in out:
            # A variable without its coordinates, which are looked up and put together again for every name.
            own = out.variables[name].attrs
            own.setdefault("units", variable.units)
            own.setdefault("long_name", variable.long_name)
    out.attrs = {**dataset.attrs, **attrs, "schema": kind, "schema_version": SCHEMA_VERSION}
    return validate(out, kind)


def validate(dataset: xr.Dataset, kind: str, *, who: str = "the dataset") -> xr.Dataset:
    """Check a dataset against its schema and return it.

    Parameters
    ----------
    dataset : xarray.Dataset
        What to check.
    kind : str
        A key of `SCHEMAS`.
    who : str
        Named in the message: who made the dataset.

    Raises
    ------
    SubjectInvalid
        With the first thing that is wrong, and what was expected.
    """
    schema = schema_of(kind)
    if not isinstance(who, str):
        raise InvalidInput.of("who", who, "be text", "say who made the dataset")
    if not isinstance(dataset, xr.Dataset):
        raise SubjectInvalid(
            f"{who}: expected an xarray.Dataset of kind {kind!r}, got {type(dataset).__name__}"
        )
    for name, variable in schema.variables.items():
        if name not in dataset:
            if variable.required:
                raise SubjectInvalid(
                    f"{who}: {kind} needs the variable {name!r} with dims {variable.dims}; "
                    f"it has {sorted(map(str, dataset.data_vars))}"
                )
            continue
        array = dataset.variables[name]
        own = tuple(d for d in array.dims if d not in REPEATS)
        if set(own) != set(variable.dims) or len(own) != len(variable.dims):
            raise SubjectInvalid(
                f"{who}: {name} has dims {array.dims}; it must have {variable.dims}, "
                f"and may have {REPEATS} besides"
            )
        if array.dtype.kind == "f" and not variable.allow_any:
            bad = ~np.isfinite(array.values)
            if variable.allow_inf:
                bad &= ~np.isposinf(array.values)
            if bad.any():
                where = {str(d): int(i) for d, i in zip(array.dims, np.argwhere(bad)[0], strict=True)}
                allowed = "finite numbers or +inf" if variable.allow_inf else "finite numbers"
                raise SubjectInvalid(
                    f"{who}: {name} has {int(bad.sum())} values that are not {allowed}, the first at {where}"
                )
    for name in schema.increasing:
        values = np.asarray(dataset.variables[name].values) if name in dataset.coords else np.array([])
        if values.dtype.kind not in "fi" or values.size == 0 or not np.isfinite(values).all():
            raise SubjectInvalid(f"{who}: {kind} needs the coordinate {name!r} with finite numbers")
        if (np.diff(values) <= 0).any() or (values[0] < 0):
            raise SubjectInvalid(f"{who}: the coordinate {name!r} must increase from 0 or above")
    missing = [a for a in REQUIRED_ATTRS if a not in dataset.attrs]
    if missing:
        raise SubjectInvalid(
            f"{who}: attributes {missing} are missing; diffclaims.storage.schema.stamp adds them"
        )
    if dataset.attrs["schema"] != kind or int(dataset.attrs["schema_version"]) != SCHEMA_VERSION:
        raise SubjectInvalid(
            f"{who}: schema {dataset.attrs['schema']!r} version {dataset.attrs['schema_version']}; "
            f"this version reads {kind!r} version {SCHEMA_VERSION}"
        )
    for name, value in dataset.attrs.items():
        if isinstance(value, bool) or not isinstance(value, str | int | float | np.integer | np.floating):
            raise SubjectInvalid(
                f"{who}: attribute {name} is a {type(value).__name__}; NetCDF keeps only str, int and float: "
                "use json.dumps"
            )
    return dataset
