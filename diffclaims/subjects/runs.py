"""The subject ``runs:FOLDER``: trainings of a user that were watched with a `Monitor`.

It takes no mixture: it lists the experiments that the folders below one are seeds of.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import xarray as xr
from numpy.typing import ArrayLike

from diffclaims.api.subject import Tags
from diffclaims.errors import NotMeasured
from diffclaims.problem.arguments import checked
from diffclaims.problem.experiment import Experiment
from diffclaims.problem.names import word
from diffclaims.runs.curves import curves_of
from diffclaims.runs.find import Group, find
from diffclaims.runs.speciation import speciation_of

_TAGS = Tags(
    exact=False,
    stochastic=True,
    measures=frozenset({"learning_curves", "speciation"}),
    gaussian=False,
    model="watched",
)


class Runs:
    """Watched trainings.

    Parameters
    ----------
    folder : path
        Each training has a folder of its own below it, at any depth.

    Raises
    ------
    InvalidInput
        From `experiments`, for a folder that holds none, or trainings that do not say what they are.
    """

    @checked
    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._answers: dict[tuple[str, str], xr.Dataset] = {}

    @property
    def name(self) -> str:
        """A word that is different for different folders."""
        given = os.path.normpath(self.folder).replace(os.sep, "-")
        plain = word(given)
        if plain == given and not given.startswith((".", "-")):
            return f"runs-{plain}"
        short = hashlib.sha256(str(self.folder.resolve()).encode()).hexdigest()[:6]
        return f"runs-{word(self.folder.resolve().name)}-{short}"

    @property
    def title(self) -> str:
        """Head of the column: the folder, and how many trainings do not count."""
        _, left = self._found
        return f"runs ({self.folder}" + (f", {len(left)} left out" if left else "") + ")"

    @property
    def tags(self) -> Tags:
        """What it can answer."""
        return _TAGS

    @cached_property
    def _found(self) -> tuple[list[Group], dict[str, str]]:
        return find(self.folder)

    def experiments(self) -> Mapping[str, Experiment]:
        """What the trainings are seeds of, by name."""
        return {group.name: group.experiment for group in self._found[0]}

    def left_out(self) -> dict[str, str]:
        """Folders that do not count, and why."""
        return dict(self._found[1])

    def learning_curves(self, experiment: Experiment) -> xr.Dataset:
        """Losses and times by seed."""
        return self._answer("curves", experiment)

    def speciation(self, experiment: Experiment, diffusion_times: ArrayLike) -> xr.Dataset:
        """U-turns at the noise levels that were measured, whatever is asked for."""
        return self._answer("speciation", experiment)

    def spectrum(self, experiment: Experiment) -> xr.Dataset:
        """Not measured."""
        raise NotMeasured("the monitor measures no spectrum")

    def _answer(self, kind: str, experiment: Experiment) -> xr.Dataset:
        group = next((g for g in self._found[0] if g.experiment.key == experiment.key), None)
        if group is None:
            raise NotMeasured(f"{self.folder} holds no such experiment ({experiment.key})")
        if (kind, group.name) not in self._answers:
            of = curves_of if kind == "curves" else speciation_of
            self._answers[kind, group.name] = of(group, self.name)
        return self._answers[kind, group.name].copy(deep=True)
