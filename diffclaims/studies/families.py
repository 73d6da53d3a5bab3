"""Families of wrong subjects, each with a size from 1 (strong) down. Their kinds once passed. Ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from diffclaims.problem.experiment import Experiment
from diffclaims.studies.mutations import Mutation, spoiled_mixture
from diffclaims.times.learning import learning_times

Floats = NDArray[np.float64]

#: Sizes that are tried, from the largest until one passes.
SIZES = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
#: Training size about which its powers are taken.
_PSI_N = 4.0
_CURVES, _SPECIATION, _SPECTRUM = (frozenset({kind}) for kind in ("curves", "speciation", "spectrum"))
_ALL = _CURVES | _SPECIATION | _SPECTRUM


@dataclass(frozen=True)
class Family:
    """Wrong subjects of one kind, by size.

    Parameters
    ----------
    kind : str
        What it is an example of.
    says : str
        What one of size s does.
    make : callable ``(size) -> Mutation``
    sizes : tuple of float
        That can be had.
    """

    kind: str
    says: str
    make: Callable[[float], Mutation]
    sizes: tuple[float, ...] = SIZES


def _asked(
    kinds: frozenset[str], change: Callable[[Experiment, float], Experiment]
) -> Callable[[float], Mutation]:
    def make(size: float) -> Mutation:
        def question(experiment: Experiment) -> Experiment:
            return change(experiment, size)

        return Mutation(says="", kinds=kinds, question=question)

    return make


def _answered(
    kinds: frozenset[str], change: Callable[[xr.Dataset, Experiment, float], xr.Dataset]
) -> Callable[[float], Mutation]:
    def make(size: float) -> Mutation:
        def answer(found: xr.Dataset, experiment: Experiment, ask: object) -> xr.Dataset:
            return change(found.copy(deep=True), experiment, size)

        return Mutation(says="", kinds=kinds, answer=answer)

    return make


# What is asked instead.


def _flatter(e: Experiment, size: float) -> Experiment:
    """Variances to the power 1 - size, about their geometric mean by direction type."""
    v = np.maximum(e.mixture.variances, 1e-300)
    centre = np.exp(np.log(v).mean(axis=0))
    return spoiled_mixture(e, variances=centre * (v / centre) ** (1 - size))


def _pooled_variances(e: Experiment, size: float) -> Experiment:
    v = e.mixture.variances
    return spoiled_mixture(e, variances=(1 - size) * v + size * v.mean(axis=0))


def _nearer_centroids(e: Experiment, size: float) -> Experiment:
    return spoiled_mixture(e, centroid_gram=(1 - size) ** 2 * e.mixture.centroid_gram)


def _nearer_balance(e: Experiment, size: float) -> Experiment:
    w = e.mixture.weights
    return spoiled_mixture(e, weights=w + size * (1 / w.size - w))


def _farther_from_balance(e: Experiment, size: float) -> Experiment:
    w = e.mixture.weights
    wide = np.clip(1 / w.size + (1 + size) * (w - 1 / w.size), 1e-3, None)
    return spoiled_mixture(e, weights=wide / wide.sum())


def _clipped(e: Experiment, size: float) -> Experiment:
    """Weights of at least size/K."""
    w = np.maximum(e.mixture.weights, size / e.mixture.n_classes)
    return spoiled_mixture(e, weights=w / w.sum())


def _rounded(e: Experiment, size: float) -> Experiment:
    """Weights rounded to multiples of size/K, as by the key of a cache."""
    step = size / e.mixture.n_classes
    w = np.maximum(np.round(e.mixture.weights / step), 0.1) * step
    return spoiled_mixture(e, weights=w / w.sum())


def _later(e: Experiment, size: float) -> Experiment:
    return e.replace(diffusion_time=e.model.diffusion_time * (1 + size))


def _scaled(power: float) -> Callable[[Experiment, float], Experiment]:
    def change(e: Experiment, size: float) -> Experiment:
        return e.replace(psi_n=_PSI_N * (e.model.psi_n / _PSI_N) ** (1 + power * size))

    return change


# What is answered instead.


def _bulks_mixed(found: xr.Dataset, e: Experiment, size: float) -> xr.Dataset:
    """A share of the energies of each bulk is that of the bulk at the other end."""
    for name in ("bulk_population_energy", "bulk_training_energy", "bulk_training_log"):
        values = found[name].transpose("class", "bulk").values
        found[name].values = (1 - size) * values + size * values[:, ::-1]
    return found


def _stays(found: xr.Dataset, e: Experiment, size: float) -> xr.Dataset:
    """U-turns go nowhere with this probability."""
    k = found.sizes["class"]
    names = {"transition": np.eye(k)[:, :, None], "return_probability": np.ones((k, 1))}
    for name, stay in names.items():
        if name in found:
            dims = (
                ("class", "to_class", "diffusion_time")
                if name == "transition"
                else ("class", "diffusion_time")
            )
            values = found[name].transpose(*dims)
            found[name] = values.copy(data=(1 - size) * values.values + size * stay)
    return found


def _train_pooled(found: xr.Dataset, e: Experiment, size: float) -> xr.Dataset:
    train = found.train_loss
    return found.assign(
        train_loss=((1 - size) * train + size * train.mean("class")).assign_attrs(train.attrs)
    )


def _train_permuted(found: xr.Dataset, e: Experiment, size: float) -> xr.Dataset:
    train = found.train_loss
    other = train.copy(data=train.values[::-1]) if train.dims[0] == "class" else train
    return found.assign(train_loss=((1 - size) * train + size * other).assign_attrs(train.attrs))


def _gap_pooled(found: xr.Dataset, e: Experiment, size: float) -> xr.Dataset:
    gap = found.test_loss - found.train_loss
    mixed = (1 - size) * gap + size * gap.mean("class")
    return found.assign(train_loss=(found.test_loss - mixed).assign_attrs(found.train_loss.attrs))


def _interchanged(found: xr.Dataset, e: Experiment, size: float) -> xr.Dataset:
    """A share of the gap changes its sign where classes are not balanced."""
    if np.ptp(e.mixture.weights) < 1e-3:
        return found
    gap = found.test_loss - found.train_loss
    return found.assign(
        test_loss=(found.test_loss - size * gap).assign_attrs(found.test_loss.attrs),
        train_loss=(found.train_loss + size * gap).assign_attrs(found.train_loss.attrs),
    )


def _warped(found: xr.Dataset, at: Floats) -> xr.Dataset:
    """Losses of each class at other times than they are labelled with: `at` has shape (K, n_times)."""
    log = np.log(found["training_time"].values)
    for name in ("test_loss", "train_loss"):
        dims = found[name].dims
        values = found[name].transpose("class", "training_time").values.copy()
        for k, row in enumerate(values):
            values[k] = PchipInterpolator(log, row)(np.clip(np.log(at[k]), log[0], log[-1]))
        found[name] = xr.DataArray(
            values, dims=("class", "training_time"), attrs=found[name].attrs
        ).transpose(*dims)
    return found


def _alike(found: xr.Dataset, e: Experiment, size: float) -> xr.Dataset:
    """Times of the classes nearer to each other by this share of ln tau."""
    log = np.log(learning_times(found)["tau_gen"].values)
    if not np.isfinite(log).all():
        return found
    factor = np.exp(size * (log - log.mean()))[:, None]
    return _warped(found, found["training_time"].values * factor)


def _powered(found: xr.Dataset, e: Experiment, size: float) -> xr.Dataset:
    """Times to the power 1 + size, about 1."""
    times = found["training_time"].values
    return _warped(found, np.tile(times ** (1 / (1 + size)), (found.sizes["class"], 1)))


def _slow_class(found: xr.Dataset, e: Experiment, size: float) -> xr.Dataset:
    """The clock of class 0 slow by this share."""
    factor = np.ones((found.sizes["class"], 1))
    factor[0] = 1 / (1 + size)
    return _warped(found, found["training_time"].values * factor)


def _slow(found: xr.Dataset, e: Experiment, size: float) -> xr.Dataset:
    times = found["training_time"].values / (1 + size)
    return _warped(found, np.tile(times, (found.sizes["class"], 1)))


FAMILIES: dict[str, Family] = {
    "spectrum-flatter": Family(
        "spectrum of another model", "variances to the power 1 - s", _asked(_SPECTRUM, _flatter)
    ),
    "spectrum-balanced": Family(
        "spectrum of another model", "weights nearer to balance by s", _asked(_SPECTRUM, _nearer_balance)
    ),
    "spectrum-later": Family(
        "spectrum of another model", "diffusion time longer by s", _asked(_SPECTRUM, _later)
    ),
    "spectrum-bulks": Family(
        "spectrum of another model",
        "a share s of the energies in the wrong bulk",
        _answered(_SPECTRUM, _bulks_mixed),
    ),
    "speciation-centroids": Family(
        "speciation that knows no data",
        "centroids nearer to the origin by s",
        _asked(_SPECIATION, _nearer_centroids),
    ),
    "speciation-variances": Family(
        "speciation that knows no data",
        "variances nearer to their mean by s",
        _asked(_SPECIATION, _pooled_variances),
    ),
    "speciation-weights": Family(
        "speciation that knows no data",
        "weights nearer to balance by s",
        _asked(_SPECIATION, _nearer_balance),
    ),
    "speciation-stays": Family(
        "speciation that knows no data",
        "U-turns go nowhere with probability s",
        _answered(_SPECIATION, _stays),
    ),
    "train-pooled": Family(
        "training loss of no class",
        "train curves nearer to their mean by s",
        _answered(_CURVES, _train_pooled),
    ),
    "train-permuted": Family(
        "training loss of no class",
        "a share s of the other class's train curve",
        _answered(_CURVES, _train_permuted),
    ),
    "gap-pooled": Family(
        "training loss of no class",
        "gaps of the classes nearer to their mean by s",
        _answered(_CURVES, _gap_pooled),
    ),
    "times-alike": Family("size", "classes nearer in ln tau by s", _answered(_CURVES, _alike)),
    "times-powered": Family("size", "times to the power 1 + s", _answered(_CURVES, _powered)),
    "clock-of-one": Family("size", "the clock of class 0 slow by s", _answered(_CURVES, _slow_class)),
    "clock-of-all": Family("size", "all clocks slow by s", _answered(_CURVES, _slow)),
    "weights-balanced": Family("imbalance", "weights nearer to balance by s", _asked(_ALL, _nearer_balance)),
    "weights-exaggerated": Family(
        "imbalance", "weights farther from balance by s", _asked(_ALL, _farther_from_balance)
    ),
    "weights-clipped": Family("imbalance", "no weight below s/K", _asked(_ALL, _clipped)),
    "weights-rounded": Family("imbalance", "weights rounded to s/K", _asked(_ALL, _rounded)),
    "train-for-test": Family(
        "imbalance", "a share s of the gap changes sides under imbalance", _answered(_CURVES, _interchanged)
    ),
    "size-weaker": Family("scaling with n", "psi_n to the power 1 - s, about 4", _asked(_ALL, _scaled(-1.0))),
    "size-stronger": Family(
        "scaling with n", "psi_n to the power 1 + s, about 4", _asked(_ALL, _scaled(1.0))
    ),
}
