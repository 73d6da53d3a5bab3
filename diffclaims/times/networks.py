"""From losses by class, snapshot, level and image to the progress curves that times are read off.

"Low" is the mean over the low noise levels of the run. Losses are those of `probes`:
per dimension, in units of the noise. Times are optimizer steps, found in ln(step), +inf if not reached.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffclaims.memorization.auc import below, weighted_auc
from diffclaims.times.by_sample import drawn, even, gap

Floats = NDArray[np.float64]

#: Snapshots whose mean is a run's own baseline of the memorization measures.
EARLY = 4


def least(steps: ArrayLike, values: ArrayLike) -> float:
    """Return the step of the least value of the curve's mean over three neighbours; +inf if that is the last one."""
    y = np.asarray(values, dtype=np.float64)
    if y.size >= 3:
        y = np.convolve(np.concatenate([y[:1], y, y[-1:]]), np.ones(3) / 3, mode="valid")
    at = int(y.argmin())
    return np.inf if at == y.size - 1 else float(np.asarray(steps, dtype=np.float64)[at])


@dataclass(frozen=True, eq=False, kw_only=True)
class Curves:
    """Means over images of one class: shape (T, L) for T snapshots and L noise levels, or (T,).

    Attributes
    ----------
    steps : (T,)
        Of the snapshots, above 0.
    initial : (L,)
        Test loss before training.
    low : (L,) of bool
    test_loss : (T, L)
    gap : (T, L)
        Mean test minus mean training ln(L/L_W), not yet less its early mean.
    membership_auc : (T,)
        Of ln(L/L_W) at low.
    wiener, isotropic : (L,)
        Reference losses of the class.
    scale : (L,)
        Mean over classes of isotropic - wiener: the unit of absolute excess.
    """

    steps: Floats
    initial: Floats
    low: NDArray[np.bool_]
    test_loss: Floats
    gap: Floats
    membership_auc: Floats
    wiener: Floats
    isotropic: Floats
    scale: Floats

    def iso(self) -> Floats:
        """Generalization against the isotropic reference, (T, L): 0 there, 1 at the Wiener filter."""
        return np.asarray((self.isotropic - self.test_loss) / (self.isotropic - self.wiener))

    def absolute(self) -> Floats:
        """Excess over the Wiener filter in units of `scale`, (T, L)."""
        return np.asarray((self.test_loss - self.wiener) / self.scale)

    def log_gap(self) -> Floats:
        """Calibrated log-gap, (T, L)."""
        return np.asarray(self.gap - self.gap[:EARLY].mean(axis=0))

    def at_low(self, values: Floats) -> Floats:
        """Mean over the low levels."""
        return np.asarray(values[:, self.low].mean(axis=1))

    def at(self, levels: NDArray[np.bool_]) -> Curves:
        """Return the same with `levels` as the low ones."""
        return dataclasses.replace(self, low=levels)

    def best(self) -> float:
        """Return the step of least test loss: of the mean over low of ln(L/L_W)."""
        return least(self.steps, self.at_low(np.log(self.test_loss / self.wiener)))


class ClassImages:
    """One class's measurements by image, to be averaged over all images or over resampled ones.

    Parameters
    ----------
    steps : array, shape (1 + T,)
        The first is 0, before training.
    low : bool array, shape (L,)
    test_loss, test_log_ratio : array, shape (1 + T, L, n)
    train_log_ratio : array, shape (1 + T, L, m)
        NaN where there is no image.
    wiener, isotropic, scale : array, shape (L,)
        As in `Curves`.
    """

    def __init__(
        self,
        *,
        steps: Floats,
        low: NDArray[np.bool_],
        test_loss: Floats,
        test_log_ratio: Floats,
        train_log_ratio: Floats,
        wiener: Floats,
        isotropic: Floats,
        scale: Floats,
    ) -> None:
        self.steps, self.low = steps[1:], low
        self.wiener, self.isotropic, self.scale = wiener, isotropic, scale
        self._loss, self._test = (x[..., np.isfinite(x[0, 0])] for x in (test_loss, test_log_ratio))
        self._train = train_log_ratio[..., np.isfinite(train_log_ratio[0, 0])]
        a, b = (x[:, low].mean(axis=1) for x in (self._train, self._test))
        self._below = below(a, b)

    def curves(self, rng: np.random.Generator | None = None) -> Curves:
        """Average over the images, or over as many drawn from them with replacement."""
        n, m = self._test.shape[-1], self._train.shape[-1]
        w, v = (even(k) if rng is None else drawn(k, rng) for k in (n, m))
        loss = self._loss @ w
        return Curves(
            steps=self.steps,
            initial=loss[0],
            low=self.low,
            test_loss=loss[1:],
            gap=gap(self._test, self._train, w, v)[1:],
            membership_auc=self.membership_auc(w, v)[1:],
            wiener=self.wiener,
            isotropic=self.isotropic,
            scale=self.scale,
        )

    def membership_auc(
        self, test_weights: Floats | None = None, train_weights: Floats | None = None
    ) -> Floats:
        """P(training image's mean ln(L/L_W) at low < test image's), shape (1 + T,)."""
        n, m = self._test.shape[-1], self._train.shape[-1]
        w = even(n) if test_weights is None else test_weights
        v = even(m) if train_weights is None else train_weights
        return weighted_auc(self._below, v, w)
