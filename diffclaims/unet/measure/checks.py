"""Planted checks: denoisers whose answers are known go through the code that measures networks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from diffclaims.times.networks import auc
from diffclaims.unet.config import ProbeConfig
from diffclaims.unet.data.prepare import PreparedData
from diffclaims.unet.measure.memorization import copy_radius, find_copies
from diffclaims.unet.measure.oracle import oracle_uturns, posterior
from diffclaims.unet.measure.planted import EmpiricalDenoiser, GaussianDenoiser
from diffclaims.unet.measure.probes import Probe
from diffclaims.unet.measure.sampling import SAMPLERS, sample, uturns
from diffclaims.unet.measure.wiener import ClassMoments
from diffclaims.unet.model.objective import Denoiser
from diffclaims.unet.model.randomness import SAMPLE, UTURN, mix


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
    low = np.isin(config.levels, config.low)
    k_all = len(data.classes)
    radii = np.array([copy_radius(data.held_out[k], data.of_class(k)) for k in range(k_all)])
    out: list[Check] = []
    gaussian = GaussianDenoiser(moments, weights)
    planted: dict[str, Denoiser] = {"empirical": EmpiricalDenoiser(data.train), "gaussian": gaussian}
    for name, denoiser in planted.items():
        memorizer = name == "empirical"
        for sampler in SAMPLERS:
            images = sample(
                denoiser,
                data.train,
                n=n_samples,
                sampler=sampler,
                high=8.0,
                low=0.1,
                steps=steps,
                seed=mix(seed, SAMPLE),
                device=device,
            )
            flat = images.reshape(len(images), -1).astype(np.float64)
            label = posterior(flat, 0.1, moments, weights).argmax(axis=1)
            copies = find_copies(images, label, data.train, data.labels, radii)
            share = float(np.nansum(copies.memorized * copies.count) / copies.count.sum())
            out.append(
                Check(
                    name=f"{name}: memorized fraction, {sampler}",
                    value=share,
                    limit=">= 0.99" if memorizer else "<= 0.002",
                    passed=share >= 0.99 if memorizer else share <= 0.002,
                )
            )
        found = measure(denoiser)
        for k, c in enumerate(data.classes):
            train, test = (
                found[f"{s}_log_ratio"][k][low].mean(axis=0).astype(np.float64) for s in ("train", "test")
            )
            value = float(auc(train, test))
            n, m = np.isfinite(train).sum(), np.isfinite(test).sum()
            noise = float(np.sqrt((n + m + 1) / (12 * n * m)))
            out.append(
                Check(
                    name=f"{name}: membership AUC, {c}",
                    value=value,
                    limit=">= 0.95" if memorizer else f"within {4 * noise:.3f} of 0.5",
                    passed=value >= 0.95 if memorizer else abs(value - 0.5) <= 4 * noise,
                )
            )
    rng = np.random.default_rng(mix(seed, UTURN))
    side = data.resolution
    for k, (m, c) in enumerate(zip(moments, data.classes, strict=True)):
        x = (
            m.mean
            + (rng.standard_normal((n_uturns, m.mean.size)) * np.sqrt(m.eigenvalues)) @ m.eigenvectors.T
        )
        start = x.reshape(-1, 1, side, side).astype(np.float32)
        worst = 0.0
        for i, level in enumerate(uturn_levels):
            many = (
                m.mean
                + (rng.standard_normal((4000, m.mean.size)) * np.sqrt(m.eigenvalues)) @ m.eigenvectors.T
            )
            exact = [many if j == k else many[:1] for j in range(k_all)]
            want = oracle_uturns(exact, [level], moments, weights, rng=rng)[0][k, k, 0]
            ends = uturns(
                gaussian,
                start,
                level=level,
                returns=1,
                high=8.0,
                low=0.1,
                steps=steps,
                seed=mix(seed, UTURN, k, i),
                device=device,
            )
            p = posterior(ends.reshape(n_uturns, -1).astype(np.float64), 0.1, moments, weights)
            error = np.sqrt(max(want * (1 - want), 1 / n_uturns) / n_uturns)
            worst = max(worst, abs(float((p.argmax(axis=1) == k).mean()) - want) / error)
        out.append(
            Check(
                name=f"gaussian: U-turns against the oracle, {c}",
                value=worst,
                limit="<= 4 standard errors",
                passed=worst <= 4,
            )
        )
    return out
