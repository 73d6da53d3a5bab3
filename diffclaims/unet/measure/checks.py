"""Planted checks: denoisers whose answers are known go through the code that measures networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from diffclaims.memorization.auc import auc
from diffclaims.unet.config import ProbeConfig
from diffclaims.unet.data.data_set import Images
from diffclaims.unet.data.prepare import PreparedData
from diffclaims.unet.measure.memorization import copy_radius, find_copies
from diffclaims.unet.measure.oracle import oracle_uturns, posterior
from diffclaims.unet.measure.planted import EmpiricalDenoiser, GaussianDenoiser
from diffclaims.unet.measure.probes import Probe
from diffclaims.unet.measure.sampling import SAMPLERS, sample, uturns
from diffclaims.unet.measure.wiener import ClassMoments
from diffclaims.unet.model.objective import Denoiser
from diffclaims.unet.model.randomness import SAMPLE, UTURN, mix

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One planted answer: what was found, and whether it lies where it must."""

    name: str
    value: float
    limit: str
    passed: bool


def planted_checks(
    data: PreparedData,
    *,
    probe: ProbeConfig | None = None,
    n_samples: int = 512,
    steps: int = 40,
    uturn_levels: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0),
    n_uturns: int = 200,
    seed: int = 0,
) -> list[Check]:
    """Measure the exact memorizer, and the Gaussian denoiser that knows no image.

    Parameters
    ----------
    data : PreparedData
        With as many held-out images as `probe` and the U-turns ask for.
    probe : ProbeConfig, optional
    n_samples, steps : int
        Samples for each sampler, and its steps.
    uturn_levels, n_uturns
        Levels, and starts for each class: Gaussian images, as the oracle's classes are Gaussian.

    Returns
    -------
    list of Check
        Memorized fraction (at least 0.99 and at most 0.002), membership AUC (at least 0.95; within four
        standard errors of 0.5) and the largest deviation of simulated U-turns from the oracle's return
        probability, in standard errors (at most 4).
    """
    config = probe or ProbeConfig()
    device = torch.device("cpu")
    moments = tuple(ClassMoments.of(x) for x in data.population)
    weights = np.array(data.counts) / sum(data.counts)
    measure = Probe(data, config, seed=seed, moments=moments, device=device)
    gaussian = GaussianDenoiser(moments, weights)
    planted: dict[str, Denoiser] = {"empirical": EmpiricalDenoiser(data.train), "gaussian": gaussian}
    how = {"high": 8.0, "low": 0.1, "steps": steps, "device": device}
    out: list[Check] = []
    for name, denoiser in planted.items():
        for sampler in SAMPLERS:
            images = sample(denoiser, data.train, n=n_samples, sampler=sampler, seed=mix(seed, SAMPLE), **how)
            out.append(_memorized(f"{name}: memorized fraction, {sampler}", images, data, moments, weights))
        out += _membership(name, measure(denoiser), data, np.isin(config.levels, config.low))
    rng = np.random.default_rng(mix(seed, UTURN))

    def turned(start: Images, level: float, k: int, i: int) -> Images:
        return uturns(gaussian, start, level=level, returns=1, seed=mix(seed, UTURN, k, i), **how)

    for k in range(len(data.classes)):
        out.append(_against_oracle(k, data, moments, weights, turned, uturn_levels, n_uturns, rng))
    return out


def _memorized(
    name: str, images: Images, data: PreparedData, moments: tuple[ClassMoments, ...], weights: Floats
) -> Check:
    """Copies among samples: nearly all of the memorizer's, nearly none of the other's."""
    radii = np.array([copy_radius(data.held_out[k], data.of_class(k)) for k in range(len(data.classes))])
    flat = images.reshape(len(images), -1).astype(np.float64)
    label = posterior(flat, 0.1, moments, weights).argmax(axis=1)
    copies = find_copies(images, label, data.train, data.labels, radii)
    share = float(np.nansum(copies.memorized * copies.count) / copies.count.sum())
    if name.startswith("empirical"):
        return Check(name=name, value=share, limit=">= 0.99", passed=share >= 0.99)
    return Check(name=name, value=share, limit="<= 0.002", passed=share <= 0.002)


def _membership(
    name: str, measured: Mapping[str, NDArray[np.floating]], data: PreparedData, low: NDArray[np.bool_]
) -> list[Check]:
    """Membership AUC of each class: near one for the memorizer, a half for the other."""
    out = []
    for k, c in enumerate(data.classes):
        train, test = (
            measured[f"{s}_log_ratio"][k][low].mean(axis=0).astype(np.float64) for s in ("train", "test")
        )
        train, test = (x[np.isfinite(x)] for x in (train, test))
        value, n, m = float(auc(train, test)), len(train), len(test)
        noise = float(np.sqrt((n + m + 1) / (12 * n * m)))
        memorizer = name == "empirical"
        out.append(
            Check(
                name=f"{name}: membership AUC, {c}",
                value=value,
                limit=">= 0.95" if memorizer else f"within {4 * noise:.3f} of 0.5",
                passed=value >= 0.95 if memorizer else abs(value - 0.5) <= 4 * noise,
            )
        )
    return out


def _against_oracle(
    k: int,
    data: PreparedData,
    moments: tuple[ClassMoments, ...],
    weights: Floats,
    turned: Callable[[Images, float, int, int], Images],
    levels: tuple[float, ...],
    n: int,
    rng: np.random.Generator,
) -> Check:
    """U-turns of Gaussian images of class k under the Gaussian denoiser, against the exact posterior's."""
    m = moments[k]

    def draw(count: int) -> Floats:
        noise = rng.standard_normal((count, m.mean.size)) * np.sqrt(m.eigenvalues)
        return np.asarray(m.mean + noise @ m.eigenvectors.T)

    start = draw(n).reshape(-1, *data.train.shape[1:]).astype(np.float32)
    worst = 0.0
    for i, level in enumerate(levels):
        many = draw(4000)
        exact = [many if j == k else many[:1] for j in range(len(data.classes))]
        want = oracle_uturns(exact, [level], moments, weights, rng=rng)[0][k, k, 0]
        p = posterior(turned(start, level, k, i).reshape(n, -1).astype(np.float64), 0.1, moments, weights)
        error = np.sqrt(max(want * (1 - want), 1 / n) / n)
        worst = max(worst, abs(float((p.argmax(axis=1) == k).mean()) - want) / error)
    name = f"gaussian: U-turns against the oracle, {data.classes[k]}"
    return Check(name=name, value=worst, limit="<= 4 standard errors", passed=worst <= 4)
