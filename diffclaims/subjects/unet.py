"""The subject `unet`, live: U-Nets trained on images here and now.

It has no free choice of mixture: it lists the experiments of one preset, and trains those that are asked for. What
was trained stays in a folder, so that asking again, or after an interruption, goes on from there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr
from numpy.typing import ArrayLike

from diffclaims.api.subject import Tags
from diffclaims.errors import NotMeasured
from diffclaims.problem.experiment import Experiment

if TYPE_CHECKING:
    from diffclaims.unet.config import RunConfig
    from diffclaims.unet.data.data_set import LabelledImages

#: Environment variable that names the preset of a live run.
PRESET_VARIABLE = "DIFFCLAIMS_UNET_PRESET"
#: Environment variable that names the data set.
DATASET_VARIABLE = "DIFFCLAIMS_UNET_DATASET"

_TAGS = Tags(
    exact=False,
    stochastic=True,
    measures=frozenset({"learning_curves", "speciation"}),
    gaussian=False,
    needs=("torch",),
    slow=True,
)


@dataclass(kw_only=True)
class UNetSubject:
    """U-Nets on images.

    Parameters
    ----------
    preset : str
        A key of `diffclaims.unet.train.presets.PRESETS`; by default from ``DIFFCLAIMS_UNET_PRESET``, else "smoke".
    data_dir : path, optional
        Folder of the data set; by default from ``DIFFCLAIMS_DATA``.
    dataset : str
        As in ``--dataset``; by default from ``DIFFCLAIMS_UNET_DATASET``, else that of the preset.
    results : path, optional
        Folder of the runs; ``.diffclaims/unet/<preset>`` by default.
    settings : mapping
        Flat settings that win over the preset's.
    """

    preset: str = field(default_factory=lambda: os.environ.get(PRESET_VARIABLE, "smoke"))
    data_dir: Path | None = None
    dataset: str = field(default_factory=lambda: os.environ.get(DATASET_VARIABLE, ""))
    results: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    _listed: dict[str, Experiment] = field(default_factory=dict, repr=False)
    _measured: dict[str, dict[str, xr.Dataset]] = field(default_factory=dict, repr=False)
    _source: Any = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """As in ``--subject unet``."""
        return "unet"

    @property
    def title(self) -> str:
        """Head of the column."""
        return f"unet (live: {self.preset})"

    @property
    def tags(self) -> Tags:
        """What it can answer."""
        return _TAGS

    def _data(self) -> LabelledImages:
        from diffclaims.unet.data import DataError

        if self._source is None:
            try:
                self._source = self._runs()[0].data.source.load(self.data_dir)
            except DataError as error:
                raise NotMeasured(f"no data to train on: {error}") from error
        source: LabelledImages = self._source
        return source

    def _runs(self, *names: str) -> list[RunConfig]:
        from diffclaims.unet.train.presets import runs, suiting

        suited = suiting(self.dataset) if self.dataset else {}
        return runs(self.preset, only=names, overrides={**suited, **self.settings})

    def experiments(self) -> Mapping[str, Experiment]:
        """What the preset trains, by name; reads the data, trains nothing."""
        if not self._listed:
            from diffclaims.unet.data.prepare import prepare
            from diffclaims.unet.record.raw import experiment_of

            for run in self._runs():
                if run.name not in self._listed:
                    data = prepare(run.data, self._data(), seed=run.seed, n_held_out=1)
                    self._listed[run.name] = experiment_of(run, data)
        return dict(self._listed)

    def _measure(self, experiment: Experiment, kind: str) -> xr.Dataset:
        name = next((n for n, e in self.experiments().items() if e.key == experiment.key), None)
        if name is None:
            raise NotMeasured(f"the preset {self.preset!r} has no such experiment ({experiment.key})")
        if name not in self._measured:
            from diffclaims.unet.model.options import Compute
            from diffclaims.unet.record.analyse import analyse
            from diffclaims.unet.train.campaign import run_campaign

            here = f"{self.preset}-{self.dataset.replace(':', '.')}" if self.dataset else self.preset
            folder = self.results or Path(".diffclaims") / "unet" / here
            runs = self._runs(name)
            paths = run_campaign(runs, self._data(), folder, compute=Compute())
            command = f"python -m diffclaims.unet train --preset {self.preset}"
            _, self._measured[name] = analyse(
                paths, self._data(), campaign=self.preset, command=command, cache=folder / "classifiers"
            )
        if kind not in self._measured[name]:
            raise NotMeasured(f"{name} runs no U-turns")
        return self._measured[name][kind].copy(deep=True)

    def learning_curves(self, experiment: Experiment) -> xr.Dataset:
        """Losses at the snapshots, by seed; trains what is not trained yet."""
        return self._measure(experiment, "curves")

    def speciation(self, experiment: Experiment, diffusion_times: ArrayLike) -> xr.Dataset:
        """U-turns at the noise levels of the preset, whatever is asked for."""
        return self._measure(experiment, "speciation")


SUBJECT = UNetSubject()
