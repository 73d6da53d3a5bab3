"""A subject that measures each experiment once per process, however many claims read it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from diffclaims.api.subject import Subject
from diffclaims.errors import NotMeasured
from diffclaims.problem.experiment import Experiment
from diffclaims.subjects.wrapper import Wrapper


class Memo(Wrapper):
    """Remember what a subject answered; refusals (`NotMeasured`) as well.

    Parameters
    ----------
    subject : Subject
        What is asked, once per experiment and arguments.
    """

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._answers: dict[tuple[Any, ...], xr.Dataset | NotMeasured] = {}

    def learning_curves(self, experiment: Experiment) -> xr.Dataset:
        """As the subject's."""
        return self._once("curves", experiment, (), lambda: self.subject.learning_curves(experiment))

    def spectrum(self, experiment: Experiment) -> xr.Dataset:
        """As the subject's."""
        return self._once("spectrum", experiment, (), lambda: self.subject.spectrum(experiment))

    def speciation(self, experiment: Experiment, diffusion_times: ArrayLike) -> xr.Dataset:
        """As the subject's."""
        times = np.asarray(diffusion_times, dtype=np.float64)
        return self._once(
            "speciation",
            experiment,
            (times.shape, times.tobytes()),
            lambda: self.subject.speciation(experiment, times),
        )

    def _once(
        self, kind: str, experiment: Experiment, more: tuple[Any, ...], ask: Callable[[], xr.Dataset]
    ) -> xr.Dataset:
        # Two callables may share a name, so that the key of an experiment does not tell them apart.
        key = (kind, experiment.key, experiment.model.activation, *more)
        if key not in self._answers:
            try:
                self._answers[key] = ask()
            except NotMeasured as error:
                self._answers[key] = error
        answer = self._answers[key]
        if isinstance(answer, NotMeasured):
            raise answer
        # A claim may change what it was given; the next one must not see that.
        return answer.copy(deep=True) if isinstance(answer, xr.Dataset) else answer
