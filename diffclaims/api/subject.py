"""What a claim is asked of: the attributes of a subject and its tags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import xarray as xr
from numpy.typing import ArrayLike

from diffclaims.errors import InvalidInput
from diffclaims.problem.arguments import check_fields
from diffclaims.problem.experiment import Experiment

#: The methods by which a subject can be measured, and the kind of dataset that each returns.
MEASURES: dict[str, str] = {
    "learning_curves": "curves",
    "speciation": "speciation",
    "spectrum": "spectrum",
}


#: The model that the theory solves, and that experiments on Gaussian mixtures state the sizes of.
SAME_MODEL = "random-features"


@dataclass(frozen=True, kw_only=True)
class Tags:
    """What a subject can answer, and how well.

    Parameters
    ----------
    exact : bool
        Its datasets state a numerical accuracy (attribute ``accuracy``, absolute) and have no seeds.
    stochastic : bool
        Its datasets have a ``seed`` dimension, from which standard errors come.
    measures : frozenset of str
        The methods it implements, out of `MEASURES`.
    max_classes : int, optional
        Most classes it takes; None for any number.
    gaussian : bool
        Whether it takes any `GaussianMixture`; else it lists what it measured in ``experiments()``.
    needs : tuple of str
        Modules that must be importable for it to run.
    slow : bool
        Too long for a default run: measured only when asked for with ``--live NAME``.
    model : str
        What is trained. A subject on Gaussian mixtures is taken to be the random-features model of its
        experiments, at its limit or at finite size, so that its answers must obey the model's identities
        (`diffclaims.api.identities`) and effects must have the size that the theory gives; one that trains
        something else says what, in a word of its own.
    """

    exact: bool
    stochastic: bool
    measures: frozenset[str]
    max_classes: int | None = None
    gaussian: bool = True
    needs: tuple[str, ...] = ()
    slow: bool = False
    model: str = SAME_MODEL

    def __post_init__(self) -> None:
        check_fields(self)
        object.__setattr__(self, "measures", frozenset(self.measures))
        object.__setattr__(self, "needs", tuple(self.needs))
        unknown = self.measures - MEASURES.keys()
        if unknown or not self.measures:
            raise InvalidInput.of(
                "measures",
                sorted(self.measures),
                f"name one or more of {sorted(MEASURES)}",
                f"remove {sorted(unknown)}" if unknown else "say what the subject can measure",
            )
        if self.exact == self.stochastic:
            raise InvalidInput.of(
                "exact, stochastic",
                (self.exact, self.stochastic),
                "be one true and one false",
                "an exact subject states an accuracy, a stochastic one has seeds",
            )
        if self.max_classes is not None and self.max_classes < 1:
            raise InvalidInput.of("max_classes", self.max_classes, "be 1 or more", "give None for no limit")


class Subject(Protocol):
    """Anything with these attributes; there is no base class to inherit.

    A subject implements the methods that its tags name, and raises `NotMeasured`, with the reason,
    for an experiment that it cannot answer. One on real data also has
    ``experiments() -> Mapping[str, Experiment]``. An optional ``title`` heads its column in reports.
    """

    @property
    def name(self) -> str:
        """As in ``--subject NAME``."""
        ...

    @property
    def tags(self) -> Tags:
        """What it can answer."""
        ...

    def learning_curves(self, experiment: Experiment) -> xr.Dataset:
        """Losses against training time, a dataset of kind "curves"."""
        ...

    def speciation(self, experiment: Experiment, diffusion_times: ArrayLike) -> xr.Dataset:
        """Commitment and return probability at the diffusion times, kind "speciation"."""
        ...

    def spectrum(self, experiment: Experiment) -> xr.Dataset:
        """Class-resolved spectrum, kind "spectrum"."""
        ...


def title_of(subject: Subject) -> str:
    """Return the head of a subject's column in reports: its title, else its name."""
    return str(getattr(subject, "title", "") or subject.name)


def experiments_of(subject: Subject) -> Mapping[str, Experiment]:
    """Return the experiments that a subject lists as measured; none where it takes any mixture."""
    listing = getattr(subject, "experiments", None)
    return dict(listing()) if callable(listing) else {}
