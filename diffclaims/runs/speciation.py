"""U-turns of an experiment, from those of its trainings."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr

from diffclaims.errors import NotMeasured
from diffclaims.monitor.noise import Floats
from diffclaims.runs.copies import refuse_copies
from diffclaims.runs.find import Group, Run
from diffclaims.storage.provenance import provenance
from diffclaims.storage.schema import stamp

#: Noise levels that all trainings must have in common.
FEWEST = 5
#: The classifier must know so many of the starting points of each class: what it confuses did not change class.
ACCURATE = 0.9


def speciation_of(group: Group, subject: str) -> xr.Dataset:
    """Return a dataset of kind "speciation".

    Of each training the U-turns count at whose step its held-out loss is least, mean over classes and levels of L/T:
    later it has learned its training samples more than their distribution.

    Raises
    ------
    SubjectInvalid
        For trainings that are copies of one another.
    NotMeasured
        Where no training measured U-turns, the classifier does not know the classes, or levels differ.
    """
    refuse_copies(group)
    parts, left = {}, dict(group.left_out)
    for run in group.runs:
        turned = run.record.uturns(group.weights)
        if turned.sizes["step"]:
            parts[run.seed] = _at_best(run, group, turned)
        else:
            left[str(run.folder)] = str(turned.attrs["missing"])
    if not parts:
        why = next(iter(left[str(run.folder)] for run in group.runs))
        raise NotMeasured(f"{group.runs[0].folder}: {why}; watch with Monitor(..., uturns=True)")
    levels = [set(np.round(np.log(p["sigma"].values), 6).tolist()) for p in parts.values()]
    shared = sorted(set.intersection(*levels))
    if len(shared) < FEWEST:
        raise NotMeasured(
            f"{group.name}: U-turns of its trainings have {len(shared)} noise levels in common; {FEWEST} are needed"
        )
    kept = [p.isel(sigma=np.isin(np.round(np.log(p["sigma"].values), 6), shared)) for p in parts.values()]
    sigma = kept[0]["sigma"].values
    names = xr.DataArray(list(parts), dims="seed", name="seed")
    out = xr.concat(
        [p.assign_coords(sigma=sigma) for p in kept], dim=names, join="exact", combine_attrs="drop"
    )
    out = out.rename(sigma="diffusion_time").assign_coords(
        diffusion_time=0.5 * np.log1p(sigma**2), noise_level=("diffusion_time", sigma)
    )
    out = out.assign(weight=("class", np.array(group.class_weights)))
    attrs = provenance(
        subject=subject,
        experiment=group.experiment,
        seeds=list(parts),
        dtype="float32",
        weights=group.weights,
        rule=str(kept[0].attrs["rule"]),
        folders=json.dumps([str(run.folder) for run in group.runs if run.seed in parts]),
        left_out=json.dumps(left),
    )
    return stamp(out, "speciation", attrs)


def _at_best(run: Run, group: Group, turned: xr.Dataset) -> xr.Dataset:
    known = turned["accuracy"].min("step").values
    if known.min() < ACCURATE:
        worst = run.about["classes"][int(known.argmin())]
        raise NotMeasured(
            f"{run.folder}: {turned.attrs['rule']} knows {known.min():.2f} of the held-out samples of {worst}, "
            f"{ACCURATE:g} are needed to say where a U-turn ends: give Monitor(uturns=...) a classifier"
        )
    loss = {step: _loss(run, group, int(step)) for step in turned["step"].values.tolist()}
    best = min(loss, key=lambda step: loss[step])
    chosen = turned.sel(step=best)
    ordered = chosen.isel({"class": group.order, "to_class": group.order})
    return ordered.assign(training_step=best).drop_vars("step")


def _loss(run: Run, group: Group, step: int) -> float:
    found = [run.record.store.read(step)]
    curves = [run.record.curves(found, group.weights, k) for k in group.order]
    ratios: list[Floats] = [c.loss[0].mean(axis=1) / c.trivial.mean(axis=1) for c in curves]
    return float(np.mean(ratios))
