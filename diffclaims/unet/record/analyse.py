"""From the raw measurements of runs to the datasets that are kept: "curves" and "speciation".

The "curves" dataset of an experiment also holds what else was found at the snapshots: losses by noise level,
references, times under every definition with their errors from resampled images, and copies.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from diffclaims.problem.experiment import Experiment
from diffclaims.storage.provenance import provenance
from diffclaims.storage.schema import SCHEMAS, stamp
from diffclaims.times import definitions
from diffclaims.times.crossing import ln_spread
from diffclaims.times.networks import ClassImages, Curves
from diffclaims.unet.data.data_set import LabelledImages
from diffclaims.unet.data.prepare import PreparedData, prepare
from diffclaims.unet.measure.classifier import Classifier, train_classifier
from diffclaims.unet.measure.probes import Probe
from diffclaims.unet.measure.wiener import ClassMoments
from diffclaims.unet.model.objective import NetworkDenoiser
from diffclaims.unet.model.randomness import mix
from diffclaims.unet.record.raw import Floats, RawRun, experiment_of
from diffclaims.unet.record.samples import count_real, sample_dataset
from diffclaims.unet.record.sheets import sample_sheet
from diffclaims.unet.record.uturns import speciation

#: Resamplings of the images behind the standard errors of times, and how many of them are kept.
BOOTSTRAPS, KEPT_BOOTSTRAPS = 200, 50


def _standard_error(x: Floats) -> Floats:
    n = np.isfinite(x).sum(axis=-1)
    return np.asarray(np.nanstd(x, axis=-1, ddof=1) / np.sqrt(n))


def _class_images(run: RawRun, wiener: Floats, isotropic: Floats) -> list[ClassImages]:
    p = run.config.probe
    scale = (isotropic - wiener).mean(axis=0)
    return [
        ClassImages(
            steps=run.steps.astype(np.float64),
            low=np.isin(p.levels, p.low),
            test_loss=run.probes["test_loss"][:, k],
            test_log_ratio=run.probes["test_log_ratio"][:, k],
            train_log_ratio=run.probes["train_log_ratio"][:, k],
            wiener=wiener[k],
            isotropic=isotropic[k],
            scale=scale,
        )
        for k in range(len(wiener))
    ]


class _Zero(torch.nn.Module):
    def forward(self, x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(x)


def _with_start(run: RawRun, data: PreparedData, moments: tuple[ClassMoments, ...]) -> RawRun:
    """Put the untrained network in front of the snapshots as step 0: whatever its seed, it answers 0."""
    probe = Probe(data, run.config.probe, seed=run.config.seed, moments=moments, device=torch.device("cpu"))
    start = probe(NetworkDenoiser(_Zero(), run.config.objective), batch=256)
    probes = {k: np.concatenate([start[k][None].astype(np.float64), v]) for k, v in run.probes.items()}
    return dataclasses.replace(run, steps=np.concatenate([[0], run.steps]), probes=probes)


def _times(curves: Sequence[Curves]) -> dict[str, Floats]:
    return {
        "gen": np.array([[d.time(c) for d in definitions.of("gen").values()] for c in curves]),
        "mem": np.array([[d.time(c) for d in definitions.of("mem").values()] for c in curves]),
        "best": np.array([c.best() for c in curves]),
    }


def run_datasets(
    run: RawRun, data: PreparedData, classifier: Classifier | None, n_real: int
) -> dict[str, xr.Dataset]:
    """Analyse one run by its images, of which `n_real` a class are compared with samples.

    Returns datasets by kind, without the seed dimension.
    """
    cfg = run.config
    if list(data.counts) != run.info["counts"]:
        raise AssertionError("the run was trained on other data")
    moments = tuple(ClassMoments.of(x) for x in data.population)
    levels = np.asarray(cfg.probe.levels)
    # Runs of before did not measure it.
    run = run if run.steps[0] == 0 else _with_start(run, data, moments)
    wiener = np.stack([m.wiener_loss(levels) for m in moments])
    isotropic = np.stack([m.isotropic_loss(levels) for m in moments])
    low = np.isin(cfg.probe.levels, cfg.probe.low)
    images = _class_images(run, wiener, isotropic)
    curves = [c.curves() for c in images]

    def move(x: Floats) -> Floats:  # (T, K, ...) to (K, T, ...)
        return np.moveaxis(x, 1, 0)

    by_time, by_noise = ("class", "training_time"), ("class", "training_time", "noise_level")
    variables: dict[str, Any] = {}
    # The schema's losses are 1 before training: each level in units of the untrained network's test loss there.
    start = np.nanmean(run.probes["test_loss"][0], axis=-1)
    log_ratio: dict[str, Floats] = {}
    for split in ("test", "train"):
        loss, ratio = run.probes[f"{split}_loss"], run.probes[f"{split}_log_ratio"]
        per_image = (loss / start[:, :, None])[:, :, low].mean(axis=2)
        variables[f"{split}_loss"] = (by_time, move(np.nanmean(per_image, axis=-1)))
        variables[f"{split}_loss_stderr"] = (by_time, move(_standard_error(per_image)))
        variables[f"{split}_loss_by_noise"] = (by_noise, move(np.nanmean(loss, axis=-1)))
        log_ratio[split] = move(np.nanmean(ratio, axis=-1))
    variables["log_gap_by_noise"] = (by_noise, log_ratio["test"] - log_ratio["train"])
    coordinates = {
        "class": list(data.classes),
        "training_time": run.steps.astype(np.float64),
        "noise_level": levels,
        "low": ("noise_level", low.astype(np.int8)),
    }
    per_class = {
        "n_train": np.array(data.counts),
        "contrast": np.array(data.contrast),
        "total_variance": np.array([m.total_variance for m in moments]),
        "participation_ratio": np.array([m.participation for m in moments]),
    }
    variables |= {
        "bayes_loss": (("class",), (wiener / start)[:, low].mean(axis=1)),
        "wiener_loss": (("class", "noise_level"), wiener),
        "isotropic_loss": (("class", "noise_level"), isotropic),
        "membership_auc": (by_time, np.stack([c.membership_auc() for c in images])),
        **{k: (("class",), v) for k, v in per_class.items()},
    }
    out = {"curves": xr.Dataset(variables, coordinates)}

    out["times"] = _times_dataset(images, curves, data.classes, levels, seed=cfg.seed)
    if classifier is not None and run.samples:
        real = data.held_out[:, :n_real]
        samples = sample_dataset(run, data, classifier, real)
        out |= {} if samples is None else {"samples": samples}
        if any("uturns" in found for found in run.samples.values()):
            out["speciation"] = speciation(run, data, moments, classifier, real=real)
    return out


def _times_dataset(
    images: Sequence[ClassImages],
    curves: Sequence[Curves],
    classes: tuple[str, ...],
    levels: Floats,
    *,
    seed: int,
) -> xr.Dataset:
    """Times of each class under every definition, with what resampling the images does to them."""
    rng = np.random.default_rng(mix(seed, 100))
    resampled = [_times([c.curves(rng) for c in images]) for _ in range(BOOTSTRAPS)]
    spread = {k: ln_spread(np.stack([r[k] for r in resampled])) for k in ("gen", "mem", "best")}
    found = _times(curves)
    each = np.eye(len(levels), dtype=bool)
    gen, mem = ("class", "gen_definition"), ("class", "mem_definition")
    return xr.Dataset(
        {
            "tau_gen_by_definition": (gen, found["gen"]),
            "tau_mem_by_definition": (mem, found["mem"]),
            "tau_gen_ln_stderr": (gen, spread["gen"]),
            "tau_mem_ln_stderr": (mem, spread["mem"]),
            "tau_best_by_loss": (("class",), found["best"]),
            "tau_best_ln_stderr": (("class",), spread["best"]),
            # By the main definitions: what a comparison of classes resamples, after the seeds.
            **{
                f"tau_{kind}_resampled": (
                    ("class", "resampling"),
                    np.stack([r[kind][:, 0] for r in resampled[:KEPT_BOOTSTRAPS]], axis=1),
                )
                for kind in ("gen", "mem")
            },
            "tau_gen_by_noise": (
                ("class", "gen_definition", "noise_level"),
                np.array(
                    [
                        [[d.time(c.at(e)) for e in each] for d in definitions.of("gen").values()]
                        for c in curves
                    ]
                ),
            ),
        },
        {
            "class": list(classes),
            "gen_definition": list(definitions.of("gen")),
            "mem_definition": list(definitions.of("mem")),
            "noise_level": levels,
        },
    )


_LONG_NAMES = {
    "test_loss": ("1", "test loss in units of its value before training, mean over low noise levels"),
    "train_loss": (
        "1",
        "training loss in units of the test loss before training, mean over low noise levels",
    ),
    "bayes_loss": ("1", "loss of the class's Wiener filter in the same units, mean over low noise levels"),
    "test_loss_by_noise": ("1", "test loss per dimension, in units of the noise"),
    "train_loss_by_noise": ("1", "training loss per dimension with fresh noise, in units of the noise"),
    "log_gap_by_noise": (
        "1",
        "mean over test less mean over training images of ln(loss / loss of the Wiener filter)",
    ),
    "wiener_loss": ("1", "loss of the class's Wiener filter"),
    "isotropic_loss": ("1", "loss of the denoiser that knows the class's mean and total variance"),
    "membership_auc": (
        "1",
        "P(training image's ln(loss / Wiener) < test image's), mean over low noise levels",
    ),
    "total_variance": ("pixel^2", "trace of the class's covariance, as prepared"),
    "participation_ratio": ("1", "participation ratio of the class's spectrum"),
    "n_train": ("1", "training images"),
    "contrast": ("1", "factor about the class's mean that the control applied"),
    "memorized_fraction": ("1", "share of samples with nearest/second-nearest training distance below 1/3"),
    "copied_fraction": ("1", "share of samples nearer to a training image than 5 % of real held-out images"),
    "class_share": ("1", "share of the samples in the class"),
    "distinct_copies": ("1", "different training images among the memorized or copied"),
    "copy_radius": (
        "pixel",
        "5 % quantile of the distance of real held-out images to the nearest training image",
    ),
    "rejected_share": ("1", "share in none of the classes"),
    "frechet_distance": (
        "1",
        "squared Frechet distance to real images in standardized features of the classifier",
    ),
    "kernel_distance": ("1", "squared maximum mean discrepancy to real images in standardized features"),
    "oracle_transition": ("1", "the same of Gaussian classes with the data's moments, exactly"),
    "noise_level": ("pixel", "standard deviation of the noise"),
    "training_time": ("step", "optimizer step"),
    "diffusion_time": ("1", "ln(1 + sigma^2)/2"),
}


def combine(datasets: Sequence[xr.Dataset], seeds: Sequence[int]) -> xr.Dataset:
    """Join the same dataset of several seeds along a new first dimension ``seed``."""
    out = xr.concat(
        datasets,
        dim=xr.DataArray(list(seeds), dims="seed", name="seed"),
        combine_attrs="drop_conflicts",
        join="exact",
        coords="minimal",
        compat="equals",
    )
    kept = set(SCHEMAS["curves"].variables) | set(SCHEMAS["speciation"].variables)
    for name, variable in out.data_vars.items():
        # The network computes in single precision; further digits would only fill the file.
        if variable.dtype == np.float64 and name not in kept:
            out[name] = variable.astype(np.float32)
    for name, (units, text) in _LONG_NAMES.items():
        if name in out.variables:
            out[name].attrs.update(units=units, long_name=text)
    return out


def analyse(
    paths: Sequence[Path],
    source: LabelledImages,
    *,
    campaign: str,
    command: str,
    cache: Path | None = None,
    sheet: Path | None = None,
) -> tuple[Experiment, dict[str, xr.Dataset]]:
    """Analyse the finished runs of one experiment.

    Parameters
    ----------
    paths : sequence of Path
        Raw files that differ in the seed only.
    source : LabelledImages
    campaign : str
        Name of the preset, which keeps campaigns apart.
    command : str
        What made them, kept in the attributes.
    cache : Path, optional
        Folder for the classifier.
    sheet : Path, optional
        PNG for samples of the first run.

    Returns
    -------
    experiment : Experiment
    datasets : dict of Dataset
        "curves", and "speciation" where U-turns were run; stamped, with a first dimension ``seed``.
    """
    all_runs = sorted((RawRun.read(p) for p in paths), key=lambda r: r.config.seed)
    first = all_runs[0].config
    classifier = None
    labels = [first.data.source.label(c) for c in first.data.classes]
    # Two parts of one class are the same to the classifier: nothing that needs it is measured then.
    if any(r.samples for r in all_runs) and len(set(labels)) == len(labels):
        classifier = train_classifier(source, first.data, cache=cache)
    seeds = [r.config.seed for r in all_runs]
    n_real = count_real(first, source) if classifier else 0
    needed = max(n_real, first.probe.n_eval, first.sample.uturn_starts)
    analysed = []
    # Prepared once, with all that anything takes, and let go before the next.
    for run in all_runs:
        data = prepare(first.data, source, seed=run.config.seed, n_held_out=needed)
        if run is all_runs[0]:
            # The same for every seed, and long to make of many pixels.
            experiment = experiment_of(first, data)
            if sheet is not None:
                sample_sheet(sheet, run, data)
        analysed.append(run_datasets(run, data, classifier, n_real))
    config = {k: v for k, v in first.to_dict().items() if k != "seed"}
    info = all_runs[0].info
    attrs = provenance(
        subject="unet",
        experiment=experiment,
        seeds=seeds,
        device=info["compute"]["device"],
        dtype="float32",
        campaign=campaign,
        name=first.name,
        command=command,
        config=json.dumps(config),
        n_parameters=info["n_parameters"],
        torch_version=info["torch_version"],
        seconds=json.dumps([{k: round(v, 1) for k, v in r.info["seconds"].items()} for r in all_runs]),
        run_provenance=json.dumps([r.info["provenance"] for r in all_runs]),
        gen_definitions=json.dumps(definitions.sentences("gen")),
        mem_definitions=json.dumps(definitions.sentences("mem")),
        n_samples=first.sample.n_samples,
        sampler_steps=first.sample.sampler_steps,
        classifier_accuracy=classifier.accuracy if classifier else "not trained",
    )
    out = {}
    parts = [k for k in ("curves", "times", "samples") if all(k in a for a in analysed)]
    together = [xr.merge([a[k] for k in parts], compat="equals", join="exact") for a in analysed]
    out["curves"] = stamp(combine(together, seeds), "curves", attrs)
    if all("speciation" in a for a in analysed):
        joined = combine([a["speciation"] for a in analysed], seeds)
        out["speciation"] = stamp(joined, "speciation", attrs)
    return experiment, out
