"""Recorded runs without torch: times under any definition, paired effects, speciation levels.

The datasets are those that `record.analyse` makes; `diffclaims.subjects.recorded` stores and plays them back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.optimize import isotonic_regression

from diffclaims.errors import BaselineError, InvalidInput
from diffclaims.storage import netcdf as storage
from diffclaims.storage.files import finished
from diffclaims.storage.schema import stamp, validate
from diffclaims.times import definitions
from diffclaims.times.networks import Curves

Milestone = Literal["gen", "mem"]

#: Definitions that claims use.
MAIN_GENERALIZATION = definitions.main("gen")
MAIN_MEMORIZATION = definitions.main("mem")


def load(folder: Path, kind: str = "curves") -> dict[str, xr.Dataset]:
    """Return the recorded datasets of one kind ("curves" or "speciation") by the experiment's name.

    Raises
    ------
    BaselineError
        If there are none, or one cannot be read.
    """
    found = {}
    for path in finished(Path(folder).glob("*.nc")):
        dataset = storage.read_dataset(path)
        if dataset.attrs.get("schema") == kind:
            name = str(dataset.attrs.get("experiment_name", path.stem))
            found[name] = validate(dataset, kind, who=str(path))
    if not found:
        raise BaselineError(
            f"{folder} holds no recorded {kind}; record a campaign with python -m diffclaims.unet record"
        )
    return found


def named_times(
    curves: xr.Dataset,
    *,
    gen: str = MAIN_GENERALIZATION,
    mem: str = MAIN_MEMORIZATION,
    attrs: Mapping[str, str | int | float] | None = None,
) -> xr.Dataset:
    """Compute a "times" dataset, dims (seed, class), from recorded curves.

    Parameters
    ----------
    curves : xarray.Dataset
        With the variables by noise level that `record.analyse` gives it.
    gen, mem : str
        Names of definitions in `diffclaims.times.definitions`.
    attrs : mapping, optional
        Further attributes; those of `curves` are kept.
    """
    generalized, memorized = definitions.find("gen", gen), definitions.find("mem", mem)
    ordered = curves.transpose("seed", "class", "training_time", "noise_level", ...)
    start = ordered["test_loss_by_noise"].isel(training_time=0)
    ordered = ordered.sel(training_time=ordered["training_time"] > 0)
    scale = (ordered["isotropic_loss"] - ordered["wiener_loss"]).mean("class")
    shape = (ordered.sizes["seed"], ordered.sizes["class"])
    found = {n: np.empty(shape) for n in ("tau_gen", "tau_best", "tau_mem")}
    for i, k in np.ndindex(*shape):
        one, at = ordered.isel({"seed": i, "class": k}), {"seed": i}
        c = Curves(
            steps=one["training_time"].values.astype(np.float64),
            initial=start.isel({"seed": i, "class": k}).values.astype(np.float64),
            low=one["low"].values.astype(bool),
            test_loss=one["test_loss_by_noise"].values.astype(np.float64),
            gap=one["log_gap_by_noise"].values.astype(np.float64),
            membership_auc=one["membership_auc"].values.astype(np.float64),
            wiener=one["wiener_loss"].values.astype(np.float64),
            isotropic=one["isotropic_loss"].values.astype(np.float64),
            scale=(scale.isel(at) if "seed" in scale.dims else scale).values.astype(np.float64),
        )
        found["tau_gen"][i, k], found["tau_mem"][i, k] = generalized.time(c), memorized.time(c)
        found["tau_best"][i, k] = c.best()
    out = xr.Dataset(
        {n: (("seed", "class"), v) for n, v in found.items()},
        {"seed": ordered["seed"].values, "class": ordered["class"].values},
    )
    # Every alternative stays beside what the claims use.
    for name in curves.data_vars:
        if str(name).startswith("tau_"):
            out[name] = curves[name].transpose("seed", "class", ...)
    kept = {k: v for k, v in curves.attrs.items() if k not in ("schema", "schema_version")}
    return stamp(out, "times", {**kept, "gen_definition": gen, "mem_definition": mem, **(attrs or {})})


@dataclass(frozen=True, kw_only=True)
class PairedEffect:
    """ln(tau_A / tau_B), paired within runs; below 0 where A is first.

    Attributes
    ----------
    per_seed : tuple of float
        -inf or +inf where only one class was reached; NaN where neither was.
    mean, stderr, low, high : float
        Mean over the seeds with finite values, its standard error and 95 % interval (Student t). NaN and
        infinite where there are not at least two such seeds.
    n_finite, n_one_sided, n_neither : int
        Seeds where both, only one, or neither of the classes was reached.
    """

    per_seed: tuple[float, ...]
    mean: float
    stderr: float
    low: float
    high: float
    n_finite: int
    n_one_sided: int
    n_neither: int


def paired_effect(tau: xr.DataArray, first: str, second: str) -> PairedEffect:
    """Compare two classes' times within each run.

    Parameters
    ----------
    tau : xarray.DataArray
        Times with dims (seed, class), as a variable of a "times" dataset.
    first, second : str
        Classes A and B.
    """
    a, b = (
        np.asarray(tau.sel({"class": c}).transpose("seed").values, dtype=np.float64) for c in (first, second)
    )
    with np.errstate(invalid="ignore"):
        each = np.log(a) - np.log(b)
    finite = each[np.isfinite(each)]
    n = finite.size
    mean = float(finite.mean()) if n else np.nan
    error = float(finite.std(ddof=1) / np.sqrt(n)) if n > 1 else np.inf
    half = error * float(stats.t.ppf(0.975, n - 1)) if n > 1 else np.inf
    return PairedEffect(
        per_seed=tuple(float(v) for v in each),
        mean=mean,
        stderr=error,
        low=mean - half,
        high=mean + half,
        n_finite=n,
        n_one_sided=int(np.isinf(each).sum()),
        n_neither=int(np.isnan(each).sum()),
    )


def _draws(curves: xr.Dataset, milestone: Milestone, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """ln tau of every class, seeds drawn with replacement and images resampled in each; (n, seed, class)."""
    name = f"tau_{milestone}_resampled"
    if name not in curves:
        raise InvalidInput.of(
            "curves", sorted(map(str, curves.data_vars)), f"hold {name}", "record the campaign again"
        )
    values = np.log(curves[name].transpose("seed", "resampling", "class").values.astype(np.float64))
    seeds = rng.integers(values.shape[0], size=(n, values.shape[0]))
    return np.asarray(values[seeds, rng.integers(values.shape[1], size=seeds.shape)])


def _interval(low: NDArray[np.float64], high: NDArray[np.float64]) -> tuple[float, float]:
    """95 % of the draws; quantiles are draws, for nothing lies between a number and infinity."""
    return (
        float(np.quantile(low, 0.025, method="lower")),
        float(np.quantile(high, 0.975, method="higher")),
    )


def joint_interval(
    curves: xr.Dataset, first: str, second: str, milestone: Milestone, *, n: int = 4000, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % interval of the mean of ln(tau_A / tau_B) over runs, from seeds and images together.

    A hierarchical bootstrap: seeds are drawn with replacement, and in each the images that its losses were
    averaged over. From few seeds it is too narrow; the Student t interval of `paired_effect` stands beside it.

    Parameters
    ----------
    curves : xarray.Dataset
        Recorded.
    first, second : str
        Classes A and B.
    milestone : {"gen", "mem"}
        By its main definition.
    n, seed : int
        Draws, and what they come from.

    Returns
    -------
    low, high : float
        Infinite where a class is not reached.
    """
    position = [curves["class"].values.tolist().index(c) for c in (first, second)]
    draws = _draws(curves, milestone, n, np.random.default_rng(seed))[..., position]
    with np.errstate(invalid="ignore"):
        mean = (draws[..., 0] - draws[..., 1]).mean(axis=1)
    # Neither reached: it may be anything.
    unknown = np.isnan(mean)
    return _interval(np.where(unknown, -np.inf, mean), np.where(unknown, np.inf, mean))


@dataclass(frozen=True, kw_only=True)
class RankAgreement:
    """Spearman correlation of measured times with predicted ones, over the classes.

    Attributes
    ----------
    correlation : float
        Of the mean over seeds of ln tau.
    low, high : float
        95 % by resampling seeds and images, for these classes.
    p_value : float
        Two-sided, of as strong a correlation if the classes' orders were unrelated.
    """

    correlation: float
    low: float
    high: float
    p_value: float


def rank_agreement(
    curves: xr.Dataset, predicted: ArrayLike, milestone: Milestone = "gen", *, n: int = 4000, seed: int = 0
) -> RankAgreement:
    """Compare the order in which classes are learned, by the main definition, with a predicted one.

    Parameters
    ----------
    curves : xarray.Dataset
        Recorded, of three classes or more.
    predicted : array_like, shape (K,)
        A time of each class, in the order of the dataset's classes.
    milestone : {"gen", "mem"}
        By its main definition.
    n, seed : int
        Draws, and what they come from.
    """
    want = np.asarray(predicted, dtype=np.float64)
    if want.shape != (curves.sizes["class"],) or want.size < 3:
        raise InvalidInput.of(
            "predicted", want.tolist(), "hold one time for each of three classes or more", "predict them all"
        )
    variable, dim = f"tau_{milestone}_by_definition", f"{milestone}_definition"
    main = curves[variable].isel({dim: 0}).transpose("seed", "class").values.astype(np.float64)
    found = stats.spearmanr(np.log(main).mean(axis=0), want)
    means = _draws(curves, milestone, n, np.random.default_rng(seed)).mean(axis=1)
    ranks = stats.rankdata(means, axis=1)
    ranks -= ranks.mean(axis=1, keepdims=True)
    target = stats.rankdata(want) - (want.size + 1) / 2
    size = np.sqrt((ranks**2).sum(axis=1) * (target**2).sum())
    drawn = np.divide(ranks @ target, size, out=np.zeros(n), where=size > 0)
    low, high = _interval(drawn, drawn)
    return RankAgreement(correlation=float(found.statistic), low=low, high=high, p_value=float(found.pvalue))


def return_level(
    speciation: xr.Dataset, threshold: float = 0.775, variable: str = "return_probability"
) -> xr.DataArray:
    """Return the noise level up to which U-turns return with at least a probability; dims (seed, class).

    The return probability is fitted by one that falls with sigma (isotonic), then interpolated in
    ln(sigma). 0 if it is below the threshold at the lowest level; +inf if it never falls below. The default
    threshold is one of the literature on balanced classes; it means nothing for a class of larger weight
    than itself.
    """
    x = np.log(speciation["noise_level"].values.astype(np.float64))
    values = speciation[variable].transpose("seed", "class", "diffusion_time")
    out = np.empty(values.shape[:2])
    for i, k in np.ndindex(*out.shape):
        fit = isotonic_regression(values.values[i, k].astype(np.float64), increasing=False).x
        if fit[0] < threshold:
            out[i, k] = 0.0
        elif fit[-1] >= threshold:
            out[i, k] = np.inf
        else:
            j = int(np.argmax(fit < threshold))
            step = (fit[j - 1] - threshold) / (fit[j - 1] - fit[j])
            out[i, k] = np.exp(x[j - 1] + step * (x[j] - x[j - 1]))
    return xr.DataArray(
        out,
        dims=("seed", "class"),
        coords={"seed": values["seed"], "class": values["class"]},
        attrs={"units": "pixel", "long_name": f"noise level where {variable} falls below {threshold}"},
    )
