"""A subject that plays back what was measured before, from files beside the baselines.

``<baselines>/<name>/recorded/`` holds one NetCDF file for each experiment and kind of measurement:
``<key>.nc`` for learning curves, ``<key>-speciation.nc``, ``<key>-spectrum.nc``. A subfolder is a
campaign of its own, never mixed with the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from diffclaims import schema, storage
from diffclaims.errors import BaselineError, NotMeasured
from diffclaims.experiment import Experiment
from diffclaims.returns import compact, complete
from diffclaims.subjects.protocol import MEASURES, Tags

#: Attribute of a dataset that was played back: the file that holds it.
RECORDING = "recording"
_SUFFIX = {"curves": "", "speciation": "-speciation", "spectrum": "-spectrum"}


def path_of(folder: Path, experiment: Experiment, kind: str) -> Path:
    """Return the file of one measurement of one experiment in a folder of recordings."""
    return folder / f"{experiment.key}{_SUFFIX[kind]}.nc"


def record(folder: Path, experiment: Experiment, dataset: xr.Dataset, *, name: str = "") -> Path:
    """Store one measured dataset where `Recorded` finds it.

    Parameters
    ----------
    folder : path
        The folder of recordings of a subject or of one campaign.
    experiment : Experiment
        What was asked; stored as JSON in the attributes.
    dataset : xarray.Dataset
        Stamped (`diffclaims.schema.stamp`) as "curves", "speciation" or "spectrum".
    name : str
        How the experiment is called in `Recorded.experiments`; its key by default.

    Returns
    -------
    path
        The file, written atomically.
    """
    kind = str(dataset.attrs.get("schema", ""))
    schema.validate(dataset, kind, who="the recording")
    attrs: dict[str, str] = {"experiment": experiment.to_json(), "experiment_key": experiment.key}
    if name:
        attrs["experiment_name"] = name
    if kind == "speciation":
        dataset = compact(dataset)
    path = path_of(folder, experiment, kind)
    # Seeds scatter by far more than single precision rounds, and recordings live in every checkout.
    small = {
        str(n): v.astype(np.float32)
        for n, v in dataset.data_vars.items()
        if "seed" in v.dims and v.dtype.kind == "f"
    }
    storage.write(path, dataset.assign(small).assign_attrs(attrs))
    return path


def has_recordings(folder: Path) -> bool:
    """Whether a folder holds recordings."""
    return folder.is_dir() and any(folder.glob("*.nc"))


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
            if kind not in _SUFFIX or "experiment" not in dataset.attrs:
                raise BaselineError(
                    f"{path} is no recording: its schema is {kind!r}, it must be one of {sorted(_SUFFIX)}, "
                    "with the experiment in an attribute; write it with diffclaims.subjects.record"
                )
            key = path.stem.removesuffix(_SUFFIX[kind])
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
