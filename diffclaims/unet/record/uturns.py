"""Where U-turns ended, as a dataset of kind "speciation": return probabilities, flows, the oracle beside them."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from diffclaims.times.uturns import count, returned
from diffclaims.unet.data.prepare import PreparedData
from diffclaims.unet.measure.classifier import Classifier
from diffclaims.unet.measure.oracle import oracle_uturns
from diffclaims.unet.measure.wiener import ClassMoments
from diffclaims.unet.model.randomness import UTURN, mix
from diffclaims.unet.record.raw import RawRun

Floats = NDArray[np.float64]


def speciation(
    run: RawRun,
    data: PreparedData,
    moments: tuple[ClassMoments, ...],
    classifier: Classifier,
    *,
    real: NDArray[np.float32],
) -> xr.Dataset:
    """Return the "speciation" dataset of a run, without the seed dimension.

    U-turns at the first snapshot that has any are what claims read; those at the last one, where the network has
    learned its training images more than their distribution, are kept beside them as ``late_...``. How far they
    are from detailed balance follows from ``transition`` and ``weight``: see
    `diffclaims.times.speciation.detailed_balance_violation`.

    Parameters
    ----------
    run : RawRun
        With U-turns at one snapshot or more.
    data : PreparedData
    moments : tuple of ClassMoments
        Of each class, for the oracle.
    classifier : Classifier
        Tells where a U-turn ended.
    real : array, shape (K, n, 1, R, R)
        Held-out images: starting points of the oracle.
    """
    turned = [(step, found["uturns"]) for step, found in sorted(run.samples.items()) if "uturns" in found]
    out = _turned(run, data, moments, classifier, *turned[0], real=real)
    if len(turned) > 1:
        late = _turned(run, data, moments, classifier, *turned[-1], real=real)
        kept = [n for n in late.data_vars if n != "weight" and not str(n).startswith("oracle")]
        out = out.assign({f"late_{n}": late[n] for n in kept})
        out.attrs["late_training_step"] = late.attrs["training_step"]
    return out


def _turned(
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
    labels = [cfg.data.source.label(c) for c in data.classes]
    label = classifier.classes_of(images.reshape(-1, *images.shape[4:]), labels).reshape(images.shape[:4])
    # (K, level, start, to): returns of a start that end in each class; those of no class are left out.
    ends = count(label, k_all)
    weights = np.array(data.counts) / sum(data.counts)
    rng = np.random.default_rng(mix(cfg.seed, UTURN, 999))
    oracle, oracle_commitment = oracle_uturns(list(real), levels, moments, weights, rng=rng)
    by = ("class", "diffusion_time")
    to = ("class", "to_class", "diffusion_time")
    n = len(levels)
    return xr.Dataset(
        {
            **returned(list(ends)),
            "rejected_share": (by, (label == k_all).mean(axis=(2, 3))),
            "oracle_transition": (to, oracle),
            "oracle_return_probability": (by, np.stack([oracle[k, k] for k in range(k_all)])),
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
