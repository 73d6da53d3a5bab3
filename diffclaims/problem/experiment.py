"""One question to a subject: which data, which model."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures


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
        Names of the classes, for reports; their numbers by default.
    """

    mixture: GaussianMixture
    model: RandomFeatures
    data: str = "gaussian"
    classes: tuple[str, ...] = ()

    def replace(self, **changes: Any) -> Experiment:
        """Return a copy with some fields, of the model or of the experiment, changed."""
        of_model = {f.name for f in dataclasses.fields(RandomFeatures)} & changes.keys()
        if of_model:
            changes["model"] = dataclasses.replace(self.model, **{k: changes.pop(k) for k in of_model})
        return dataclasses.replace(self, **changes)

    def to_json(self) -> str:
        """Return the experiment as canonical JSON (sorted keys), equal for equal experiments."""
        data: dict[str, Any] = {
            "mixture": self.mixture.to_dict(),
            "model": self.model.to_dict(),
            "data": self.data,
            "classes": list(self.classes),
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
