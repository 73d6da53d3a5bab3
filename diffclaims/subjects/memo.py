"""A subject that measures each experiment once per process, however many claims read it."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from diffclaims.api.subject import Subject
from diffclaims.errors import NotMeasured
from diffclaims.problem.arguments import checked
from diffclaims.problem.experiment import Experiment
from diffclaims.subjects.wrapper import Ask, Kind, Wrapper


def identity(experiment: Experiment) -> tuple[object, ...]:
    """What tells an experiment from every other in one process.

    Two callables may share a name, so that the key of an experiment does not tell them apart.
    """
    return experiment.key, experiment.model.activation


class Memo(Wrapper):
    """Remember what a subject answered; refusals (`NotMeasured`) as well.

    Parameters
    ----------
    subject : Subject
        What is asked, once per experiment and arguments.
    """

    @checked
    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._answers: dict[tuple[Any, ...], xr.Dataset | NotMeasured] = {}

    def answer(self, kind: Kind, experiment: Experiment, ask: Ask, times: ArrayLike = ()) -> xr.Dataset:
        """As the subject's, which is asked once."""
        grid = np.asarray(times, dtype=np.float64)
        key = (kind, identity(experiment), grid.shape, grid.tobytes())
        if key not in self._answers:
            try:
                self._answers[key] = ask(experiment)
            except NotMeasured as error:
                self._answers[key] = error
        found = self._answers[key]
        if isinstance(found, NotMeasured):
            raise found
        # A claim may change what it was given; the next one must not see that.
        return found.copy(deep=True) if isinstance(found, xr.Dataset) else found
