"""A finished run as training wrote it, and the experiment that it stands for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from diffclaims.problem.experiment import Experiment
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.unet.config import ObjectiveConfig, RunConfig
from diffclaims.unet.data.prepare import PreparedData
from diffclaims.unet.model.network import n_parameters
from diffclaims.unet.model.stepper import build

Floats = NDArray[np.float64]


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
    d = data.n_dims
    sigma = float(np.exp(np.mean(np.log(config.probe.low))))
    c, o = config.data, config.objective
    words = [f"{c.source.name}: {c.resolution}x{c.resolution} pixels in [-1, 1]"]
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
