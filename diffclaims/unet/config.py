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
from diffclaims.monitor.schedule import whole_steps
from diffclaims.problem.validate import POSITIVE, Limit, at_least, check_settings, one_of, setting
from diffclaims.unet.data.choice import DataConfig
from diffclaims.unet.data.registry import DEFAULT

#: Version of the meaning of a config; part of its key, so that old runs are never continued.
CONFIG_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """The U-Net: channels at the first level, their multiples further down, sides with attention."""

    width: int = setting(
        16,
        Limit(
            "be a positive multiple of 4",
            lambda v: v >= 4 and v % 4 == 0,
            "group norms need it; give 8, 16, 32, ...",
        ),
    )
    multipliers: tuple[int, ...] = setting(
        (1, 3),
        Limit(
            "be positive integers, one a level",
            lambda v: len(v) >= 1 and min(v) >= 1,
            "give for example (1, 2, 2)",
        ),
    )
    attention: tuple[int, ...] = (7,)
    embedding: int = 64

    def __post_init__(self) -> None:
        check_settings(self)


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

    objective: str = setting("edm", one_of("edm", "eps"))
    noise: str = setting("log-uniform", one_of("log-uniform", "ddpm-uniform", "fixed"))
    sigma_min: float = setting(0.1, POSITIVE)
    sigma_max: float = 8.0
    sigma_fixed: float = setting(0.35, POSITIVE)
    sigma_data: float = setting(0.5, POSITIVE)

    def __post_init__(self) -> None:
        check_settings(self)
        if not self.sigma_min < self.sigma_max:
            raise InvalidInput.of("sigma_min", self.sigma_min, "lie in (0, sigma_max)", "lower it")


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Plain optimizer, constant rate after a warm-up; neither averaging nor decay, which move times."""

    optimizer: str = setting("adam", one_of("adam", "sgd"))
    rate: float = setting(1e-3, POSITIVE)
    warmup: int = setting(50, at_least(0))
    momentum: float = setting(0.0, Limit("lie in [0, 1)", lambda v: 0 <= v < 1, "lower it"))
    batch: int = setting(64, at_least(1))
    steps: int = setting(3000, at_least(1))

    def __post_init__(self) -> None:
        check_settings(self)


def _increasing(levels: tuple[float, ...]) -> bool:
    steps = np.diff(np.asarray((0.0, *levels)))
    return bool(levels) and bool((steps > 0).all())


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

    levels: tuple[float, ...] = setting(
        (0.2, 0.35, 0.6, 1.0, 1.8, 3.0), Limit("be positive and increasing", _increasing, "sort them")
    )
    low: tuple[float, ...] = (0.2, 0.35, 0.6)
    n_eval: int = setting(128, Limit("lie in 2..1000", lambda v: 2 <= v <= 1000, "lower it"))
    snapshots: int = setting(30, at_least(2))
    first_snapshot: int = setting(20, at_least(1))

    def __post_init__(self) -> None:
        check_settings(self)
        if not self.low or not set(self.low) <= set(self.levels):
            raise InvalidInput.of("low", self.low, "be some of `levels`", f"choose from {self.levels}")

    def steps(self, last: int) -> tuple[int, ...]:
        """Steps of the snapshots, log-spaced from the first to `last`, distinct."""
        first = min(self.first_snapshot, last)
        return tuple(whole_steps(np.geomspace(first, last, self.snapshots)).tolist())


_SHARES = Limit("hold shares of the steps in (0, 1]", lambda v: all(0 < x <= 1 for x in v), "correct them")


@dataclass(frozen=True, kw_only=True)
class SampleConfig:
    """What is sampled: images at `sample_at` (shares of the steps), U-turns at `uturn_at`.

    Empty tuples measure nothing. `uturn_returns` backward runs start from each noised image.
    """

    sample_at: tuple[float, ...] = setting((1 / 3, 1.0), _SHARES)
    n_samples: int = setting(128, at_least(8))
    sampler_steps: int = setting(24, at_least(4))
    uturn_at: tuple[float, ...] = setting((1.0,), _SHARES)
    uturn_levels: tuple[float, ...] = (0.6, 1.0, 1.5, 2.0, 2.75, 3.5, 4.5, 5.5, 6.5, 8.0)
    uturn_starts: int = setting(32, at_least(2))
    uturn_returns: int = setting(4, at_least(1))

    def __post_init__(self) -> None:
        check_settings(self)


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

    name: str = field(
        metadata={
            "limit": Limit(
                "hold letters, digits, '-', '_' and '.' only",
                lambda v: bool(v) and all(c.isalnum() or c in "-_." for c in v),
                "it names a folder",
            )
        }
    )
    seed: int = setting(0, at_least(0))
    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    probe: ProbeConfig = field(default_factory=ProbeConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)

    def __post_init__(self) -> None:
        check_settings(self)
        if self.objective.noise == "fixed" and (self.sample.sample_at or self.sample.uturn_at):
            raise InvalidInput.of(
                "noise",
                self.objective.noise,
                "not be fixed where images are sampled, which needs all levels",
                "set sample_at and uturn_at to nothing",
            )
        side, levels = self.data.resolution, len(self.network.multipliers)
        if side % 2 ** (levels - 1):
            raise InvalidInput.of(
                "multipliers",
                self.network.multipliers,
                f"not halve an odd side (resolution {side})",
                "use fewer levels",
            )
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
