"""Which images of a data set a run takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from diffclaims.errors import InvalidInput
from diffclaims.problem.validate import at_least, check_settings, one_of, setting
from diffclaims.unet.data.data_set import DataSet
from diffclaims.unet.data.registry import DEFAULT, data_set


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which images.

    Parameters
    ----------
    classes : tuple of str
        Names of classes of the data set. ``"Bag:1/2"`` and ``"Bag:2/2"`` are the two halves of one class, for a
        null comparison.
    weights : tuple of float
        Share of each class in the training set, summing to 1; equal by default.
    size : int
        Number of training images, counted as `size_of` says.
    size_of : {"n_total", "n_majority", "n_class"}
        ``"n_total"``: all classes together, so that a smaller weight also leaves more images to the
        others. ``"n_majority"``: of the class with the largest weight, whose number stays fixed
        while the others shrink. ``"n_class"``: of every class (equal weights only).
    resolution : int
        Side of the image, one of those of the data set; below its own by means over blocks of pixels.
    control : {"none", "variance-swap", "variance-mirror"}
        ``"variance-swap"`` scales the first class about its mean until its total variance is that of
        the second; ``"variance-mirror"`` scales the second to that of the first.
    dataset : str
        As in `diffclaims.unet.data.data_set`.
    """

    classes: tuple[str, ...] = ("Bag", "Trouser")
    weights: tuple[float, ...] = ()
    size: int = setting(64, at_least(2))
    size_of: str = setting("n_class", one_of("n_total", "n_majority", "n_class"))
    resolution: int = 14
    control: str = setting("none", one_of("none", "variance-swap", "variance-mirror"))
    dataset: str = DEFAULT

    def __post_init__(self) -> None:
        check_settings(self)
        for name in self.classes:
            self.source.label(name)
        k, sides = len(self.classes), sorted(self.source.resolutions)
        if not self.weights:
            object.__setattr__(self, "weights", tuple(1.0 / k for _ in range(k)))
        w = np.asarray(self.weights, dtype=float)
        weighted = w.size == k and bool((w > 0).all()) and abs(float(w.sum()) - 1) < 1e-9
        # What no setting can be held to alone.
        for ok, name, limit, fix in (
            (len(set(self.classes)) == k >= 1, "classes", "name each class once", "choose others"),
            (weighted, "weights", f"be {k} positive numbers that sum to 1", "give one weight for each class"),
            (
                self.size_of != "n_class" or not w.size or float(np.ptp(w)) < 1e-12,
                "size_of",
                "be n_total or n_majority when weights differ",
                "say which number stays fixed",
            ),
            (
                self.resolution in sides,
                "resolution",
                f"be {' or '.join(map(str, sides))}",
                "choose one",
            ),
            (
                self.control == "none" or k == 2,
                "control",
                "be none unless there are two classes",
                "name two classes",
            ),
        ):
            if not ok:
                raise InvalidInput.of(name, getattr(self, name), limit, fix)

    @property
    def source(self) -> DataSet:
        """The data set."""
        return data_set(self.dataset)

    @property
    def channels(self) -> int:
        """Channels of its images."""
        return self.source.channels

    def counts(self) -> tuple[int, ...]:
        """Number of training images of each class, rounded by largest remainder."""
        w = np.asarray(self.weights, dtype=float)
        if self.size_of == "n_class":
            return tuple(self.size for _ in self.classes)
        if self.size_of == "n_majority":
            counts = np.rint(self.size * w / w.max()).astype(int)
        else:
            exact = self.size * w
            counts = np.floor(exact + 1e-9).astype(int)
            order = np.argsort(-(exact - counts), kind="stable")
            counts[order[: self.size - int(counts.sum())]] += 1
        if counts.min() < 2:
            raise InvalidInput.of(
                "weights",
                self.weights,
                f"leave every class at least 2 of the images (they give {counts.tolist()})",
                "raise `size` or the smallest weight",
            )
        return tuple(int(c) for c in counts)
