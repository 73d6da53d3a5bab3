"""What trainings with advised class weights said of the advice: windows, how much wider, and one sentence.

They were made by `diffclaims.studies.trial`, and are read here from a stored file. All definitions are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from diffclaims.errors import DiffclaimsError
from diffclaims.storage import netcdf as storage
from diffclaims.storage import paths as locate

Floats = NDArray[np.float64]

#: Ways to weight the classes of one data set: as it is, as advised, alike.
OWN, ADVISED, BALANCED = ARMS = ("own", "advised", "balanced")
#: Probability that an interval holds what it is of.
LEVEL = 0.95


def path() -> Path:
    """Where the trial is stored."""
    return locate.baselines_dir() / "advice" / "trial.nc"


def stored() -> xr.Dataset | None:
    """Return what was stored, or None where it is not."""
    try:
        return storage.read_dataset(path())
    except DiffclaimsError:
        return None


def width(learned: ArrayLike, memorized: ArrayLike, last_step: float) -> Floats:
    """Return ln of the end of the safe window over its start, over the last axis, which is that of the classes.

    Parameters
    ----------
    learned, memorized : array_like, shape (..., K)
        Times; +inf for one that is not reached, NaN where nothing was trained.
    last_step : float
        Of the training, at which a window ends at the latest: longer ones are at least so wide.

    Returns
    -------
    ndarray, shape (...)
        -inf where a class is not learned, which no weights of its samples can make narrower.
    """
    start = np.max(learned, axis=-1)
    end = np.minimum(np.min(memorized, axis=-1), last_step)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(end / start))


def depth(learned: ArrayLike, gap: ArrayLike, limits: tuple[float, float]) -> Floats:
    """Return how far the worst class is inside both limits at the best snapshot: above 0 where a window is open.

    Parameters
    ----------
    learned, gap : array_like, shape (..., K, T)
        Progress of generalization and of memorization.
    limits : tuple of float
        The least of the first and the most of the second, between which a window is open.

    Returns
    -------
    ndarray, shape (...)
        In a share of what there is to learn, or in ln of a loss, whichever is worse; never infinite.
    """
    inside = np.minimum(np.asarray(learned) - limits[0], limits[1] - np.asarray(gap))
    return np.asarray(inside.min(axis=-2).max(axis=-1))


def difference(after: Floats, before: Floats) -> Floats:
    """Return ``after - before``, 0 where both are -inf: two windows that never open are alike."""
    both = np.isneginf(after) & np.isneginf(before)
    return np.asarray(np.subtract(after, before, where=~both, out=np.zeros(np.shape(after))))


@dataclass(frozen=True)
class Share:
    """How many of some pairs of trainings did what was expected.

    Attributes
    ----------
    k, n, against : int
        Pairs that did, all pairs, and pairs that did the opposite.
    low, high : float
        95 % limits of the share (Clopper and Pearson).
    """

    k: int
    n: int
    against: int
    low: float
    high: float

    @classmethod
    def of(cls, values: Floats) -> Share:
        """Count the values above 0; NaN are no pairs."""
        known = values[~np.isnan(values)]
        k, n = int((known > 0).sum()), int(known.size)
        found = stats.binomtest(k, n).proportion_ci(LEVEL) if n else None
        low, high = (float(found.low), float(found.high)) if found else (0.0, 1.0)
        return cls(k, n, int((known < 0).sum()), low, high)

    @property
    def verdict(self) -> str:
        """Whether more than half did: *supported*, *contradicted* or *undecided*. A tie speaks for neither."""
        if self.low > 0.5:
            return "supported"
        other = float(stats.binomtest(self.against, self.n).proportion_ci(LEVEL).low) if self.n else 0.0
        return "contradicted" if other > 0.5 else "undecided"


def median(values: Floats) -> tuple[float, float, float]:
    """Return the median and the narrowest limits from order statistics that hold it with 95 % at least.

    Infinite limits where there are too few values. NaN are left out.
    """
    x = np.sort(values[~np.isnan(values)])
    if not x.size:
        return np.nan, -np.inf, np.inf
    cut = int(stats.binom.ppf((1 - LEVEL) / 2, x.size, 0.5))
    low, high = (float(x[cut - 1]), float(x[-cut])) if cut else (-np.inf, np.inf)
    with np.errstate(invalid="ignore"):
        return float(np.median(x)), low, high


def mean(values: Floats) -> tuple[float, float, float]:
    """Return the mean and its 95 % limits (Student t); infinite limits of fewer than two values."""
    x = values[~np.isnan(values)]
    if x.size < 2:
        return (float(x[0]) if x.size else np.nan), -np.inf, np.inf
    half = float(stats.t.ppf((1 + LEVEL) / 2, x.size - 1) * x.std(ddof=1) / np.sqrt(x.size))
    return float(x.mean()), float(x.mean()) - half, float(x.mean()) + half


def gain(found: xr.Dataset, arm: str = ADVISED, against: str = OWN, measure: str = "width") -> xr.DataArray:
    """Return how much wider, or deeper, the window is in one arm than in another, by design and seed.

    NaN where both have the same images: nothing was changed that could be judged.

    Parameters
    ----------
    found : xarray.Dataset
        Kind "trial".
    arm, against : str
    measure : {"width", "depth"}
    """
    after, before = (found[measure].sel(arm=a) for a in (arm, against))
    n, m = (found["n_train"].sel(arm=a) for a in (arm, against))
    changed = (n != m).any("place").transpose(*after.dims)
    out = after.copy(data=difference(after.values, before.values)).drop_vars("arm")
    return out.where(changed.drop_vars("arm", errors="ignore"))


def opened(found: xr.Dataset) -> Share:
    """Count the windows that advised weights opened, of those that are closed with the data's own.

    Parameters
    ----------
    found : xarray.Dataset
        Kind "trial". Where the advice changes no image there is no pair.
    """
    before, after = (found["width"].sel(arm=a) for a in (OWN, ADVISED))
    votes = np.where(after.values > 0, 1.0, -1.0)
    changed = gain(found).notnull().transpose(*before.dims).values
    return Share.of(np.where(changed & (before.values <= 0), votes, np.nan).ravel())


def sentence(found: xr.Dataset | None) -> str:
    """Return in one sentence what the trainings said of advised weights, or that none are stored."""
    if found is None:
        return "Whether trainings with advised weights have wider windows is not known here: they are not tried yet."
    share, open_now = Share.of(gain(found).values.ravel()), opened(found)
    nearer, low, high = mean(gain(found, measure="depth").values.ravel())
    return (
        f"Wider windows by advised weights: {share.verdict} by U-Nets trained for it on long-tailed digits (wider in "
        f"{share.k} of {share.n}, narrower in {share.against}); open where they were closed: {open_now.verdict} "
        f"({open_now.k} of {open_now.n}). Their best moment is nearer to an open window by {nearer:+.2f} "
        f"[{low:+.2f}, {high:+.2f}]; below 0 it is farther."
    )
