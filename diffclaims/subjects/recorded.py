"""A subject that plays back what was measured before, from files beside the baselines.

``<baselines>/<name>/recorded/`` holds one NetCDF file for each experiment and kind of measurement:
``<key>.nc`` for learning curves, ``<key>-speciation.nc``, ``<key>-spectrum.nc``. A subfolder is a
campaign of its own, never mixed with the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import xarray as xr
from numpy.typing import ArrayLike

from diffclaims.api.subject import MEASURES, Tags
from diffclaims.errors import BaselineError, NotMeasured
from diffclaims.problem.experiment import Experiment
from diffclaims.storage import netcdf as storage
from diffclaims.storage import schema
from diffclaims.storage.recordings import RECORDING, SUFFIX, complete, path_of


class Recorded:
    """Play back the recordings of one subject.

    Parameters
    ----------
    name : str
        Name of the subject that was recorded; its baselines are shared with the live subject.
    folder : path
        Where the files are.
    campaign : str
        Shown in the title, where a subject has several.
    """

    def __init__(self, name: str, folder: Path, campaign: str = "") -> None:
        self.name = name
        self.folder = Path(folder)
        self.title = f"{name.removesuffix(f'-{campaign}')} (recorded{f': {campaign}' if campaign else ''})"

    @cached_property
    def _files(self) -> dict[tuple[str, str], xr.Dataset]:
        """Datasets by kind and key of the experiment."""
        files: dict[tuple[str, str], xr.Dataset] = {}
        for path in sorted(self.folder.glob("*.nc")):
            dataset = storage.read_dataset(path)
            kind = str(dataset.attrs.get("schema", ""))
            if kind not in SUFFIX or "experiment" not in dataset.attrs:
                raise BaselineError(
                    f"{path} is no recording: its schema is {kind!r}, it must be one of {sorted(SUFFIX)}, "
                    "with the experiment in an attribute; write it with diffclaims.subjects.record"
                )
            key = path.stem.removesuffix(SUFFIX[kind])
            if Experiment.from_json(dataset.attrs["experiment"]).key != key:
                raise BaselineError(f"{path} holds another experiment than its name says; record it again")
            files[kind, key] = dataset
        return files

    @cached_property
    def tags(self) -> Tags:
        """Tags, from what was recorded."""
        datasets = self._files
        stochastic = any("seed" in d.dims for d in datasets.values()) or not any(
            "accuracy" in d.attrs for d in datasets.values()
        )
        kinds = {kind for kind, _ in datasets}
        return Tags(
            exact=not stochastic,
            stochastic=stochastic,
            measures=frozenset(m for m, kind in MEASURES.items() if kind in kinds),
            gaussian=any(e.data == "gaussian" for e in self.experiments().values()),
        )

    def experiments(self) -> Mapping[str, Experiment]:
        """What was recorded, by the name it was given, else by key."""
        found: dict[str, Experiment] = {}
        for (_, key), dataset in self._files.items():
            found[str(dataset.attrs.get("experiment_name", key))] = Experiment.from_json(
                dataset.attrs["experiment"]
            )
        return found

    def learning_curves(self, experiment: Experiment) -> xr.Dataset:
        """Play back learning curves."""
        return self._play("curves", experiment)

    def speciation(self, experiment: Experiment, diffusion_times: ArrayLike) -> xr.Dataset:
        """Play back speciation, at the diffusion times that were recorded."""
        return self._play("speciation", experiment)

    def spectrum(self, experiment: Experiment) -> xr.Dataset:
        """Play back a spectrum."""
        return self._play("spectrum", experiment)

    def _play(self, kind: str, experiment: Experiment) -> xr.Dataset:
        dataset = self._files.get((kind, experiment.key))
        if dataset is None:
            raise NotMeasured(f"{kind} of this experiment ({experiment.key}) were not recorded")
        path = path_of(self.folder, experiment, kind)
        played = dataset.assign_attrs({RECORDING: path.name}).copy(deep=True)
        if kind == "speciation":
            played = complete(played)
        return schema.validate(played, kind, who=str(path))
