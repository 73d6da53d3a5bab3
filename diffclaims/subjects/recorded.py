"""A subject that plays back what was measured before, from files beside the baselines.

``<baselines>/<name>/recorded/`` holds one NetCDF file for each experiment and kind of measurement:
``<key>.nc`` for learning curves, ``<key>-speciation.nc``, ``<key>-spectrum.nc``. A subfolder is a
campaign of its own, never mixed with the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import xarray as xr
from numpy.typing import ArrayLike

from diffclaims.api.subject import MEASURES, Tags
from diffclaims.errors import BaselineError, NotMeasured
from diffclaims.problem.arguments import checked
from diffclaims.problem.experiment import Experiment
from diffclaims.storage import netcdf as storage
from diffclaims.storage import schema
from diffclaims.storage.files import finished
from diffclaims.storage.groups import Group
from diffclaims.storage.paths import inside
from diffclaims.storage.recordings import RECORDING, SUFFIX, completed, path_of


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
    others : sequence of Path
        More folders, for experiments that `folder` does not have.
    """

    @checked
    def __init__(self, name: str, folder: Path, campaign: str = "", *, others: Sequence[Path] = ()) -> None:
        self.name = name
        self.folder = Path(folder)
        self.others = tuple(others)
        self.title = f"{name.removesuffix(f'-{campaign}')} (recorded{f': {campaign}' if campaign else ''})"

    @cached_property
    def _files(self) -> dict[tuple[str, str], tuple[Group, Experiment]]:
        """What was recorded and of which experiment, by kind and key of the experiment."""
        files: dict[tuple[str, str], tuple[Group, Experiment]] = {}
        for folder in (self.folder, *self.others):
            files = self._read(folder) | files
        return files

    def _read(self, folder: Path) -> dict[tuple[str, str], tuple[Group, Experiment]]:
        files: dict[tuple[str, str], tuple[Group, Experiment]] = {}
        for path in finished(folder.glob("*.nc")):
            group = storage.read_groups(inside(path, folder))["/"]
            kind = str(group.attrs.get("schema", ""))
            if kind not in SUFFIX or "experiment" not in group.attrs:
                raise BaselineError(
                    f"{path} is no recording: its schema is {kind!r}, it must be one of {sorted(SUFFIX)}, "
                    "with the experiment in an attribute; write it with diffclaims.subjects.record"
                )
            experiment = Experiment.from_json(group.attrs["experiment"])
            key = path.stem.removesuffix(SUFFIX[kind])
            if experiment.key != key:
                raise BaselineError(f"{path} holds another experiment than its name says; record it again")
            files[kind, key] = group, experiment
        return files

    @cached_property
    def tags(self) -> Tags:
        """Tags, from what was recorded."""
        groups = [group for group, _ in self._files.values()]
        seeds = any("seed" in dims for g in groups for dims, _, _ in g.variables.values())
        stochastic = seeds or not any("accuracy" in g.attrs for g in groups)
        kinds = {kind for kind, _ in self._files}
        return Tags(
            exact=not stochastic,
            stochastic=stochastic,
            measures=frozenset(m for m, kind in MEASURES.items() if kind in kinds),
            gaussian=any(e.data == "gaussian" for e in self.experiments().values()),
        )

    def experiments(self) -> Mapping[str, Experiment]:
        """What was recorded, by the name it was given, else by key."""
        return {
            str(group.attrs.get("experiment_name", key)): experiment
            for (_, key), (group, experiment) in self._files.items()
        }

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
        found = self._files.get((kind, experiment.key))
        if found is None:
            raise NotMeasured(f"{kind} of this experiment ({experiment.key}) were not recorded")
        name = path_of(self.folder, experiment, kind).name
        group = completed(found[0]) if kind == "speciation" else found[0]
        # Arrays of its own: what is played may be changed by who asked.
        played = group.dataset(copy=True)
        del played.attrs[storage.CHECKSUM]
        played.attrs[RECORDING] = name
        return schema.validate(played, kind, who=f"the recording {name}")
