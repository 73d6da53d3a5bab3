"""Learning curves of an experiment, from the losses of its trainings."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr

from diffclaims.errors import NotMeasured
from diffclaims.monitor.curves import ClassCurves
from diffclaims.monitor.noise import Floats
from diffclaims.runs import definitions
from diffclaims.runs.copies import refuse_copies
from diffclaims.runs.find import Group, Run
from diffclaims.runs.grid import WIDEST, Grid, at, common
from diffclaims.storage.provenance import provenance
from diffclaims.storage.schema import stamp
from diffclaims.times.by_sample import with_even
from diffclaims.times.crossing import ln_spread
from diffclaims.times.definitions import Milestone

#: Resamplings of the samples behind the standard errors of times.
N_RESAMPLINGS = 100
#: Noise levels of seeds differ at most by this factor.
SAME_LEVEL = 1.25

_LONG_NAMES = {
    "test_loss": "held-out loss in units of its value before training, mean over the low noise levels",
    "train_loss": "training loss in units of its value before training, mean over the low noise levels",
    "bayes_loss": "lowest loss of Gaussian denoisers in units of the held-out loss before training, low levels",
    "generalization": "generalization P",
    "log_gap": "held-out less training mean ln(L/W), mean over the low noise levels",
}


def curves_of(group: Group, subject: str) -> xr.Dataset:
    """Return a dataset of kind "curves".

    Losses are means over the lower half of the noise levels, in units of their value at step 0. Times are read off
    each training's own measurements, by every definition of `diffclaims.runs.definitions`.

    Raises
    ------
    SubjectInvalid
        For trainings that are copies of one another.
    NotMeasured
        Where a training was not measured at step 0, has no held-out samples of a class or too few measurements, or
        measures at other noise levels than the others.
    """
    refuse_copies(group)
    _check_levels(group)
    grid = common([np.array(run.steps) for run in group.runs], group.name)
    parts = [_of_run(run, group, grid) for run in group.runs]
    names = xr.DataArray(group.seeds, dims="seed", name="seed")
    out = xr.concat(parts, dim=names, join="exact")
    out = out.assign(
        n_train=("class", np.array(group.counts)),
        weight=("class", np.array(group.class_weights)),
    )
    for name, text in _LONG_NAMES.items():
        out[name].attrs.update(units="1", long_name=text)
    return stamp(out, "curves", _attributes(group, subject) | {"common_steps": grid.sentence})


def _attributes(group: Group, subject: str) -> dict[str, str | int | float]:
    return provenance(
        subject=subject,
        experiment=group.experiment,
        seeds=group.seeds,
        dtype="float32",
        weights=group.weights,
        gen_definitions=json.dumps(definitions.sentences("gen")),
        mem_definitions=json.dumps(definitions.sentences("mem")),
        folders=json.dumps([str(run.folder) for run in group.runs]),
        left_out=json.dumps(group.left_out),
        n_parameters=int(group.runs[0].about["n_parameters"]),
    )


def _check_levels(group: Group) -> None:
    levels = [run.about["levels"] for run in group.runs]
    for run, other in zip(group.runs, levels, strict=True):
        same = len(other) == len(levels[0])
        if not same or np.abs(np.log(np.divide(other, levels[0]))).max() > np.log(SAME_LEVEL):
            raise NotMeasured(
                f"{group.runs[0].folder} and {run.folder} were measured at noise levels that differ by more than a "
                f"factor of {SAME_LEVEL:g}: their data or schedules are not those of one experiment"
            )


def _of_run(run: Run, group: Group, grid: Grid) -> xr.Dataset:
    if run.steps[0] != 0:
        raise NotMeasured(
            f"{run.folder}: its first measurement is at step {run.steps[0]}; ask monitor.due(step) from step 0 on, "
            "before anything is learned"
        )
    found, steps = run.record.measurements(group.weights), np.array(run.steps)
    if [m.step for m in found] != run.steps:
        raise NotMeasured(f"{run.folder}: {group.weights} weights were not measured every time")
    rows = [_of_class(run, group, k, name, grid) for k, name in zip(group.order, group.classes, strict=True)]
    by_time = ("class", "training_time")
    series = ("test_loss", "train_loss", "test_loss_stderr", "train_loss_stderr", "generalization", "log_gap")
    variables: dict[str, Any] = {
        name: (by_time, np.stack([at(grid, steps, row[name]) for row in rows])) for name in series
    }
    for name in ("bayes_loss", "tau_best_by_loss"):
        variables[name] = ("class",), np.array([row[name] for row in rows])
    for kind in ("gen", "mem"):
        dims = ("class", f"{kind}_definition")
        variables[f"tau_{kind}_by_definition"] = dims, np.stack([row[kind][:, 0] for row in rows])
        variables[f"tau_{kind}_ln_stderr"] = dims, np.stack([ln_spread(row[kind][:, 1:].T) for row in rows])
    coordinates = {
        "class": group.classes,
        "training_time": grid.steps,
        "gen_definition": list(definitions.of("gen")),
        "mem_definition": list(definitions.of("mem")),
    }
    return xr.Dataset(variables, coordinates)


def _of_class(run: Run, group: Group, k: int, name: object, grid: Grid) -> dict[str, Floats]:
    """Series over all steps of the run, and times: each definition's, then those of resampled samples."""
    found = run.record.measurements(group.weights)
    curves = run.record.curves(found, group.weights, k)
    if curves.n < 2 or not curves.m:
        raise NotMeasured(
            f"{run.folder}: class {name} has {curves.n} held-out samples; two or more are needed"
        )
    if not np.isfinite(curves.generalization()).all():
        raise NotMeasured(f"{run.folder}: no Gaussian denoiser is better than a trivial one for class {name}")
    low = definitions.low(curves)
    held, train = curves.loss[:, low], run.record.by_class(found, group.weights, "train", "loss", k)[:, low]
    out: dict[str, Floats] = {}
    for split, loss in (("test", held), ("train", train)):
        each = (loss / loss[0].mean(axis=-1)[:, None]).mean(axis=1)
        out[f"{split}_loss"] = each.mean(axis=-1)
        out[f"{split}_loss_stderr"] = each.std(axis=-1, ddof=min(1, each.shape[-1] - 1)) / np.sqrt(
            each.shape[-1]
        )
    out["bayes_loss"] = (curves.gaussian[low].mean(axis=-1) / held[0].mean(axis=-1)).mean()
    out["generalization"], out["log_gap"] = curves.generalization(), curves.gap()[:, low].mean(axis=1)
    out["tau_best_by_loss"] = np.asarray(definitions.best(curves))
    rng = np.random.default_rng(k)
    w, v = (with_even(n, N_RESAMPLINGS, rng) for n in (curves.n, curves.m))
    kinds: tuple[Milestone, ...] = ("gen", "mem")
    for kind in kinds:
        out[kind] = np.stack([d.times(curves, w, v) for d in definitions.of(kind).values()])
        _refuse_gaps(run, curves, name, kind, float(out[kind][0, 0]))
    return out


def _refuse_gaps(run: Run, curves: ClassCurves, name: object, kind: Milestone, time: float) -> None:
    """Refuse a time in a gap between measurements far apart: where in it is a guess.

    One that is not reached may have been reached in any gap, and lost again.
    """
    steps = np.maximum(curves.steps, 1.0)
    wide = np.flatnonzero(steps[1:] > WIDEST * steps[:-1])
    if np.isfinite(time):
        wide = wide[(steps[wide] < time) & (time <= steps[wide + 1] * (1 + 1e-12))]
    if wide.size:
        definition, i = next(iter(definitions.of(kind))), int(wide[0])
        raise NotMeasured(
            f"{run.folder}: class {name} may reach {definition} between steps {curves.steps[i]:.0f} and "
            f"{curves.steps[i + 1]:.0f}, where nothing was measured: give the monitor a larger budget"
        )
