"""From losses of samples to the curves of a class: what is generalized, gap, AUC; over all samples, or resampled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from diffclaims.memorization.auc import placements
from diffclaims.monitor.alarms import standing_since
from diffclaims.times.by_sample import even, gap, resampled, with_even
from diffclaims.times.crossing import first_reached

Floats = NDArray[np.float64]

#: Limits of the states; those of `iso_0.8`, `gap_0.25` and `auc_0.9`.
LEARNED, MEMORIZING, MEMORIZED = 0.8, 0.25, 0.9
#: Probability of calling any class memorizing, at any level of one measurement, where none is.
ERROR = 0.05
N_RESAMPLINGS = 200
#: Below this, on average over levels, no Gaussian is better than a trivial answer, and nothing is there to learn.
_LEAST_SHARE = 0.02


@dataclass(frozen=True, eq=False)
class ClassCurves:
    """Measurements of one class, by sample.

    Attributes
    ----------
    steps : ndarray, shape (T,)
    loss : ndarray, shape (T, L, n)
        Held out.
    held_out, train : ndarray, shape (T, L, n), (T, L, m)
        ``ln(L/W)`` of each sample.
    trivial, gaussian : ndarray, shape (L, n)
    n_tests : int
        Levels times classes.
    perfect : ndarray, shape (L,)
        Mean over training samples of ``ln(L/W)`` where they were answered without error, as far as it is counted.
    """

    steps: Floats
    loss: Floats
    held_out: Floats
    train: Floats
    trivial: Floats
    gaussian: Floats
    n_tests: int
    perfect: Floats

    @property
    def n(self) -> int:
        """Held-out samples."""
        return int(self.loss.shape[2])

    @property
    def m(self) -> int:
        """Training samples."""
        return int(self.train.shape[2])

    def relative_loss(self) -> Floats:
        """Return the held-out loss, mean over levels of L/T, shape (T,)."""
        return np.asarray(self.loss.mean(axis=2) @ (1 / self.trivial.mean(axis=1)))

    def generalization(self, w: Floats | None = None) -> Floats:
        """Return P, shape (T, ...), for weights of held-out samples (n, ...)."""
        w = even(self.n) if w is None else w
        trivial, gaussian = self.trivial @ w, self.gaussian @ w
        with np.errstate(divide="ignore", invalid="ignore"):
            mine = np.nan_to_num(np.maximum(0, 1 - self.loss @ w / trivial)).mean(axis=1)
            theirs = np.nan_to_num(np.maximum(0, 1 - gaussian / trivial)).mean(axis=0)
            return np.asarray(np.where(theirs > _LEAST_SHARE, mine / theirs, np.nan))

    def gap(self, w: Floats | None = None, v: Floats | None = None) -> Floats:
        """Return G, shape (T, L, ...), for weights of held-out (n, ...) and of training samples (m, ...)."""
        w = even(self.n) if w is None else w
        v = even(self.m) if v is None else v
        return gap(self.held_out, self.train, w, v)

    def margin(self) -> Floats:
        """Return how far G lies above 0 at the least if it is beyond chance, shape (T, L): G minus this."""
        if self.n < 2:
            return np.full(self.loss.shape[:2], np.inf)
        error = self.held_out.std(axis=2, ddof=1) * np.sqrt(1 / self.n + 1 / self.m)
        return np.asarray(error * t.isf(ERROR / self.n_tests, self.n - 1))

    def could_tell(self) -> NDArray[np.bool_]:
        """Whether the gap would be beyond chance if no training sample had any loss at the lowest level, shape (T,).

        Where it would not, as of two held-out samples, a class that is learned by heart looks like any other. The
        lowest level is where one that is has no loss: further up, noise hides even from it which sample it was.
        """
        if self.n < 2:
            return np.zeros(len(self.loss), dtype=bool)
        most = self.held_out[:, 0].mean(axis=1) - self.perfect[0]
        return np.asarray(most > self.margin()[:, 0])

    def auc(self, w: Floats | None = None, v: Floats | None = None) -> Floats:
        """Return the AUC, shape (T, L, ...); for resampled samples to first order."""
        wins_of_train, wins_of_held = placements(self.train, self.held_out)
        out = wins_of_train.mean(axis=2)
        if w is None or v is None:
            return np.asarray(out)
        centre = out[..., None]
        return np.asarray(
            np.clip(centre + (wins_of_train @ v - centre) + (wins_of_held @ w - centre), 0.0, 1.0)
        )

    def memorizing(self, gap: Floats | None = None) -> Floats:
        """Return at each level what reaches `MEMORIZING` where G does and is beyond chance, as `gap`."""
        gap = self.gap() if gap is None else gap
        margin = self.margin().reshape(*gap.shape[:2], *(1,) * (gap.ndim - 2))
        return np.minimum(gap, gap - margin + MEMORIZING)

    def memorized(self, memorizing: Floats | None = None, auc: Floats | None = None) -> Floats:
        """Return at each level what reaches `MEMORIZED` where the AUC does and the class is memorizing there."""
        memorizing = self.memorizing() if memorizing is None else memorizing
        auc = self.auc() if auc is None else auc
        return np.minimum(auc, MEMORIZED + memorizing - MEMORIZING)

    def times(self, seed: int) -> dict[str, Floats]:
        """Return times, shape (1 + B,): over all samples, then over resampled ones.

        When the class was first learned, and since when the alarms stand that it is memorizing and memorized.
        """
        rng = np.random.default_rng(seed)
        w, v = (with_even(n, N_RESAMPLINGS, rng) for n in (self.n, self.m))
        memorizing = self.memorizing(self.gap(w, v))
        memorized = self.memorized(memorizing, self.auc(w, v))
        return {
            "learned_at": first_reached(self.steps, self.generalization(w), LEARNED, from_start=True),
            "memorizing_at": standing_since(self.steps, memorizing.max(axis=1), MEMORIZING),
            "memorized_at": standing_since(self.steps, memorized.max(axis=1), MEMORIZED),
        }


def loss_band(loss: Floats, seed: int) -> tuple[Floats, Floats, Floats]:
    """Return the mean loss at each measurement, geometric over levels, with 95 % limits over resampled samples.

    Parameters
    ----------
    loss : ndarray, shape (T, L, n)
    seed : int

    Returns
    -------
    value, low, high : ndarray, shape (T,)
        Limits are NaN for fewer than two samples.
    """
    n = loss.shape[2]
    if not n:
        nothing = np.full(len(loss), np.nan)
        return nothing, nothing, nothing
    with np.errstate(divide="ignore"):
        value = np.exp(np.log(loss.mean(axis=2)).mean(axis=1))
        if n < 2:
            return value, np.full(len(loss), np.nan), np.full(len(loss), np.nan)
        drawn = np.exp(np.log(loss @ resampled(n, N_RESAMPLINGS, np.random.default_rng(seed))).mean(axis=1))
    low, high = np.quantile(drawn, [0.025, 0.975], axis=1)
    return value, low, high
