"""From losses of samples to the curves of a class: what is generalized, gap, AUC; over all samples, or resampled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata, t

from diffclaims.times.crossing import jittery_crossing

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
    """

    steps: Floats
    loss: Floats
    held_out: Floats
    train: Floats
    trivial: Floats
    gaussian: Floats
    n_tests: int

    @property
    def n(self) -> int:
        """Held-out samples."""
        return int(self.loss.shape[2])

    @property
    def m(self) -> int:
        """Training samples."""
        return int(self.train.shape[2])

    def generalization(self, w: Floats | None = None) -> Floats:
        """Return P, shape (T, ...), for weights of held-out samples (n, ...)."""
        w = _even(self.n) if w is None else w
        trivial, gaussian = self.trivial @ w, self.gaussian @ w
        with np.errstate(divide="ignore", invalid="ignore"):
            mine = np.nan_to_num(np.maximum(0, 1 - self.loss @ w / trivial)).mean(axis=1)
            theirs = np.nan_to_num(np.maximum(0, 1 - gaussian / trivial)).mean(axis=0)
            return np.asarray(np.where(theirs > _LEAST_SHARE, mine / theirs, np.nan))

    def gap(self, w: Floats | None = None, v: Floats | None = None) -> Floats:
        """Return G, shape (T, L, ...), for weights of held-out (n, ...) and of training samples (m, ...)."""
        w = _even(self.n) if w is None else w
        v = _even(self.m) if v is None else v
        return np.asarray(self.held_out @ w - self.train @ v)

    def margin(self) -> Floats:
        """Return how far G lies above 0 at the least if it is beyond chance, shape (T, L): G minus this."""
        if self.n < 2:
            return np.full(self.loss.shape[:2], np.inf)
        error = self.held_out.std(axis=2, ddof=1) * np.sqrt(1 / self.n + 1 / self.m)
        return np.asarray(error * t.isf(ERROR / self.n_tests, self.n - 1))

    def auc(self, w: Floats | None = None, v: Floats | None = None) -> Floats:
        """Return the AUC, shape (T, L, ...); for resampled samples to first order."""
        wins_of_train, wins_of_held = self._placements
        out = wins_of_train.mean(axis=2)
        if w is None or v is None:
            return np.asarray(out)
        centre = out[..., None]
        return np.asarray(
            np.clip(centre + (wins_of_train @ v - centre) + (wins_of_held @ w - centre), 0.0, 1.0)
        )

    @property
    def _placements(self) -> tuple[Floats, Floats]:
        """For each training sample the share of held-out ones above it, and the other way round."""
        both = rankdata(np.concatenate([self.train, self.held_out], axis=2), axis=2)
        within_train, within_held = rankdata(self.train, axis=2), rankdata(self.held_out, axis=2)
        below_train = both[..., : self.m] - within_train
        below_held = both[..., self.m :] - within_held
        return 1 - below_train / self.n, below_held / self.m

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
        """Return when each limit is first reached, shape (1 + B,): over all samples, then over resampled ones."""
        rng = np.random.default_rng(seed)
        w = np.column_stack([_even(self.n), _resampled(self.n, rng)])
        v = np.column_stack([_even(self.m), _resampled(self.m, rng)])
        memorizing = self.memorizing(self.gap(w, v))
        memorized = self.memorized(memorizing, self.auc(w, v))
        rising = {
            "learned_at": (self.generalization(w), LEARNED),
            "memorizing_at": (memorizing.max(axis=1), MEMORIZING),
            "memorized_at": (memorized.max(axis=1), MEMORIZED),
        }
        return {
            name: np.array([crossing(self.steps, y, limit) for y in values.T])
            for name, (values, limit) in rising.items()
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
        drawn = np.exp(np.log(loss @ _resampled(n, np.random.default_rng(seed))).mean(axis=1))
    low, high = np.quantile(drawn, [0.025, 0.975], axis=1)
    return value, low, high


def crossing(steps: Floats, values: Floats, limit: float) -> float:
    """Return the step at which a curve first reaches a limit, found in ln(1 + step); +inf if it does not."""
    if not np.isfinite(values).all():
        return float("nan")
    return jittery_crossing(steps + 1, values, limit) - 1


def _even(n: int) -> Floats:
    return np.full(n, 1 / n) if n else np.empty(0)


def _resampled(n: int, rng: np.random.Generator) -> Floats:
    return rng.multinomial(n, _even(n), size=N_RESAMPLINGS).T / n
