"""From losses by class, snapshot, level and image to progress curves and to times.

Definitions are ours. "Low" is the mean over the low noise levels of the run. Losses are those of `probes`:
per dimension, in units of the noise. Times are optimizer steps, found in ln(step), +inf if not reached.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression

from diffclaims.errors import InvalidInput

Floats = NDArray[np.float64]

#: Snapshots whose mean is a run's own baseline of the memorization measures.
EARLY = 4

#: Definitions of the time to generalize; the first is the one that claims use.
GENERALIZATION = {
    "iso_0.8": "(L_iso - L)/(L_iso - L_W) at low reaches 0.8",
    "excess_0.2": "ln of the test loss over its least, at low, falls to ln 1.2",
    "init_0.9": "(L_0 - L)/(L_0 - L_least) at low reaches 0.9, L_0 before training",
    "absolute": "L - L_W at low falls to 0.2 of the mean over classes of L_iso - L_W",
}
#: Definitions of the time to memorize; the first is the one that claims use.
MEMORIZATION = {
    "gap_0.25": "mean test minus mean training ln(L/L_W) at low, less its early mean, reaches 0.25",
    "gap_0.1": "the same reaches 0.1",
    "gap_0.5": "the same reaches 0.5",
    "auc_0.6": "0.5 plus the membership AUC of ln(L/L_W) at low less its early mean reaches 0.6",
    "auc_0.75": "the same reaches 0.75",
    "auc_0.9": "the same reaches 0.9",
}


def crossing(steps: ArrayLike, values: ArrayLike, threshold: float) -> float:
    """Return where a rising curve first reaches a threshold.

    The curve is fitted by a monotone one (isotonic regression) up to its largest value, so that jitter
    makes no early crossing and a later fall does not count; then interpolated in ln(step).

    Parameters
    ----------
    steps : array_like, shape (T,)
        Increasing, positive.
    values : array_like, shape (T,)
    threshold : float

    Returns
    -------
    float
        +inf if never reached; the first step if reached from the start.
    """
    x, y = np.log(np.asarray(steps, dtype=np.float64)), np.asarray(values, dtype=np.float64)
    last = int(y.argmax()) + 1
    fit = isotonic_regression(y[:last]).x
    if fit[-1] < threshold:
        return np.inf
    i = int(np.argmax(fit >= threshold))
    if i == 0:
        return float(np.exp(x[0]))
    return float(np.exp(x[i - 1] + (x[i] - x[i - 1]) * (threshold - fit[i - 1]) / (fit[i] - fit[i - 1])))


def least(steps: ArrayLike, values: ArrayLike) -> float:
    """Return the step of the least value of the curve's mean over three neighbours; +inf if that is the last one."""
    y = np.asarray(values, dtype=np.float64)
    if y.size >= 3:
        y = np.convolve(np.concatenate([y[:1], y, y[-1:]]), np.ones(3) / 3, mode="valid")
    at = int(y.argmin())
    return np.inf if at == y.size - 1 else float(np.asarray(steps, dtype=np.float64)[at])


def auc(train: Floats, test: Floats) -> Floats:
    """Return P(training value < test value), ties half, over the last axis; NaN entries are left out."""
    a, b = train[..., :, None], test[..., None, :]
    valid = np.isfinite(a) & np.isfinite(b)
    wins = np.where(a < b, 1.0, np.where(a == b, 0.5, 0.0))
    return np.asarray((wins * valid).sum(axis=(-1, -2)) / valid.sum(axis=(-1, -2)))


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

    def generalization(self, definition: str, values: NDArray[np.bool_] | None = None) -> float:
        """Return the time to generalize by a key of `GENERALIZATION`, over levels `values` instead of low."""
        at = self.low if values is None else values

        def mean(v: Floats) -> Floats:
            return np.asarray(v[:, at].mean(axis=1))

        if definition == "iso_0.8":
            return crossing(self.steps, mean(self.iso()), 0.8)
        if definition == "excess_0.2":
            return crossing(
                self.steps, -mean(np.log(self.test_loss / self.test_loss.min(axis=0))), -np.log(1.2)
            )
        if definition == "init_0.9":
            first, best = self.initial, self.test_loss.min(axis=0)
            # A level that never gets below where it began was not learned at all.
            gain = np.where(first > best, first - best, np.inf)
            return crossing(self.steps, mean((first - self.test_loss) / gain), 0.9)
        if definition == "absolute":
            return crossing(self.steps, -mean(self.absolute()), -0.2)
        raise InvalidInput.of(
            "definition", definition, f"be one of {', '.join(GENERALIZATION)}", "choose one"
        )

    def memorization(self, definition: str) -> float:
        """Return the time to memorize by a key of `MEMORIZATION`."""
        kind, _, number = definition.partition("_")
        if definition not in MEMORIZATION:
            raise InvalidInput.of(
                "definition", definition, f"be one of {', '.join(MEMORIZATION)}", "choose one"
            )
        if kind == "gap":
            return crossing(self.steps, self.at_low(self.log_gap()), float(number))
        calibrated = 0.5 + self.membership_auc - self.membership_auc[:EARLY].mean()
        return crossing(self.steps, calibrated, float(number))

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
        # Who is below whom does not change when images are resampled: only how often each pair counts.
        below = (a[:, :, None] < b[:, None, :]) + 0.5 * (a[:, :, None] == b[:, None, :])
        self._below: Floats = below

    def curves(self, rng: np.random.Generator | None = None) -> Curves:
        """Average over the images, or over as many drawn from them with replacement."""
        n, m = self._test.shape[-1], self._train.shape[-1]
        w, v = (
            np.full(k, 1 / k) if rng is None else np.bincount(rng.integers(k, size=k), minlength=k) / k
            for k in (n, m)
        )
        loss = self._loss @ w
        return Curves(
            steps=self.steps,
            initial=loss[0],
            low=self.low,
            test_loss=loss[1:],
            gap=(self._test @ w - self._train @ v)[1:],
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
        w = np.full(n, 1 / n) if test_weights is None else test_weights
        v = np.full(m, 1 / m) if train_weights is None else train_weights
        return np.asarray(v @ (self._below @ w).T)
