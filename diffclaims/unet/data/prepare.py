"""The training and held-out sets of one run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffclaims.errors import InvalidInput
from diffclaims.unet.data.choice import DataConfig
from diffclaims.unet.data.data_set import Bytes, Images, LabelledImages, part_of, pixels


@dataclass(frozen=True, eq=False)
class PreparedData:
    """Images of one run.

    Attributes
    ----------
    classes : tuple of str
    train : float32 array, shape (n, C, R, R)
        Training images, class after class.
    labels : int64 array, shape (n,)
        Position of each training image's class in `classes`.
    held_out : float32 array, shape (K, m, C, R, R)
        Images of the test file, none of them equal to a training image.
    population : tuple of float32 arrays, shape (n_k, C, R, R)
        All images of each class in the training file: what reference denoisers are fitted to.
    contrast : tuple of float
        Factor by which each class was scaled about its mean; 1 without a control.
    """

    classes: tuple[str, ...]
    train: Images
    labels: NDArray[np.int64]
    held_out: Images
    population: tuple[Images, ...]
    contrast: tuple[float, ...]

    @property
    def resolution(self) -> int:
        """Side of the images."""
        return int(self.train.shape[-1])

    @property
    def n_dims(self) -> int:
        """Numbers in one image, d."""
        return int(np.prod(self.train.shape[1:]))

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of training images of each class."""
        return tuple(int(c) for c in np.bincount(self.labels, minlength=len(self.classes)))

    def of_class(self, k: int) -> Images:
        """Training images of the class at position k."""
        return np.asarray(self.train[self.labels == k])


def _part(images: Bytes, labels: Bytes, label: int, name: str) -> Bytes:
    _, part, parts = part_of(name)
    return np.asarray(images[labels == label][part::parts])


def contrasts(population: tuple[Images, ...], control: str) -> tuple[float, ...]:
    """Return the factor for each class that `control` asks for (see `DataConfig`)."""
    factors = [1.0] * len(population)
    if control != "none":
        total = [float(x.reshape(len(x), -1).var(axis=0, dtype=np.float64).sum()) for x in population]
        if control == "variance-swap":
            factors[0] = float(np.sqrt(total[1] / total[0]))
        else:
            factors[1] = float(np.sqrt(total[0] / total[1]))
    return tuple(factors)


def prepare(config: DataConfig, source: LabelledImages, *, seed: int, n_held_out: int) -> PreparedData:
    """Draw the training and held-out sets of one run.

    Parameters
    ----------
    config : DataConfig
    source : LabelledImages
    seed : int
        Of the subset; another seed gives other images.
    n_held_out : int
        Held-out images per class.

    Returns
    -------
    PreparedData

    Notes
    -----
    Training images come from the training file, held-out ones from the test file, and those equal to a
    training image byte for byte are skipped, so that the two are disjoint. The held-out images are the same
    for every seed up to that, which lets seeds be compared on the same images.

    Raises
    ------
    InvalidInput
        If a class has fewer images than asked for.
    """
    rng = np.random.default_rng(np.random.SeedSequence((seed, 1)))
    population: list[Images] = []
    train: list[Images] = []
    labels: list[NDArray[np.int64]] = []
    chosen: list[Bytes] = []
    for k, (name, count) in enumerate(zip(config.classes, config.counts(), strict=True)):
        pool = _part(source.train_images, source.train_labels, config.source.label(name), name)
        if count > len(pool):
            raise InvalidInput.of(
                "size", config.size, f"ask for at most the {len(pool)} images of {name}", "lower it"
            )
        chosen.append(pool[rng.permutation(len(pool))[:count]])
        population.append(pixels(pool, config.resolution))
        labels.append(np.full(count, k, dtype=np.int64))
    factors = contrasts(tuple(population), config.control)
    means = [p.mean(axis=0, dtype=np.float64).astype(np.float32) for p in population]

    def scaled(x: Images, k: int) -> Images:
        return x if factors[k] == 1.0 else means[k] + np.float32(factors[k]) * (x - means[k])

    taken = {image.tobytes() for images in chosen for image in images}
    held_out: list[Images] = []
    for k, name in enumerate(config.classes):
        pool = _part(source.test_images, source.test_labels, config.source.label(name), name)
        keep = np.array([image.tobytes() not in taken for image in pool])
        pool = pool[keep][:n_held_out]
        if len(pool) < n_held_out:
            raise InvalidInput.of(
                "n_held_out", n_held_out, f"be at most the {len(pool)} test images of {name}", "lower it"
            )
        held_out.append(scaled(pixels(pool, config.resolution), k))
        train.append(scaled(pixels(chosen[k], config.resolution), k))
    return PreparedData(
        classes=config.classes,
        train=np.concatenate(train),
        labels=np.concatenate(labels),
        held_out=np.stack(held_out),
        population=tuple(scaled(p, k) for k, p in enumerate(population)),
        contrast=factors,
    )
