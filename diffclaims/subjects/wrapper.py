"""A subject that passes on what it is asked: the base of those that change a part of another's answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import xarray as xr
from numpy.typing import ArrayLike

from diffclaims.api.subject import Subject, Tags, experiments_of, title_of
from diffclaims.errors import InvalidInput
from diffclaims.problem.experiment import Experiment

Kind = Literal["curves", "speciation", "spectrum"]
Ask = Callable[[Experiment], xr.Dataset]


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
        if not isinstance(getattr(subject, "tags", None), Tags):
            raise InvalidInput.of("subject", subject, "have a name and tags", "give a diffclaims.Subject")
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

    def answer(self, kind: Kind, experiment: Experiment, ask: Ask, times: ArrayLike = ()) -> xr.Dataset:
        """Return the answer to one question; what a wrapper changes, it changes here.

        Parameters
        ----------
        kind : {"curves", "speciation", "spectrum"}
            What is asked for.
        experiment : Experiment
            Of what.
        ask : callable ``(experiment) -> Dataset``
            The subject's answer of this kind, to this experiment or to another.
        times : array_like
            Diffusion times, for "speciation".
        """
        return ask(experiment)

    def learning_curves(self, experiment: Experiment) -> xr.Dataset:
        """As `answer`."""
        return self.answer("curves", experiment, self.subject.learning_curves)

    def speciation(self, experiment: Experiment, diffusion_times: ArrayLike) -> xr.Dataset:
        """As `answer`."""

        def ask(asked: Experiment) -> xr.Dataset:
            return self.subject.speciation(asked, diffusion_times)

        return self.answer("speciation", experiment, ask, diffusion_times)

    def spectrum(self, experiment: Experiment) -> xr.Dataset:
        """As `answer`."""
        return self.answer("spectrum", experiment, self.subject.spectrum)
