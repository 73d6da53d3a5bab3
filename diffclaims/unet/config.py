"""What one run is: data, network, objective, optimizer, probes and samples, all frozen."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
import typing
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from diffclaims.errors import InvalidInput
from diffclaims.unet.data.choice import DataConfig
from diffclaims.unet.data.registry import DEFAULT

#: Version of the meaning of a config; part of its key, so that old runs are never continued.
CONFIG_VERSION = 1


def _check(ok: bool, what: str, value: object, limit: str, fix: str) -> None:
    if not ok:
        raise InvalidInput.of(what, value, limit, fix)


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """The U-Net: channels at the first level, their multiples further down, sides with attention."""

    width: int = 16
    multipliers: tuple[int, ...] = (1, 3)
    attention: tuple[int, ...] = (7,)
    embedding: int = 64

    def __post_init__(self) -> None:
        _check(
            self.width >= 4 and self.width % 4 == 0,
            "width",
            self.width,
            "be a positive multiple of 4",
            "group norms need it; give 8, 16, 32, ...",
        )
        _check(
            len(self.multipliers) >= 1 and min(self.multipliers) >= 1,
            "multipliers",
            self.multipliers,
            "be positive integers, one a level",
            "give for example (1, 2, 2)",
        )


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """What is minimized: parametrization, and how often and how much each noise level counts.

    Parameters
    ----------
    objective : {"edm", "eps"}
        ``"edm"``: preconditioned denoiser, weighted so that the network's own target has unit
        variance. ``"eps"``: the network predicts the noise, unit weight.
    noise : {"log-uniform", "ddpm-uniform", "fixed"}
        Density of the training noise level: ln sigma uniform on ``[sigma_min, sigma_max]``; the step of a
        linear schedule of 1000 steps (beta from 1e-4 to 2e-2) uniform; or the one level `sigma_fixed`, as
        in the theory, where one model is trained at one diffusion time.
    sigma_data : float
        Scale of the data in the preconditioning (pixels in [-1, 1]).
    """

    objective: str = "edm"
    noise: str = "log-uniform"
    sigma_min: float = 0.1
    sigma_max: float = 8.0
    sigma_fixed: float = 0.35
    sigma_data: float = 0.5

    def __post_init__(self) -> None:
        _check(self.objective in ("edm", "eps"), "objective", self.objective, "be edm or eps", "choose one")
        _check(
            self.noise in ("log-uniform", "ddpm-uniform", "fixed"),
            "noise",
            self.noise,
            "be log-uniform, ddpm-uniform or fixed",
            "choose one",
        )
        _check(
            0 < self.sigma_min < self.sigma_max,
            "sigma_min",
            self.sigma_min,
            "lie in (0, sigma_max)",
            "lower it",
        )
        _check(
            self.sigma_fixed > 0 and self.sigma_data > 0,
            "sigma_fixed, sigma_data",
            (self.sigma_fixed, self.sigma_data),
            "be positive",
            "give noise levels in pixel units",
        )


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Plain optimizer, constant rate after a warm-up; neither averaging nor decay, which move times."""

    optimizer: str = "adam"
    rate: float = 1e-3
    warmup: int = 50
    momentum: float = 0.0
    batch: int = 64
    steps: int = 3000

    def __post_init__(self) -> None:
        _check(self.optimizer in ("adam", "sgd"), "optimizer", self.optimizer, "be adam or sgd", "choose one")
        _check(
            self.rate > 0 and self.batch >= 1 and self.steps >= 1 and self.warmup >= 0,
            "rate, batch, steps, warmup",
            (self.rate, self.batch, self.steps, self.warmup),
            "be positive",
            "raise them",
        )
        _check(0 <= self.momentum < 1, "momentum", self.momentum, "lie in [0, 1)", "lower it")


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """What is measured at the snapshots.

    Parameters
    ----------
    levels : tuple of float
        Noise levels, increasing.
    low : tuple of float
        Those of `levels` over which "low" averages.
    n_eval : int
        Pairs of image and noise per class, level and split.
    snapshots, first_snapshot : int
        Number of log-spaced snapshots, and the step of the first.
    """

    levels: tuple[float, ...] = (0.2, 0.35, 0.6, 1.0, 1.8, 3.0)
    low: tuple[float, ...] = (0.2, 0.35, 0.6)
    n_eval: int = 128
    snapshots: int = 30
    first_snapshot: int = 20

    def __post_init__(self) -> None:
        levels = np.asarray(self.levels, dtype=float)
        _check(
            levels.size > 0 and bool((levels > 0).all()) and bool((np.diff(levels) > 0).all()),
            "levels",
            self.levels,
            "be positive and increasing",
            "sort them",
        )
        _check(
            bool(self.low) and set(self.low) <= set(self.levels),
            "low",
            self.low,
            "be some of `levels`",
            f"choose from {self.levels}",
        )
        _check(
            2 <= self.n_eval <= 1000,
            "n_eval",
            self.n_eval,
            "lie in 2..1000",
            "lower it",
        )
        _check(
            self.snapshots >= 2 and self.first_snapshot >= 1,
            "snapshots, first_snapshot",
            (self.snapshots, self.first_snapshot),
            "be at least 2 and 1",
            "raise them",
        )

    def steps(self, last: int) -> tuple[int, ...]:
        """Steps of the snapshots, log-spaced from the first to `last`, distinct."""
        first = min(self.first_snapshot, last)
        return tuple(sorted({int(s) for s in np.rint(np.geomspace(first, last, self.snapshots))}))


@dataclass(frozen=True, kw_only=True)
class SampleConfig:
    """What is sampled: images at `sample_at` (shares of the steps), U-turns at `uturn_at`.

    Empty tuples measure nothing. `uturn_returns` backward runs start from each noised image.
    """

    sample_at: tuple[float, ...] = (1 / 3, 1.0)
    n_samples: int = 128
    sampler_steps: int = 24
    uturn_at: tuple[float, ...] = (1.0,)
    uturn_levels: tuple[float, ...] = (0.6, 1.0, 1.5, 2.0, 2.75, 3.5, 4.5, 5.5, 6.5, 8.0)
    uturn_starts: int = 32
    uturn_returns: int = 4

    def __post_init__(self) -> None:
        for name in ("sample_at", "uturn_at"):
            value = getattr(self, name)
            _check(
                all(0 < v <= 1 for v in value), name, value, "hold shares of the steps in (0, 1]", "fix it"
            )
        _check(
            self.n_samples >= 8
            and self.sampler_steps >= 4
            and self.uturn_starts >= 2
            and self.uturn_returns >= 1,
            "n_samples, sampler_steps, uturn_starts, uturn_returns",
            (self.n_samples, self.sampler_steps, self.uturn_starts, self.uturn_returns),
            "be at least 8, 4, 2 and 1",
            "raise them",
        )


_SECTIONS: dict[str, Any] = {
    "data": DataConfig,
    "network": NetworkConfig,
    "objective": ObjectiveConfig,
    "optimizer": OptimizerConfig,
    "probe": ProbeConfig,
    "sample": SampleConfig,
}


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One training run. A seed means a new subset of the images and a new initialization."""

    name: str
    seed: int = 0
    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    probe: ProbeConfig = field(default_factory=ProbeConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)

    def __post_init__(self) -> None:
        _check(
            bool(self.name) and all(c.isalnum() or c in "-_." for c in self.name),
            "name",
            self.name,
            "hold letters, digits, '-', '_' and '.' only",
            "it names a folder",
        )
        _check(self.seed >= 0, "seed", self.seed, "be 0 or above", "give a non-negative integer")
        samples = self.sample.sample_at or self.sample.uturn_at
        _check(
            self.objective.noise != "fixed" or not samples,
            "noise",
            self.objective.noise,
            "not be fixed where images are sampled, which needs all levels",
            "set sample_at and uturn_at to nothing",
        )
        side = self.data.resolution
        for _ in self.network.multipliers[1:]:
            _check(
                side % 2 == 0,
                "multipliers",
                self.network.multipliers,
                f"not halve an odd side (resolution {self.data.resolution})",
                "use fewer levels",
            )
            side //= 2
        self.data.counts()

    @classmethod
    def of(cls, name: str, *, seed: int = 0, **settings: Any) -> RunConfig:
        """Build a run from flat settings, whose names are unique over all sections.

        Raises
        ------
        InvalidInput
            For a name that no section has, or a value that its section refuses.
        """
        parts: dict[str, dict[str, Any]] = {s: {} for s in _SECTIONS}
        known = setting_types()
        for key, value in settings.items():
            if key not in known:
                raise InvalidInput.of("setting", key, f"be one of {sorted(known)}", "correct the name")
            parts[known[key][0]][key] = tuple(value) if isinstance(value, list) else value
        return cls(name=name, seed=seed, **{s: _SECTIONS[s](**v) for s, v in parts.items()})

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        out = {"config_version": CONFIG_VERSION, **dataclasses.asdict(self)}
        # Runs from before there was a choice have no such word, and their keys must stay.
        if out["data"]["dataset"] == DEFAULT:
            del out["data"]["dataset"]
        return out

    def to_json(self) -> str:
        """Return canonical JSON, equal for equal runs."""
        return json.dumps(self.to_dict(), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> RunConfig:
        """Rebuild what `to_json` gave."""
        data = json.loads(text)
        flat = {k: v for s in _SECTIONS for k, v in data[s].items()}
        return cls.of(data["name"], seed=data["seed"], **flat)

    @property
    def key(self) -> str:
        """Twelve hexadecimal digits that name the run."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]

    @property
    def folder(self) -> str:
        """Folder of the run inside a results folder."""
        return f"{self.name}/seed{self.seed}"


def setting_types() -> dict[str, tuple[str, Any]]:
    """Section and type of every flat setting, by name."""
    out: dict[str, tuple[str, Any]] = {}
    for section, cls in _SECTIONS.items():
        hints = typing.get_type_hints(cls)
        for f in dataclasses.fields(cls):
            out[f.name] = (section, hints[f.name])
    return out


def parse_setting(text: str) -> tuple[str, Any]:
    """Read ``key=value`` of a command line; tuples are written with commas.

    Raises
    ------
    InvalidInput
        For an unknown key or a value of the wrong type.
    """
    key, sep, raw = text.partition("=")
    known = setting_types()
    if not sep or key not in known:
        raise InvalidInput.of("setting", text, f"be KEY=VALUE with KEY one of {sorted(known)}", "correct it")
    kind = known[key][1]
    try:
        if isinstance(kind, types.GenericAlias):
            item = typing.get_args(kind)[0]
            return key, tuple(item(v) for v in raw.split(",") if v)
        return key, kind(raw)
    except ValueError:
        raise InvalidInput.of("setting", text, f"give {key} a value of type {kind}", "correct it") from None
