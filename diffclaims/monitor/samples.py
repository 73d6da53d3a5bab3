"""Samples that a denoiser generates, and how many of them are copies of training samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffclaims.errors import InvalidInput
from diffclaims.memorization.copies import Known
from diffclaims.memorization.distances import two_nearest, vectors
from diffclaims.monitor.ask import BATCH, Asked
from diffclaims.monitor.data import Data
from diffclaims.monitor.noise import HIGH
from diffclaims.monitor.sampling import heun, noise_grid, starting_points

Floats = NDArray[np.float64]

#: Samples of a class, and of all classes together.
EACH, IN_ALL, LEAST = 64, 512, 8
#: Noise levels of the sampler, and its highest, in highest levels of the losses.
STEPS, HIGHER = 18, 2.5
#: Distances between training samples that may be measured, times their coordinates: some seconds, once.
_DISTANCES = 4e9
#: Training samples nearer than this share of the typical distance from a held-out one to them are near duplicates.
NEAR = 1 / 3


class Pool:
    """The training samples that copies are looked for among.

    Parameters
    ----------
    data : Data
    features : callable, optional
        Where distances are measured; the samples as they are by default.

    Attributes
    ----------
    share : float
        How much of the training set it holds.
    merged : int
        Near duplicates that were left out.
    """

    def __init__(self, data: Data, features: Callable[[Floats], ArrayLike] | None) -> None:
        self.data, self.features = data, features
        d = int(np.prod(data.train.x.shape[1:]))
        n, most = len(data.train.labels), int(np.sqrt(_DISTANCES / d))
        index = np.arange(n)
        if n > most:
            # Small classes are kept whole as long as there is room.
            rank = np.empty(n)
            for name in data.classes:
                own = data.train.of_class(name)
                rank[own] = np.random.default_rng(len(own)).permutation(len(own))
            index = np.sort(np.argsort(rank, kind="stable")[:most])
        self.share = len(index) / n
        x, labels = data.train.take(index), data.train.labels[index]
        held = [(c.x, data.classes[k]) for s, k, c in data.items() if s == "held_out"]
        keep = _distinct(self.vectors(x), labels, [(self.vectors(c), name) for c, name in held])
        self.merged, self.x, self.labels = len(x) - len(keep), x[keep], labels[keep]
        theirs = np.concatenate([c for c, _ in held]) if held else None
        their_labels = [name for c, name in held for _ in range(len(c))] if held else None
        self.known = Known(self.x, self.labels.tolist(), theirs, their_labels, features)

    def vectors(self, x: NDArray[np.floating]) -> Floats:
        """Return samples as rows of what distances are measured in."""
        flat = vectors("train", x)
        if self.features is None:
            return flat
        found = vectors("features", np.asarray(self.features(flat)))
        if len(found) != len(flat):
            raise InvalidInput.of(
                "features", f"<{len(found)} rows>", f"give {len(flat)} rows", "keep one a sample"
            )
        return found

    def sources(self, samples: NDArray[np.floating], classes: list[Any]) -> dict[str, list[float]]:
        """Count the training samples that generated ones are nearest to, class by class.

        Samples of a network that is hardly trained lie together: many of them say no more than one does.

        Returns
        -------
        dict
            ``n_sources``, different training samples, and ``copied_sources``, of each the share of its generated
            samples that are copies by `gap_ratio`, summed; ``gap_ratio_null`` and ``n_null``, that share and the
            number of held-out samples, mean over the classes that the training samples are of. That is the class
            that was asked for, unless labels are wrong: near the only training sample of another class whatever is
            generated is a copy, and so is what is held out of it.
        """
        known = self.known
        if len(known.kept) < 2:
            return {}
        is_copy, nearest, _ = known.nearest(self.vectors(samples))
        held, n_held = self._held_copies()
        of_source = np.array([known.classes.index(c) for c in known.train_class[known.kept]])[nearest]
        names = ("n_sources", "copied_sources", "gap_ratio_null", "n_null")
        out: dict[str, list[float]] = {name: [] for name in names}
        of = np.array([known.classes.index(c) for c in classes])
        for k in range(len(known.classes)):
            found, index = np.unique(nearest[of == k], return_inverse=True)
            shares = np.bincount(index, is_copy[of == k]) / np.bincount(index) if len(found) else np.zeros(0)
            out["n_sources"].append(float(len(found)))
            out["copied_sources"].append(float(shares.sum()))
            near = np.bincount(of_source[of == k] if len(found) else [k], minlength=len(held)) * (n_held > 0)
            there = near.sum() > 0
            out["gap_ratio_null"].append(float(near @ held / near.sum()) if there else np.nan)
            out["n_null"].append(float(round(near @ n_held / near.sum())) if there else 0.0)
        return out

    def _held_copies(self) -> tuple[Floats, Floats]:
        """Return the share of copies among the held-out samples of each class, 0 for none, and their number."""
        known = self.known
        of = np.array([known.classes.index(c) for c in known.held_class], dtype=np.int64)
        n = np.bincount(of, minlength=len(known.classes)).astype(np.float64)
        copied = known.nearest(known.held)[0] if len(of) else np.zeros(0)
        return np.bincount(of, copied, minlength=len(n)) / np.maximum(n, 1), n

    def nearest_class(self, samples: NDArray[np.floating]) -> list[Any]:
        """Return the class of the nearest training sample: for samples that no class was asked of."""
        nearest = two_nearest(self.vectors(samples), self.vectors(self.x))[1]
        return list(self.labels[nearest].tolist())


def generate(
    asked: Asked, levels: Floats, seed: int, *, labelled: bool
) -> tuple[NDArray[np.floating], list[Any]]:
    """Generate samples by Heun's method on the probability flow, and say what class each was asked of.

    Returns
    -------
    samples : ndarray, shape (n, ...)
    classes : list
        None for a network without labels.
    """
    data, torch = asked.data, asked.torch
    k_all = len(data.classes)
    each = int(np.clip(IN_ALL // k_all, LEAST, EACH))
    high = float(asked.denoiser.nearest(np.array([HIGHER * levels[-1]]))[0])
    grid = np.unique(asked.denoiser.nearest(noise_grid(high, float(levels[0]), STEPS)))[::-1]
    out, classes = [], list[Any]()
    groups = [(k, each) for k in range(k_all)] if labelled else [(None, each * k_all)]
    for k, n in groups:
        some = [data.some_of(j, 256) for j in range(k_all)] if k is None else [data.some_of(k, 256)]
        generator = torch.Generator().manual_seed(seed + (0 if k is None else 1 + k))
        start = starting_points(np.concatenate(some), float(grid[0]), n, generator, "cpu").to(
            asked.device, asked.dtype
        )
        out += [heun(asked.function(k), y, grid).float().cpu() for y in torch.split(start, BATCH)]
        classes += [None if k is None else data.classes[k]] * n
    return torch.cat(out).numpy(), classes


def measure_samples(
    asked: Asked, pool: Pool, levels: Floats, seed: int, *, labelled: bool
) -> tuple[dict[str, Any], NDArray[np.floating], list[Any]]:
    """Generate and count copies.

    Returns
    -------
    found : dict
        By measure a list over classes, with intervals and null values as `copies` has them; ``missing``, and
        ``class_rule``.
    samples : ndarray, shape (n, ...)
    classes : list
        Of each sample, by that rule.
    """
    told = labelled and asked.labels_matter(float(levels[-1]) / HIGH)
    samples, classes = generate(asked, levels, seed, labelled=labelled)
    if not told:
        classes = pool.nearest_class(samples)
    found = pool.known.copies(samples, classes, seed=seed)
    out: dict[str, Any] = {str(name): [float(v) for v in found[name].values] for name in found.data_vars}
    rule = "the class that was asked for" if told else "the class of the nearest training sample"
    out |= pool.sources(samples, classes)
    out |= {"missing": found.attrs["missing"], "class_rule": rule, "pool_share": pool.share}
    return out, samples, classes


def _distinct(x: Floats, labels: NDArray[Any], held: list[tuple[Floats, Any]]) -> NDArray[np.int64]:
    """Positions of training samples without near duplicates of earlier ones of their class."""
    keep = np.ones(len(x), dtype=bool)
    for theirs, name in held:
        own = np.flatnonzero(labels == name)
        radius = NEAR * float(np.median(two_nearest(theirs, x[own])[0][:, 0])) if len(own) else 0.0
        near = (
            two_nearest(x[own], x[own])[0][:, 1] < radius if len(own) > 1 else np.zeros(len(own), dtype=bool)
        )
        kept: list[int] = []
        for i in own[near]:
            if kept and float(np.sqrt(np.square(x[kept] - x[i]).sum(axis=1)).min()) < radius:
                keep[i] = False
            else:
                kept.append(int(i))
    return np.flatnonzero(keep)
