"""One question to a subject: which data, which model."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from diffclaims.errors import InvalidInput
from diffclaims.problem.arguments import check_fields
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.problem.names import Name, names_of


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Data and model that a subject is asked about.

    Parameters
    ----------
    mixture : GaussianMixture
        The data, or their moments where the data are real.
    model : RandomFeatures
        Sizes and noise level. A subject with another network states what it takes from here.
    data : str
        ``"gaussian"`` when the mixture itself is the data; else a name of the real data set and its
        preparation, of which `mixture` only holds the moments.
    classes : tuple of str
        Names of the classes of the mixture, as words: given here, they are given to it; left out, they
        are read off it, where ``mixture.classes`` has them with their types. Empty where the classes
        only have their numbers.

    Raises
    ------
    InvalidInput
        For names that are not those of a mixture with names, or that its classes cannot have.
    """

    mixture: GaussianMixture
    model: RandomFeatures
    data: str = "gaussian"
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self, but=("classes",))
        mixture = self.mixture
        if not (isinstance(self.classes, tuple) and not self.classes):
            names = names_of(self.classes, mixture.n_classes)
            if mixture.named and _words(mixture.classes) != _words(names):
                raise InvalidInput.of(
                    "classes",
                    self.classes,
                    f"be the names that the mixture gives its classes, {list(mixture.classes)}",
                    "leave them out, or rename the mixture with its method renamed",
                )
            if not mixture.named:
                mixture = mixture.renamed(names)
        object.__setattr__(self, "mixture", mixture)
        object.__setattr__(self, "classes", _words(mixture.classes) if mixture.named else ())

    def replace(self, **changes: Any) -> Experiment:
        """Return a copy with some fields, of the model or of the experiment, changed.

        Classes keep their names unless `classes` is among the changes, or a mixture with names of its own.
        """
        of_model = {f.name for f in dataclasses.fields(RandomFeatures)} & changes.keys()
        if of_model:
            changes["model"] = dataclasses.replace(self.model, **{k: changes.pop(k) for k in of_model})
        if "classes" in changes and "mixture" not in changes:
            changes["mixture"] = self.mixture.renamed(changes["classes"] or None)
        elif "mixture" in changes and "classes" not in changes:
            # A mixture without names takes those of the experiment; one with names brings its own.
            new = changes["mixture"]
            keep = not new.named and new.n_classes == self.mixture.n_classes
            changes["classes"] = self.mixture.classes if keep and self.classes else ()
        return dataclasses.replace(self, **changes)

    def to_json(self) -> str:
        """Return the experiment as canonical JSON (sorted keys), equal for equal experiments."""
        return self._json

    @cached_property
    def _json(self) -> str:
        # Nothing in it changes; memories, recordings and baselines know an experiment by it.
        mixture = self.mixture.to_dict()
        # The names stand once, where they always stood.
        mixture.pop("classes", None)
        data: dict[str, Any] = {
            "mixture": mixture,
            "model": self.model.to_dict(),
            "data": self.data,
            "classes": list(self.mixture.classes) if self.classes else [],
        }
        return json.dumps(data, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Experiment:
        """Rebuild what `to_json` gave, if the activation has a name."""
        data = json.loads(text)
        return cls(
            mixture=GaussianMixture.from_dict(data["mixture"]),
            model=RandomFeatures(**data["model"]),
            data=data["data"],
            classes=tuple(data["classes"]),
        )

    @property
    def key(self) -> str:
        """Twelve hexadecimal digits that name the experiment in stored results."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]


def _words(names: tuple[Name, ...]) -> tuple[str, ...]:
    return tuple(map(str, names))
