"""A user's training and held-out samples: checked, and the few of each class that are measured."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffclaims.errors import InvalidInput
from diffclaims.memorization.distances import first_same
from diffclaims.monitor.pairs import n_draws
from diffclaims.problem.names import Name, labels_of
from diffclaims.problem.validate import unmasked

Floats = NDArray[np.floating]

#: Samples of a class and split that are measured by default, and how many of all classes; but so many of each class.
MOST, IN_ALL, LEAST = 128, 4096, 16
#: Draws of noise for each sample of a small class.
MOST_DRAWS = 8
#: Held-out samples are looked up among training samples where these take no more bytes.
_SEARCHED_BYTES = 1 << 31
SPLITS = ("train", "held_out")


@dataclass(frozen=True, eq=False)
class Split:
    """Training or held-out samples as the user keeps them.

    Parameters
    ----------
    name : str
    x : array or tensor, shape (n, ...)
        Not copied.
    labels : ndarray, shape (n,)
    """

    name: str
    x: Any
    labels: NDArray[Any]

    @classmethod
    def of(cls, name: str, given: Any) -> Split:
        """Check ``(x, y)``, or x alone for samples of one class."""
        x, y = given if isinstance(given, tuple | list) and len(given) == 2 else (given, None)
        x, y = unmasked(f"x of {name}", x), unmasked(f"y of {name}", y)
        shape = tuple(getattr(x, "shape", ()))
        if len(shape) < 2 or 0 in shape:
            shown = f"<{type(x).__name__} of shape {shape}>"
            limit = "hold samples of shape (n, ...), at least one"
            raise InvalidInput.of(
                f"x of {name}", shown, limit, f"give {name}=(x, y), arrays of NumPy or tensors"
            )
        y = np.zeros(len(x), dtype=np.int64) if y is None else to_numpy(y)
        if y.ndim == 2 and y.shape[1] > 1 and (y.sum(axis=1) == 1).all() and ((y == 0) | (y == 1)).all():
            y = y.argmax(axis=1)
        found = labels_of(y)
        if found.shape != (len(x),):
            limit = f"hold one label for each of the {len(x)} samples"
            raise InvalidInput.of(
                f"y of {name}", f"<shape {found.shape}>", limit, "give class indices, shape (n,)"
            )
        return cls(name, x, found)

    def take(self, index: NDArray[np.int64]) -> Floats:
        """Return some samples as a real array, float32 where they are not float64."""
        if hasattr(self.x, "detach"):
            import torch

            chosen = to_numpy(self.x[torch.as_tensor(index, device=self.x.device)])
        else:
            chosen = np.asarray(self.x[index])
        out = chosen if chosen.dtype == np.float64 else chosen.astype(np.float32)
        if not np.isfinite(out).all():
            bad = index[~np.isfinite(out.reshape(len(out), -1)).all(axis=1)][0]
            raise InvalidInput.of(
                f"x of {self.name}", f"<sample {bad}>", "be finite", "leave out samples with NaN or infinity"
            )
        return np.ascontiguousarray(out)

    def of_class(self, name: Name) -> NDArray[np.int64]:
        """Return the positions of a class's samples."""
        return np.flatnonzero(self.labels == name)

    @property
    def too_many(self) -> bool:
        """Whether samples are too many to look each up among the others."""
        return int(np.prod(self.x.shape)) * 4 > _SEARCHED_BYTES


@dataclass(frozen=True, eq=False)
class Chosen:
    """Samples of one class and split that are measured.

    Attributes
    ----------
    x : ndarray, shape (n, ...)
    draws : int
        Of noise, for each sample and level.
    repeated, leaked : int
        How many candidates were left out: the same as another one; held out, yet among the training samples.
    """

    x: Floats
    draws: int
    repeated: int = 0
    leaked: int = 0


@dataclass(frozen=True, eq=False)
class Data:
    """All that is measured on.

    Attributes
    ----------
    train : Split
    held_out : Split or None
    classes : list of int or str
        Those of the training samples, sorted.
    chosen : dict
        By split and position of the class.
    """

    train: Split
    held_out: Split | None
    classes: list[Name]
    chosen: dict[tuple[str, int], Chosen]

    @classmethod
    def of(cls, train: Any, held_out: Any, seed: int, most: int = MOST) -> Data:
        """Check what the user gave, and choose up to `most` samples of each class and split."""
        trained = Split.of("train", train)
        held = None if held_out is None else Split.of("held_out", held_out)
        classes: list[Name] = sorted(np.unique(trained.labels).tolist())
        if held is not None:
            _check_alike(trained, held, classes)
        same = _same(trained, held)
        most = min(most, max(LEAST, IN_ALL // len(classes)))
        chosen = {}
        for split in (trained, held):
            for k, name in enumerate(classes):
                if split is not None:
                    known = len(trained.x) if split is held else 0
                    found = _choose(split, k, name, most, seed, same.get(split.name), known)
                    if split is trained and split.name in same:
                        own = same[split.name][split.of_class(name)]
                        found = replace(found, repeated=len(own) - len(set(own.tolist())))
                    chosen[split.name, k] = found
        if (
            held is not None
            and any(c.leaked for c in chosen.values())
            and not any(len(chosen["held_out", k].x) for k in range(len(classes)))
        ):
            fix = "give samples that the training does not see"
            raise InvalidInput.of("held_out", "<training samples>", "hold none of the training samples", fix)
        return cls(trained, held, classes, chosen)

    def some_of(self, k: int, n: int) -> Floats:
        """Return up to n training samples of a class, the same at every call."""
        index = self.train.of_class(self.classes[k])
        return self.train.take(np.sort(np.random.default_rng([n, k]).permutation(index)[:n]))

    def items(self) -> list[tuple[str, int, Chosen]]:
        """Return split, position of the class and its samples, in a fixed order."""
        return [(split, k, c) for (split, k), c in self.chosen.items() if len(c.x)]

    def fingerprint(self) -> str:
        """Return a digest of the labels and of the samples that are measured."""
        h = hashlib.sha256()
        for split in (self.train, self.held_out):
            h.update(b"none" if split is None else repr((split.x.shape[1:], split.labels.tolist())).encode())
        for split_name, k, c in self.items():
            h.update(f"{split_name}/{k}/{c.draws}".encode())
            h.update(c.x.tobytes())
        return h.hexdigest()[:16]


def to_numpy(values: Any) -> NDArray[Any]:
    """Return an array from an array, a list or a tensor on any device."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if values.is_floating_point() and values.element_size() < 4:
            values = values.float()
        return np.asarray(values.numpy())
    return np.asarray(values)


def digest(sample: Floats) -> bytes:
    """Return what a sample is known by."""
    return hashlib.blake2b(np.ascontiguousarray(sample).tobytes(), digest_size=16).digest()


def _same(train: Split, held: Split | None) -> dict[str, NDArray[np.intp]]:
    """Position, in training samples and held-out ones behind them, of the first that is the same; by split.

    Copies that went through another type, or were scaled anew, are the same up to rounding. Nothing is looked up
    where samples are too many.
    """
    splits = [train] if held is None else [train, held]
    if any(split.too_many for split in splits):
        return {}
    n, ends = len(train.x), np.cumsum([len(split.x) for split in splits])

    def take(index: NDArray[np.intp]) -> NDArray[np.float64]:
        out = np.empty((len(index), *train.x.shape[1:]))
        for split, start, end in zip(splits, (0, n), ends, strict=False):
            own = (start <= index) & (index < end)
            if own.any():
                out[own] = split.take(index[own] - start)
        return out

    found = np.split(first_same(take, int(ends[-1])), ends[:-1])
    return {split.name: part for split, part in zip(splits, found, strict=True)}


def _choose(
    split: Split, k: int, name: Name, most: int, seed: int, same: NDArray[np.intp] | None, n_known: int
) -> Chosen:
    """Choose samples of a class, each once; of held-out ones none that is the same as one of `n_known`."""
    index = split.of_class(name)
    # Nothing of the split goes in: a class that is training data here and held out there gives the same samples.
    order = np.random.default_rng([seed, k, len(index)]).permutation(len(index))
    chosen = index[order[: 2 * most]]
    samples = split.take(chosen)
    first = first_same(samples.__getitem__, len(samples)) if same is None else same[chosen]
    leaked = (first < n_known) if same is not None else np.zeros(len(first), dtype=bool)
    once = np.zeros(len(first), dtype=bool)
    once[np.unique(first, return_index=True)[1]] = True
    x = samples[once & ~leaked][:most]
    draws = n_draws(len(x), most, MOST_DRAWS)
    return Chosen(x, draws, int((~once).sum()), int((once & leaked).sum()))


def _check_alike(train: Split, held: Split, classes: list[Name]) -> None:
    mine, theirs = tuple(train.x.shape[1:]), tuple(held.x.shape[1:])
    if mine != theirs:
        limit = f"have the shape of the training samples, {mine}"
        raise InvalidInput.of("x of held_out", f"<samples of shape {theirs}>", limit, "prepare both alike")
    unknown = sorted(set(np.unique(held.labels).tolist()) - set(classes), key=str)
    if unknown:
        limit = f"name classes of the training samples, {classes}"
        raise InvalidInput.of("y of held_out", unknown, limit, "leave out samples of other classes")
