"""Which long-tailed data sets the trial of advised weights trains on, and with how many images of each class.

Designs are chosen by the theory of the moments alone, by a rule that was fixed before anything was trained. Of each
three digits the order of the shares `SHARES` with the narrowest safe window in theory is the data's own. The three
are taken to which another order would add most, then the next that have no digit in common with them, and so on.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from diffclaims.advice.compute import DIFFUSION_TIME, PSI_P, advise
from diffclaims.advice.forecast import Forecast, model_of, reweighted
from diffclaims.advice.trial import ADVISED, BALANCED, OWN
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.unet.data.data_set import LabelledImages, pixels
from diffclaims.unet.data.prepare import prepare
from diffclaims.unet.data.registry import data_set

DATASET = "digits"
#: Shares of three classes, and training images of all of them together.
SHARES, SIZE = (0.7, 0.2, 0.1), 100
#: Data sets that are taken.
N_DESIGNS = 3
#: A class has no fewer images than this, whatever its weight: fewer have no variance.
LEAST = 2


@dataclass(frozen=True)
class Design:
    """Three classes and the share of each in the data.

    Attributes
    ----------
    classes : tuple of str
    shares : tuple of float
    """

    classes: tuple[str, ...]
    shares: tuple[float, ...]

    @property
    def name(self) -> str:
        """Its classes, joined."""
        return "-".join(self.classes)


#: What the rule gives; `chosen` makes it again, in a minute.
DESIGNS = (
    Design(("0", "1", "3"), (0.7, 0.1, 0.2)),
    Design(("4", "6", "9"), (0.1, 0.2, 0.7)),
    Design(("2", "5", "8"), (0.1, 0.7, 0.2)),
)


def chosen() -> list[tuple[Design, float, float]]:
    """Return the designs that the rule gives, with the width of the window of each and what another order adds.

    Both are in ln of the end over the start.
    """
    data = data_set(DATASET)
    images = data.load()
    x = pixels(images.train_images, data.side).reshape(len(images.train_labels), -1)
    model = model_of(x.shape[1], SIZE, DIFFUSION_TIME, PSI_P)
    equal = np.full(len(SHARES), 1 / len(SHARES))
    orders = list(itertools.permutations(SHARES))
    found: list[tuple[float, float, Design]] = []
    for classes in itertools.combinations(range(len(data.classes)), len(SHARES)):
        keep = np.isin(images.train_labels, classes)
        mixture = GaussianMixture.from_samples(x[keep], images.train_labels[keep], weights=equal)
        widths = [Forecast.of(reweighted(mixture, np.array(shares)), model).window for shares in orders]
        least = int(np.argmin(widths))
        design = Design(tuple(data.classes[k] for k in classes), orders[least])
        found.append((max(widths) - widths[least], widths[least], design))
    out: list[tuple[Design, float, float]] = []
    for gain, width, design in sorted(found, key=lambda one: (-one[0], one[2].name)):
        if len(out) < N_DESIGNS and not any(set(design.classes) & set(d.classes) for d, *_ in out):
            out.append((design, width, gain))
    return out


def whole(weights: ArrayLike, size: int = SIZE) -> NDArray[np.int64]:
    """Return images of each class, `LEAST` at least and `size` together, by largest remainder.

    Parameters
    ----------
    weights : array_like, shape (K,)
    size : int
    """
    exact = size * np.asarray(weights, dtype=np.float64)
    counts = np.floor(exact + 1e-9).astype(np.int64)
    order = np.argsort(-(exact - counts), kind="stable")
    counts[order[: size - int(counts.sum())]] += 1
    while counts.min() < LEAST:
        counts[counts.argmax()] -= 1
        counts[counts.argmin()] += 1
    return counts


def settings(design: Design, counts: NDArray[np.int64]) -> dict[str, object]:
    """Return the settings of a run that trains on so many images of each class."""
    weights = tuple(int(c) / SIZE for c in counts)
    return {"classes": design.classes, "weights": weights, "size": SIZE, "size_of": "n_total"}


def asked(design: Design, source: LabelledImages, seed: int) -> xr.Dataset:
    """Return the advice on the images that a seed has with the data's own shares, as a user would get it."""
    from diffclaims.unet.data.choice import DataConfig

    own = DataConfig(dataset=DATASET, resolution=8, **settings(design, whole(design.shares)))  # type: ignore[arg-type]
    data = prepare(own, source, seed=seed, n_held_out=1)
    y = np.array(data.classes)[data.labels]
    return advise(data.train, y, classes=data.classes, resamples=0)


def counts_of(design: Design, advice: xr.Dataset) -> dict[str, NDArray[np.int64]]:
    """Return images of each class by arm."""
    k = len(design.classes)
    return {
        OWN: whole(design.shares),
        ADVISED: whole(advice["weight_widest"].values),
        BALANCED: whole(np.full(k, 1 / k)),
    }
