"""Check that a subject keeps its contract, before anything is concluded from it.

A wrong shape, a NaN or a loss on another scale must never read as "the claim is refuted".
"""

from __future__ import annotations

import inspect

import numpy as np
import xarray as xr

from diffclaims.api.answers import check_accuracy, check_names
from diffclaims.api.seeds import check_seeds
from diffclaims.api.subject import MEASURES, Subject, Tags, experiments_of
from diffclaims.errors import DiffclaimsError, NotMeasured, SubjectInvalid
from diffclaims.problem.arguments import checked
from diffclaims.problem.experiment import Experiment
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.storage import schema

#: Losses are in units of their value before training; the first point may already have moved. Ours.
START_TOLERANCE = 0.1
#: Two measurements with the same seeds agree to this, relative to the largest value; BLAS with
#: several threads does not add up in the same order every time.
REPEAT_TOLERANCE = 1e-9
#: A probability may leave [0, 1], and a loss 0, by rounding.
ROUNDING = 1e-9

#: What a subject that takes any mixture is asked: two classes that differ in everything, small.
PROBE = Experiment(
    mixture=GaussianMixture([0.4, 0.6], [1.5, 0.5]),
    model=RandomFeatures(psi_p=4.0, psi_n=2.0, diffusion_time=0.1),
)
#: Diffusion times of the probe.
PROBE_TIMES = np.array([0.05, 0.2, 0.8, 2.0])


@checked
def check_subject(subject: Subject, *, probe: Experiment | None = None, repeat: bool | None = None) -> None:
    """Check attributes, dimensions, units, finite values, scale and repeatability of a subject.

    Parameters
    ----------
    subject : Subject
        Any object that should keep the contract.
    probe : Experiment, optional
        What to ask it. By default a small mixture of two classes, or the first experiment that the
        subject lists where it does not take any mixture.
    repeat : bool, optional
        Whether to measure twice and compare; by default for subjects that are not tagged slow.

    Raises
    ------
    SubjectInvalid
        With the first thing that is wrong and what was expected.
    """
    who = f"subject {getattr(subject, 'name', subject)!r}"
    tags = _attributes(subject, who)
    if probe is None:
        probe = _probe(subject, tags, who)
    twice = not tags.slow if repeat is None else repeat
    for measure in sorted(tags.measures):
        first = _ask(subject, measure, probe, who)
        if first is None:
            continue
        label = f"{who}, {measure}"
        _dataset(first, MEASURES[measure], probe, tags, label)
        if twice and (second := _ask(subject, measure, probe, who)) is not None:
            _same(first, second, label)


def _attributes(subject: Subject, who: str) -> Tags:
    name = getattr(subject, "name", None)
    if not isinstance(name, str) or not name or any(c in name for c in "[]/\\ \t\n"):
        raise SubjectInvalid(f"{who}: name is {name!r}; it must be a word without brackets or slashes")
    tags = getattr(subject, "tags", None)
    if not isinstance(tags, Tags):
        raise SubjectInvalid(f"{who}: tags is a {type(tags).__name__}; it must be a diffclaims.subjects.Tags")
    for measure in sorted(tags.measures):
        method = getattr(subject, measure, None)
        if not callable(method):
            raise SubjectInvalid(f"{who}: its tags name {measure!r}, but it has no such method")
        n_arguments = 2 if measure == "speciation" else 1
        try:
            inspect.signature(method).bind(*range(n_arguments))
        except TypeError as error:
            raise SubjectInvalid(f"{who}: {measure} must take {n_arguments} arguments: {error}") from None
    return tags


def _probe(subject: Subject, tags: Tags, who: str) -> Experiment:
    try:
        listed = experiments_of(subject)
    except DiffclaimsError:
        raise
    except Exception as error:
        raise SubjectInvalid(f"{who}: experiments() raised {error!r}") from error
    for name, experiment in listed.items():
        if not isinstance(experiment, Experiment):
            raise SubjectInvalid(f"{who}: experiments()[{name!r}] is no Experiment")
    if listed:
        return next(iter(listed.values()))
    if not tags.gaussian:
        raise SubjectInvalid(
            f"{who}: it does not take any mixture (tags.gaussian is false) and lists no experiments(); "
            "nothing can be asked of it"
        )
    return PROBE


def _ask(subject: Subject, measure: str, probe: Experiment, who: str) -> xr.Dataset | None:
    arguments = (probe, PROBE_TIMES) if measure == "speciation" else (probe,)
    try:
        answer: xr.Dataset = getattr(subject, measure)(*arguments)
    except NotMeasured:
        return None
    except DiffclaimsError:
        raise
    except Exception as error:
        raise SubjectInvalid(
            f"{who}: {measure} raised {type(error).__name__}: {error}; a subject that cannot answer an "
            "experiment must raise NotMeasured with the reason"
        ) from error
    return answer


def _dataset(dataset: xr.Dataset, kind: str, probe: Experiment, tags: Tags, who: str) -> None:
    schema.validate(dataset, kind, who=who)
    n_classes = probe.mixture.n_classes
    if dataset.sizes.get("class") != n_classes:
        raise SubjectInvalid(
            f"{who}: the dimension class has {dataset.sizes.get('class')} entries, not {n_classes}"
        )
    check_names(dataset, probe.mixture, who)
    for name, variable in schema.SCHEMAS[kind].variables.items():
        if name in dataset and str(dataset[name].attrs.get("units", "")) != variable.units:
            raise SubjectInvalid(
                f"{who}: {name} has units {dataset[name].attrs.get('units')!r}, not {variable.units!r}"
            )
    if tags.exact:
        check_accuracy(dataset, kind, who)
    elif "seed" not in dataset.dims and not any(str(v).endswith("_stderr") for v in dataset.data_vars):
        raise SubjectInvalid(
            f"{who}: it has neither a seed dimension nor standard errors; a stochastic subject must say how "
            "well it knows its results"
        )
    check_seeds(dataset, kind, who)
    if kind == "curves":
        _losses(dataset, who)
    elif kind == "speciation":
        for name in ("commitment", "return_probability"):
            low, high = float(dataset[name].min()), float(dataset[name].max())
            if low < -ROUNDING or high > 1 + ROUNDING:
                raise SubjectInvalid(f"{who}: {name} goes from {low:.4g} to {high:.4g}; it is a probability")


def _losses(dataset: xr.Dataset, who: str) -> None:
    for name in ("test_loss", "train_loss"):
        loss = dataset[name]
        if float(loss.min()) < -ROUNDING:
            raise SubjectInvalid(f"{who}: {name} goes down to {float(loss.min()):.4g}, below 0")
        start = loss.isel(training_time=0)
        allowed = START_TOLERANCE
        if "seed" in start.dims:
            n = start.sizes["seed"]
            if n > 1:
                allowed = max(allowed, 3 * float((start.std("seed", ddof=1) / np.sqrt(n)).max()))
            start = start.mean("seed")
        off = float(np.abs(start - 1).max())
        if off > allowed:
            raise SubjectInvalid(
                f"{who}: {name} starts {off:.3g} away from 1; losses are in units of their value before "
                "training, and the first training time lies before learning sets in"
            )


def _same(first: xr.Dataset, second: xr.Dataset, who: str) -> None:
    for name in first.data_vars:
        a = np.asarray(first[name].values)
        b = np.asarray(second[name].values) if name in second else np.empty(0)
        if a.shape != b.shape:
            raise SubjectInvalid(f"{who}: asked twice, {name} has shapes {a.shape} and {b.shape}")
        if a.dtype.kind not in "fiu":
            continue
        # Times that are never reached are infinite, and what was not measured is NaN, in both.
        differ = ~((a == b) | ((a != a) & (b != b)))
        scale = float(np.abs(a[np.isfinite(a)]).max(initial=0.0))
        off = float(np.abs(a[differ] - b[differ]).max(initial=0.0))
        if not off <= REPEAT_TOLERANCE * max(scale, 1e-300):
            raise SubjectInvalid(
                f"{who}: asked twice, {name} differs by {off:.3g}; the same experiment must give the same "
                "answer: fix the seeds"
            )
