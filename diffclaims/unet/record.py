"""From the raw measurements of runs to the datasets that are kept: "curves" and "speciation".

The "curves" dataset of an experiment also holds what else was found at the snapshots: losses by noise level,
references, times under every definition with their errors from resampled images, and copies.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from diffclaims.experiment import Experiment
from diffclaims.mixture import GaussianMixture
from diffclaims.model import RandomFeatures
from diffclaims.provenance import provenance
from diffclaims.schema import SCHEMAS, stamp
from diffclaims.unet.classifier import Classifier, train_classifier
from diffclaims.unet.config import ObjectiveConfig, RunConfig
from diffclaims.unet.data import FashionMNIST, PreparedData, parse_class, prepare
from diffclaims.unet.files import write_atomic
from diffclaims.unet.measure import GENERALIZATION, MEMORIZATION, ClassImages, Curves
from diffclaims.unet.memorization import copy_radius, find_copies, frechet_distance, kernel_distance
from diffclaims.unet.network import n_parameters
from diffclaims.unet.oracle import oracle_uturns
from diffclaims.unet.probes import Probe
from diffclaims.unet.randomness import UTURN, mix
from diffclaims.unet.references import ClassMoments
from diffclaims.unet.sampling import SAMPLERS
from diffclaims.unet.training import build

Floats = NDArray[np.float64]

#: Resamplings of the images behind the standard errors of times.
BOOTSTRAPS = 200
#: Real held-out images per class behind copy radii and feature distances.
N_REAL = 1000


@dataclass(frozen=True, eq=False)
class RawRun:
    """One finished run as `training.train` wrote it."""

    config: RunConfig
    info: dict[str, Any]
    steps: NDArray[np.int64]
    #: name -> (T, K, L, image)
    probes: dict[str, Floats]
    #: step -> name -> array
    samples: dict[int, dict[str, NDArray[np.float16]]]

    @classmethod
    def read(cls, path: Path) -> RawRun:
        """Read a raw file."""
        with np.load(path) as file:
            info = json.loads(str(file["info"]))
            names = [n for n in file.files if n != "info"]
            steps = sorted({int(n.split("/")[1]) for n in names if n.startswith("probe/")})
            kinds = sorted({n.split("/")[2] for n in names if n.startswith("probe/")})
            probes = {k: np.stack([file[f"probe/{s}/{k}"] for s in steps]).astype(np.float64) for k in kinds}
            samples: dict[int, dict[str, NDArray[np.float16]]] = {}
            for n in names:
                if n.startswith("sample/"):
                    _, step, kind = n.split("/")
                    samples.setdefault(int(step), {})[kind] = file[n]
        config = RunConfig.from_json(json.dumps(info["config"]))
        return cls(config, info, np.array(steps), probes, samples)


def experiment_of(config: RunConfig, data: PreparedData) -> Experiment:
    """Return the experiment that a run stands for, with the moments of its data; the same for every seed.

    psi_p is parameters over d^2 (a random-features model of p features trains p d numbers), psi_n is n/d,
    and the diffusion time is that of the geometric mean of the low noise levels, t = ln(1 + sigma^2)/2.
    """
    d = data.resolution**2
    sigma = float(np.exp(np.mean(np.log(config.probe.low))))
    c, o = config.data, config.objective
    words = [f"fashion-mnist: {c.resolution}x{c.resolution} pixels in [-1, 1]"]
    if c.control != "none":
        words.append(c.control)
    if o != ObjectiveConfig():
        words.append(f"trained with {o.objective}, {o.noise} noise")
    population = np.concatenate([x.reshape(len(x), -1) for x in data.population]).astype(np.float64)
    labels = np.repeat(np.arange(len(data.classes)), [len(x) for x in data.population])
    # About the midpoint of the centroids: the network has biases, and no use for a common offset.
    population -= np.mean([population[labels == k].mean(axis=0) for k in range(len(data.classes))], axis=0)
    weights = np.array(data.counts) / sum(data.counts)
    return Experiment(
        mixture=GaussianMixture.from_samples(population, labels, weights=weights),
        model=RandomFeatures(
            psi_p=n_parameters(build(config, torch.device("cpu"))) / d**2,
            psi_n=len(data.train) / d,
            diffusion_time=0.5 * float(np.log1p(sigma**2)),
        ),
        data=", ".join(words),
        classes=data.classes,
    )


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


def _with_start(run: RawRun, data: PreparedData, moments: tuple[ClassMoments, ...]) -> RawRun:
    """Put the untrained network, which its seed determines, in front of the snapshots as step 0."""
    device = torch.device("cpu")
    probe = Probe(data, run.config.probe, seed=run.config.seed, moments=moments, device=device)
    start = probe(build(run.config, device), batch=256)
    probes = {k: np.concatenate([start[k][None].astype(np.float64), v]) for k, v in run.probes.items()}
    return dataclasses.replace(run, steps=np.concatenate([[0], run.steps]), probes=probes)


def _times(curves: list[Curves]) -> dict[str, Floats]:
    return {
        "gen": np.array([[c.generalization(d) for d in GENERALIZATION] for c in curves]),
        "mem": np.array([[c.memorization(d) for d in MEMORIZATION] for c in curves]),
        "best": np.array([c.best() for c in curves]),
    }


def _ln_spread(samples: Floats) -> Floats:
    """Half the 16-84 % range of ln(time) over resamplings (first axis); +inf if censored."""
    ordered = np.sort(np.log(samples), axis=0)  # quantiles of infinities must not be interpolated
    low, high = ordered[int(0.16 * len(ordered))], ordered[int(0.84 * len(ordered))]
    with np.errstate(invalid="ignore"):
        half = (high - low) / 2
    return np.where(np.isfinite(high), half, np.inf)


def run_datasets(
    run: RawRun, source: FashionMNIST, classifier: Classifier | None
) -> tuple[dict[str, xr.Dataset], Experiment]:
    """Analyse one run: datasets by kind, without the seed dimension, and its experiment."""
    cfg = run.config
    needed = max(cfg.probe.n_eval, cfg.sample.uturn_starts)
    data = prepare(cfg.data, source, seed=cfg.seed, n_held_out=needed)
    if list(data.counts) != run.info["counts"]:
        raise AssertionError("the run was trained on other data")
    experiment = experiment_of(cfg, data)
    moments = tuple(ClassMoments.of(x) for x in data.population)
    levels = np.asarray(cfg.probe.levels)
    run = _with_start(run, data, moments)
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
    for split in ("test", "train"):
        loss, ratio = run.probes[f"{split}_loss"], run.probes[f"{split}_log_ratio"]
        per_image = (loss / start[:, :, None])[:, :, low].mean(axis=2)
        variables[f"{split}_loss"] = (by_time, move(np.nanmean(per_image, axis=-1)))
        variables[f"{split}_loss_stderr"] = (by_time, move(_standard_error(per_image)))
        variables[f"{split}_loss_by_noise"] = (by_noise, move(np.nanmean(loss, axis=-1)))
        variables[f"{split}_loss_by_noise_stderr"] = (by_noise, move(_standard_error(loss)))
        variables[f"{split}_log_ratio_by_noise"] = (by_noise, move(np.nanmean(ratio, axis=-1)))
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

    rng = np.random.default_rng(mix(cfg.seed, 100))
    resampled = [_times([c.curves(rng) for c in images]) for _ in range(BOOTSTRAPS)]
    spread = {k: _ln_spread(np.stack([r[k] for r in resampled])) for k in ("gen", "mem", "best")}
    found = _times(curves)
    each = np.eye(len(levels), dtype=bool)
    gen, mem = ("class", "gen_definition"), ("class", "mem_definition")
    out["times"] = xr.Dataset(
        {
            "tau_gen_by_definition": (gen, found["gen"]),
            "tau_mem_by_definition": (mem, found["mem"]),
            "tau_gen_ln_stderr": (gen, spread["gen"]),
            "tau_mem_ln_stderr": (mem, spread["mem"]),
            "tau_best_by_loss": (("class",), found["best"]),
            "tau_best_ln_stderr": (("class",), spread["best"]),
            "tau_gen_by_noise": (
                ("class", "gen_definition", "noise_level"),
                np.array([[[c.generalization(d, e) for e in each] for d in GENERALIZATION] for c in curves]),
            ),
        },
        {
            "class": list(data.classes),
            "gen_definition": list(GENERALIZATION),
            "mem_definition": list(MEMORIZATION),
            "noise_level": levels,
        },
    )
    if classifier is not None and run.samples:
        out |= _sample_datasets(run, data, moments, source, classifier)
    return out, experiment


def _sample_datasets(
    run: RawRun,
    data: PreparedData,
    moments: tuple[ClassMoments, ...],
    source: FashionMNIST,
    classifier: Classifier,
) -> dict[str, xr.Dataset]:
    cfg, k_all = run.config, len(data.classes)
    out: dict[str, xr.Dataset] = {}
    # The same preparation, with all real test images that are left.
    n_real = min(
        N_REAL,
        *(int((source.test_labels == parse_class(c)[0]).sum() // parse_class(c)[2]) for c in data.classes),
    )
    real = prepare(cfg.data, source, seed=cfg.seed, n_held_out=n_real - 5).held_out
    radii = np.array([copy_radius(real[k], data.of_class(k)) for k in range(k_all)])
    share = np.array(data.counts) / sum(data.counts)
    rng = np.random.default_rng(mix(cfg.seed, 101))
    drawn = np.asarray(rng.choice(np.arange(k_all), size=real.shape[1], p=share)).tolist()
    mixed = classifier(np.stack([real[k][i] for i, k in enumerate(drawn)]))[1]
    unit = mixed.std(axis=0) + 1e-9  # features in units of their spread over real images

    steps = [s for s, found in sorted(run.samples.items()) if f"samples_{SAMPLERS[0]}" in found]
    if steps:
        shape = (len(SAMPLERS), len(steps))
        per_class = {
            n: np.full((*shape, k_all), np.nan)
            for n in ("memorized_fraction", "copied_fraction", "class_share")
        }
        distinct = np.zeros((*shape, k_all), dtype=np.int64)
        whole = {n: np.full(shape, np.nan) for n in ("rejected_share", "frechet_distance", "kernel_distance")}
        for i, sampler in enumerate(SAMPLERS):
            for j, step in enumerate(steps):
                images = run.samples[step][f"samples_{sampler}"].astype(np.float32)
                label = classifier.classes_of(images, data.classes)
                copies = find_copies(images, label, data.train, data.labels, radii)
                per_class["memorized_fraction"][i, j] = copies.memorized
                per_class["copied_fraction"][i, j] = copies.copied
                per_class["class_share"][i, j] = copies.count / len(images)
                distinct[i, j] = copies.distinct
                whole["rejected_share"][i, j] = (label == k_all).mean()
                features = classifier(images)[1]
                whole["frechet_distance"][i, j] = frechet_distance(features / unit, mixed / unit)
                whole["kernel_distance"][i, j] = kernel_distance(features / unit, mixed / unit)
        dims = ("sampler", "sample_time", "class")
        out["samples"] = xr.Dataset(
            {
                **{n: (dims, v) for n, v in per_class.items()},
                "distinct_copies": (dims, distinct),
                "copy_radius": (("class",), radii),
                "training_share": (("class",), share),
                **{n: (dims[:2], v) for n, v in whole.items()},
            },
            {
                "sampler": list(SAMPLERS),
                "sample_time": np.array(steps, dtype=np.float64),
                "class": list(data.classes),
            },
        )
    turned = [(s, found["uturns"]) for s, found in sorted(run.samples.items()) if "uturns" in found]
    if turned:
        out["speciation"] = _speciation(run, data, moments, classifier, *turned[-1], real=real)
    return out


def _shares(ends: Floats) -> tuple[Floats, Floats]:
    """Shares of the classes among the accepted returns, and standard errors over starts.

    From counts (K, level, start, to), both (K, level, to). Where every return was rejected nothing is known: equal
    shares with an error of one half.
    """
    n = ends.shape[2]
    accepted = ends.sum(axis=-1, keepdims=True)
    total = accepted.sum(axis=2)
    known = total > 0
    share = np.where(known, ends.sum(axis=2) / np.maximum(total, 1), 1 / ends.shape[-1])
    residual = ends - share[:, :, None] * accepted
    error = np.sqrt((residual**2).sum(axis=2) * n / (n - 1)) / np.maximum(total, 1)
    # Starts that all agree do not make a share exact: at least the error of n + 1 out of n + 2.
    floor = np.sqrt((n + 1) / (n + 2) ** 2 / n)
    return share, np.where(known, np.maximum(error, floor), 0.5)


def _speciation(
    run: RawRun,
    data: PreparedData,
    moments: tuple[ClassMoments, ...],
    classifier: Classifier,
    step: int,
    images: NDArray[np.float16],
    *,
    real: NDArray[np.float32],
) -> xr.Dataset:
    cfg, k_all = run.config, len(data.classes)
    levels = np.asarray(cfg.sample.uturn_levels)
    n_start, n_return = images.shape[2:4]
    label = classifier.classes_of(images.reshape(-1, *images.shape[4:]), data.classes).reshape(
        images.shape[:4]
    )
    # (K, level, start, to): returns of a start that end in each class; those of no class are left out.
    ends = np.stack([(label == k).sum(axis=3) for k in range(k_all)], axis=-1).astype(np.float64)
    mean, stderr = _shares(ends)
    most = ends
    top = most == most.max(axis=-1, keepdims=True)
    votes = np.where(most.max(axis=-1, keepdims=True) > 0, top / top.sum(axis=-1, keepdims=True), 0.0)
    own = np.arange(k_all)
    committed = votes[own, :, :, own]  # (K, level, start); a tie counts as its share
    weights = np.array(data.counts) / sum(data.counts)
    # Equal classes of a perfect score exchange equal flows, w_k P(k->l) = w_l P(l->k).
    flow = weights[:, None, None] * np.moveaxis(mean, 1, 2)
    flow_error = weights[:, None, None] * np.moveaxis(stderr, 1, 2)
    rng = np.random.default_rng(mix(cfg.seed, UTURN, 999))
    oracle, oracle_commitment = oracle_uturns(list(real), levels, moments, weights, rng=rng)
    by = ("class", "diffusion_time")
    to = ("class", "to_class", "diffusion_time")
    n = len(levels)
    return xr.Dataset(
        {
            "commitment": (by, committed.mean(axis=2)),
            "commitment_stderr": (by, committed.std(axis=2, ddof=1) / np.sqrt(n_start)),
            "return_probability": (by, np.stack([mean[k, :, k] for k in own])),
            "return_probability_stderr": (by, np.stack([stderr[k, :, k] for k in own])),
            "transition": (to, np.moveaxis(mean, 1, 2)),
            "transition_stderr": (to, np.moveaxis(stderr, 1, 2)),
            "rejected_share": (by, (label == k_all).mean(axis=(2, 3))),
            "balance_violation": (to, flow - np.swapaxes(flow, 0, 1)),
            "balance_violation_stderr": (to, np.sqrt(flow_error**2 + np.swapaxes(flow_error, 0, 1) ** 2)),
            "oracle_transition": (to, oracle),
            "oracle_return_probability": (by, np.stack([oracle[k, k] for k in own])),
            "oracle_commitment": (by, oracle_commitment),
            "weight": (("class",), weights),
        },
        {
            "class": list(data.classes),
            "to_class": list(data.classes),
            "diffusion_time": 0.5 * np.log1p(levels**2),
            "noise_level": ("diffusion_time", levels.reshape(n)),
        },
        {"training_step": step, "n_starts": int(n_start), "n_returns": int(n_return)},
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
    "test_log_ratio_by_noise": ("1", "mean over test images of ln(loss / loss of the Wiener filter)"),
    "train_log_ratio_by_noise": ("1", "mean over training images of ln(loss / loss of the Wiener filter)"),
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
    "balance_violation": ("1", "w_k P(k->l) - w_l P(l->k); 0 for a perfect score"),
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
    paths: Sequence[Path], source: FashionMNIST, *, campaign: str, command: str, cache: Path | None = None
) -> tuple[Experiment, dict[str, xr.Dataset]]:
    """Analyse the finished runs of one experiment.

    Parameters
    ----------
    paths : sequence of Path
        Raw files that differ in the seed only.
    source : FashionMNIST
    campaign : str
        Name of the preset, which keeps campaigns apart.
    command : str
        What made them, kept in the attributes.
    cache : Path, optional
        Folder for the classifier.

    Returns
    -------
    experiment : Experiment
    datasets : dict of Dataset
        "curves", and "speciation" where U-turns were run; stamped, with a first dimension ``seed``.
    """
    all_runs = sorted((RawRun.read(p) for p in paths), key=lambda r: r.config.seed)
    first = all_runs[0].config
    classifier = None
    labels = [parse_class(c)[0] for c in first.data.classes]
    # Two parts of one class are the same to the classifier: nothing that needs it is measured then.
    if any(r.samples for r in all_runs) and len(set(labels)) == len(labels):
        classifier = train_classifier(
            source,
            resolution=first.data.resolution,
            classes=first.data.classes,
            control=first.data.control,
            cache=cache,
        )
    analysed = [run_datasets(r, source, classifier) for r in all_runs]
    seeds = [r.config.seed for r in all_runs]
    experiment = analysed[0][1]
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
        gen_definitions=json.dumps(GENERALIZATION),
        mem_definitions=json.dumps(MEMORIZATION),
        n_samples=first.sample.n_samples,
        sampler_steps=first.sample.sampler_steps,
        classifier_accuracy=classifier.accuracy if classifier else "not trained",
    )
    out = {}
    parts = [k for k in ("curves", "times", "samples") if all(k in a[0] for a in analysed)]
    together = [xr.merge([a[0][k] for k in parts], compat="equals", join="exact") for a in analysed]
    out["curves"] = stamp(combine(together, seeds), "curves", attrs)
    if all("speciation" in a[0] for a in analysed):
        joined = combine([a[0]["speciation"] for a in analysed], seeds)
        out["speciation"] = stamp(joined, "speciation", attrs)
    return experiment, out


def sample_sheet(path: Path, raw: Path, *, columns: int = 16, rows: int = 4) -> None:
    """Write the last stochastic samples of a run as a small grey PNG."""
    run = RawRun.read(raw)
    step = max(s for s, found in run.samples.items() if f"samples_{SAMPLERS[0]}" in found)
    images = run.samples[step][f"samples_{SAMPLERS[0]}"][: rows * columns, 0].astype(np.float32)
    side = images.shape[-1]
    sheet = images.reshape(rows, columns, side, side).swapaxes(1, 2).reshape(rows * side, columns * side)
    from matplotlib.image import imsave

    write_atomic(path, lambda p: imsave(p, sheet, cmap="gray", vmin=-1, vmax=1, format="png"))
