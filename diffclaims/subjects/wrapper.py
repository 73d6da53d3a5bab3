"""A subject that passes on what it is asked: the base of those that change a part of another's answers."""

from __future__ import annotations

from collections.abc import Mapping

import xarray as xr
from numpy.typing import ArrayLike

from diffclaims.api.subject import Subject, Tags, experiments_of, title_of
from diffclaims.problem.experiment import Experiment


class Wrapper:
    """Answer as another subject does.

    Parameters
    ----------
    subject : Subject
        What is asked.
    name, title : str, optional
        Its own by default.
    """

    def __init__(self, subject: Subject, *, name: str = "", title: str = "") -> None:
        self.subject = subject
        self.name = name or subject.name
        self.title = title or name or title_of(subject)

    @property
    def tags(self) -> Tags:
        """Tags of the subject."""
        return self.subject.tags

    def experiments(self) -> Mapping[str, Experiment]:
        """What the subject lists as measured."""
        return experiments_of(self.subject)

    def learning_curves(self, experiment: Experiment) -> xr.Dataset:
        """As the subject's."""
        return self.subject.learning_curves(experiment)

    def speciation(self, experiment: Experiment, diffusion_times: ArrayLike) -> xr.Dataset:
        """As the subject's."""
        return self.subject.speciation(experiment, diffusion_times)

    def spectrum(self, experiment: Experiment) -> xr.Dataset:
        """As the subject's."""
        return self.subject.spectrum(experiment)
