"""Whether losses tell training samples from held-out ones, class by class."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from diffclaims.errors import InvalidInput
from diffclaims.memorization.auc import auc
from diffclaims.memorization.distances import class_names, labels
from diffclaims.problem.arguments import Seed, checked

Floats = NDArray[np.float64]

#: Share of held-out samples that may be taken for training samples.
FALSE_POSITIVES = 0.01
N_RESAMPLINGS = 400
MEASURES = ("auc", "tpr", "loss_gap")


@checked
def membership(
    train_loss: ArrayLike,
    train_labels: ArrayLike,
    held_out_loss: ArrayLike,
    held_out_labels: ArrayLike,
    *,
    seed: Seed = 0,
) -> xr.Dataset:
    """Measure per class how well the loss of a sample tells that it was trained on.

    Parameters
    ----------
    train_loss, held_out_loss : array_like, shape (n,)
        Loss of each sample, under the same noise levels; the mean over several draws of noise is best.
    train_labels, held_out_labels : array_like, shape (n,)
    seed : int
        Of the resamplings.

    Returns
    -------
    xarray.Dataset
        By ``class``, with ``_low`` and ``_high`` (95 %, bootstrap over samples): ``auc``, the probability that a
        training sample has a lower loss than a held-out one (1/2 where nothing is memorized); ``tpr``, the share of
        training samples below the loss that 1 % of held-out ones lie below; ``loss_gap``, mean held-out loss
        less mean training loss. `tpr` needs 100 held-out samples of the class and is NaN for fewer; all are
        NaN for a class without held-out samples. The attribute ``missing`` says which and why.

    Raises
    ------
    InvalidInput
        For losses that are no finite numbers, or labels that do not fit.
    """
    trained, other = _losses("train_loss", train_loss), _losses("held_out_loss", held_out_loss)
    trained_class = labels("train_labels", train_labels, len(trained))
    other_class = labels("held_out_labels", held_out_labels, len(other))
    rng, rows, missing = np.random.default_rng(seed), [], []
    names = class_names(trained_class)
    for name in names:
        a, b = trained[trained_class == name], other[other_class == name]
        if len(b) < 2:
            missing.append(f"{name}: {len(b)} held-out samples; membership needs two or more")
            rows.append(np.full((len(MEASURES), 3), np.nan))
            continue
        drawn = [_measures(rng.choice(a, a.size), rng.choice(b, b.size)) for _ in range(N_RESAMPLINGS)]
        rows.append(np.vstack([_measures(a, b), np.quantile(drawn, [0.025, 0.975], axis=0)]).T)
        if len(b) * FALSE_POSITIVES < 1:
            missing.append(f"{name}: {len(b)} held-out samples; tpr needs {1 / FALSE_POSITIVES:.0f}")
            rows[-1][1] = np.nan
    values = np.array(rows)
    data = {
        f"{measure}{end}": ("class", values[:, i, j], {"units": "1"})
        for i, measure in enumerate(MEASURES)
        for j, end in enumerate(("", "_low", "_high"))
    }
    return xr.Dataset(data, {"class": names}, {"missing": "; ".join(missing)})


def _losses(name: str, values: ArrayLike) -> Floats:
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "biuf" or not array.size:
        raise InvalidInput.of(
            name,
            f"<array of shape {array.shape}, dtype {array.dtype}>",
            "be one number for each sample",
            "average over noise first",
        )
    found = array.astype(np.float64)
    if not np.isfinite(found).all():
        bad = int(np.flatnonzero(~np.isfinite(found))[0])
        raise InvalidInput.of(name, f"{found[bad]} at sample {bad}", "be finite", "look at the model there")
    return found


def _measures(trained: Floats, other: Floats) -> tuple[float, float, float]:
    # As many held-out samples as are allowed lie strictly below this one.
    threshold = np.sort(other)[int(FALSE_POSITIVES * len(other))]
    below = float((trained < threshold).mean())
    return float(auc(trained, other)), below, float(other.mean() - trained.mean())
