"""What a training says about itself: its data, and, for the claims, which experiment and which seed it is."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from diffclaims.errors import InvalidInput
from diffclaims.monitor.alike import differ
from diffclaims.monitor.data import SPLITS, Data, digest
from diffclaims.monitor.moments import moments_of
from diffclaims.monitor.noise import Floats
from diffclaims.monitor.references import references
from diffclaims.monitor.store import Arrays
from diffclaims.problem.names import Name
from diffclaims.problem.validate import LARGEST, probabilities

#: Of what is stored; a folder of another version is refused.
VERSION = 1


@dataclass(frozen=True)
class Identity:
    """Which experiment a training belongs to, so that several are seeds of one.

    Parameters
    ----------
    experiment : str, optional
        A name for all that the monitor cannot see: architecture, optimizer, data set. Trainings of one name, with
        the same classes, samples a class and class weights, are seeds of one experiment.
    training_seed : int, optional
        Of everything that differs between them: which samples are drawn, the initial weights, the order.
    class_weights : mapping of class to float, or sequence, optional
        Share of each class in what the training sees, where samples or losses are weighted; the sequence in the
        order of the sorted classes. By default the shares of the training samples.
    """

    experiment: str | None = None
    training_seed: int | None = None
    class_weights: Mapping[Name, float] | ArrayLike | None = None

    def check(self, classes: Sequence[Name]) -> dict[str, Any]:
        """Return what is stored, in JSON's types.

        Raises
        ------
        InvalidInput
            For a name that is empty or no text, a seed that is no whole number from 0 on, and weights that are not
            one positive number for each class.
        """
        name, seed = self.experiment, self.training_seed
        if name is not None and (not isinstance(name, str) or not name.strip()):
            raise InvalidInput.of("experiment", name, "be a name", "say what the trainings have in common")
        if seed is not None:
            try:
                seed = operator.index(seed)
            except TypeError:
                seed = -1
            if seed < 0:
                limit = "be a whole number from 0 on"
                raise InvalidInput.of(
                    "training_seed", self.training_seed, limit, "give each training its own"
                )
        return {"experiment": name, "training_seed": seed, "class_weights": self._weights(classes)}

    def _weights(self, classes: Sequence[Name]) -> list[float] | None:
        given: Any = self.class_weights
        if given is None:
            return None
        limit = f"hold one positive number for each of the classes {list(classes)}"
        if isinstance(given, Mapping):
            if set(given) != set(classes):
                raise InvalidInput.of("class_weights", dict(given), limit, "name each class once")
            given = [given[c] for c in classes]
        try:
            values = np.asarray(given, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            values = np.empty(0)
        wrong = values.shape != (len(classes),) or not np.isfinite(values).all() or (values <= 0).any()
        if wrong or values.max() > LARGEST:
            raise InvalidInput.of(
                "class_weights", self.class_weights, limit, "give their shares, {class: share}"
            )
        found: list[float] = probabilities("class_weights", values / values.sum()).tolist()
        return found


def describe(data: Data, seed: int, identity: Identity) -> dict[str, Any]:
    """Return what tells a training from another one, in JSON's types; `identity` only where it is given."""
    chosen = {
        s: [len(data.chosen[s, k].x) if (s, k) in data.chosen else 0 for k in range(len(data.classes))]
        for s in SPLITS
    }
    splits = {"train": data.train, "held_out": data.held_out}
    counts = {
        s: [0 if split is None else len(split.of_class(c)) for c in data.classes]
        for s, split in splits.items()
    }
    said = {key: value for key, value in identity.check(data.classes).items() if value is not None}
    return {
        "version": VERSION,
        "classes": list(data.classes),
        "shape": [int(n) for n in data.train.x.shape[1:]],
        "counts": counts,
        "chosen": chosen,
        "seed": seed,
        "fingerprint": data.fingerprint(),
        **said,
    }


def beginning(
    data: Data, levels: Floats, seed: int, weights: Sequence[float] | None
) -> tuple[dict[str, Any], Arrays]:
    """Return what is found out once for a training: notes, in JSON's types, and arrays.

    Parameters
    ----------
    data : Data
    levels : ndarray, shape (L,)
    seed : int
    weights : sequence of float, optional
        Of the classes; the shares of the training samples by default.
    """
    reference = references(data, levels, seed)
    arrays = {n: getattr(reference, n) for n in ("trivial", "told", "untold", "train_log", "held_out_log")}
    for split in SPLITS:
        keys = [digest(x).hex() for s, _, c in data.items() if s == split for x in c.x]
        arrays[f"{split}_keys"] = np.array(keys, dtype="U32")
    arrays |= moments_of(data, weights)
    notes = {"levels": levels.tolist(), "missing": [*_left_out(data), *differ(data, levels, seed)]}
    return notes, arrays


def _left_out(data: Data) -> list[str]:
    """Say what was left out of the data."""
    out = []
    for (split, k), c in data.chosen.items():
        name = data.classes[k]
        if c.repeated:
            out.append(f"{name}: {c.repeated} {split} samples are the same as others, and are measured once")
        if c.leaked:
            out.append(f"{name}: {c.leaked} held-out samples are training samples, and are left out")
    return out
