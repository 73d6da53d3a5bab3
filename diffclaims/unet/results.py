"""Recorded runs as datasets, without torch: curves, times under any definition, paired effects.

One file holds one experiment: a "curves" dataset at its root, and the groups ``times``, ``speciation`` and
``samples``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from scipy import stats

from diffclaims.errors import BaselineError, InvalidInput
from diffclaims.experiment import Experiment
from diffclaims.schema import stamp, validate
from diffclaims.unet.measure import GENERALIZATION, MEMORIZATION, Curves

#: Definitions that claims use.
MAIN_GENERALIZATION = next(iter(GENERALIZATION))
MAIN_MEMORIZATION = next(iter(MEMORIZATION))


@dataclass(frozen=True)
class Recorded:
    """One recorded experiment.

    Parameters
    ----------
    path : Path
        Its NetCDF file.
    """

    path: Path

    def _open(self, group: str | None) -> xr.Dataset:
        try:
            return xr.load_dataset(self.path, group=group, engine="h5netcdf")
        except (OSError, KeyError, ValueError) as error:
            raise BaselineError(
                f"{self.path}: the recorded {group or 'curves'} cannot be read ({error}); restore the file, "
                "or record it again with python -m diffclaims.unet record"
            ) from error

    def groups(self) -> tuple[str, ...]:
        """Kinds of dataset in the file."""
        import h5netcdf

        try:
            with h5netcdf.File(self.path, "r") as file:
                return ("curves", *sorted(file.groups))
        except OSError as error:
            raise BaselineError(f"{self.path} cannot be read ({error}); restore the file") from error

    def curves(self) -> xr.Dataset:
        """Losses; dims (seed, class, training_time), further variables also by noise_level."""
        return validate(self._open(None), "curves", who=str(self.path))

    def times(self, *, gen: str = MAIN_GENERALIZATION, mem: str = MAIN_MEMORIZATION) -> xr.Dataset:
        """Times under named definitions, keys of `GENERALIZATION` and `MEMORIZATION`; dims (seed, class).

        All alternatives are beside them as ``tau_gen_by_definition`` and ``tau_mem_by_definition``, with
        ``..._ln_stderr``, the standard error of ln(tau) from resampling the images.
        """
        _known(gen, mem)
        found = validate(self._open("times"), "times", who=str(self.path))
        found["tau_gen"] = found["tau_gen_by_definition"].sel(gen_definition=gen, drop=True)
        found["tau_mem"] = found["tau_mem_by_definition"].sel(mem_definition=mem, drop=True)
        found.attrs |= {"gen_definition": gen, "mem_definition": mem}
        return found

    def speciation(self) -> xr.Dataset:
        """U-turns; dims (seed, class, diffusion_time), the exact Gaussian oracle beside them."""
        return validate(self._open("speciation"), "speciation", who=str(self.path))

    def samples(self) -> xr.Dataset:
        """Copies, class shares and distances of generated sets; dims (seed, sampler, sample_time, class)."""
        return self._open("samples")

    def experiment(self) -> Experiment:
        """What was measured: sizes, noise level and the moments of the data."""
        return Experiment.from_json(str(self.curves().attrs["experiment"]))

    def config(self) -> dict[str, Any]:
        """Settings of the runs, as a nested dict."""
        out: dict[str, Any] = json.loads(self.curves().attrs["config"])
        return out


def recorded(folder: str | os.PathLike[str]) -> dict[str, Recorded]:
    """Return the recorded experiments of a folder by name.

    Raises
    ------
    BaselineError
        If there are none.
    """
    found = {p.stem: Recorded(p) for p in sorted(Path(folder).glob("*.nc"))}
    if not found:
        raise BaselineError(
            f"{folder} holds no recorded U-Net experiment; record a campaign with "
            "python -m diffclaims.unet record"
        )
    return found


def _known(gen: str, mem: str) -> None:
    if gen not in GENERALIZATION:
        raise InvalidInput.of("gen", gen, f"be one of {', '.join(GENERALIZATION)}", "choose one")
    if mem not in MEMORIZATION:
        raise InvalidInput.of("mem", mem, f"be one of {', '.join(MEMORIZATION)}", "choose one")


def times_of_curves(
    curves: xr.Dataset,
    *,
    gen: str = MAIN_GENERALIZATION,
    mem: str = MAIN_MEMORIZATION,
    attrs: Mapping[str, str | int | float] | None = None,
) -> xr.Dataset:
    """Compute a "times" dataset from recorded curves.

    Parameters
    ----------
    curves : xarray.Dataset
        As `Recorded.curves` gives it, with its variables by noise level.
    gen, mem : str
        Keys of `measure.GENERALIZATION` and `measure.MEMORIZATION`.
    attrs : mapping, optional
        Further attributes; those of `curves` are kept.
    """
    _known(gen, mem)
    ordered = curves.transpose("seed", "class", "training_time", "noise_level", ...)
    scale = (ordered["isotropic_loss"] - ordered["wiener_loss"]).mean("class")
    shape = (ordered.sizes["seed"], ordered.sizes["class"])
    found = {n: np.empty(shape) for n in ("tau_gen", "tau_best", "tau_mem")}
    for i, k in np.ndindex(*shape):
        one, at = ordered.isel({"seed": i, "class": k}), {"seed": i}
        c = Curves(
            steps=one["training_time"].values.astype(np.float64),
            low=one["low"].values.astype(bool),
            test_loss=one["test_loss_by_noise"].values.astype(np.float64),
            gap=(one["test_log_ratio_by_noise"] - one["train_log_ratio_by_noise"]).values.astype(np.float64),
            membership_auc=one["membership_auc"].values.astype(np.float64),
            wiener=one["wiener_loss"].values.astype(np.float64),
            isotropic=one["isotropic_loss"].values.astype(np.float64),
            scale=(scale.isel(at) if "seed" in scale.dims else scale).values.astype(np.float64),
        )
        found["tau_gen"][i, k], found["tau_mem"][i, k] = c.generalization(gen), c.memorization(mem)
        found["tau_best"][i, k] = c.best()
    out = xr.Dataset(
        {n: (("seed", "class"), v) for n, v in found.items()},
        {"seed": ordered["seed"].values, "class": ordered["class"].values},
    )
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


def return_level(
    speciation: xr.Dataset, threshold: float = 0.775, variable: str = "return_probability"
) -> xr.DataArray:
    """Return the noise level up to which U-turns return with at least a probability; dims (seed, class).

    The return probability is fitted by one that falls with sigma (isotonic), then interpolated in
    ln(sigma). 0 if it is below the threshold at the lowest level; +inf if it never falls below. The default
    threshold is one of the literature on balanced classes; it means nothing for a class of larger weight
    than itself.
    """
    from scipy.optimize import isotonic_regression

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
