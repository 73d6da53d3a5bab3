"""Everything that is advised on one data set, as one dataset; printing is `diffclaims.advice.show`."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from diffclaims.advice import notes as noted
from diffclaims.advice import trial, trust
from diffclaims.advice.coverage import coverage
from diffclaims.advice.forecast import Forecast, model_of, reweighted
from diffclaims.advice.measure import SHRINKAGES, Measured, choose, measure, shrink
from diffclaims.advice.read import samples_of
from diffclaims.advice.resample import limits, place, resampled
from diffclaims.advice.samples import Samples
from diffclaims.advice.weights import Advised, advised
from diffclaims.errors import InvalidInput
from diffclaims.problem.arguments import Seed, checked
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.problem.moments import TYPE_SPREAD, Moments, mixture_of
from diffclaims.problem.validate import POSITIVE, at_least, probabilities
from diffclaims.storage.provenance import provenance
from diffclaims.storage.schema import stamp

Floats = NDArray[np.float64]

#: Features per dimension where no number of parameters is given, as in the cases of the claims.
PSI_P = 8.0
#: Noise level at which the model is asked.
DIFFUSION_TIME = 0.05
#: Data sets that are drawn anew, and the same for many classes, for which no weights are searched either.
RESAMPLES, RESAMPLES_OF_MANY, MANY = 8, 4, 14


@checked
def advise(
    data: Any,
    y: ArrayLike | None = None,
    *,
    classes: Sequence[Any] | None = None,
    weights: ArrayLike | str | None = None,
    diffusion_time: float = DIFFUSION_TIME,
    parameters: Annotated[float, at_least(1)] | None = None,
    stop: Annotated[float, POSITIVE] | None = None,
    finite: bool = False,
    shrinkage: str = SHRINKAGES[0],
    resamples: Annotated[int, at_least(0)] | None = None,
    weights_search: bool = True,
    root: str | os.PathLike[str] | None = None,
    seed: Seed = 0,
) -> xr.Dataset:
    """Say, before anything is trained, which classes will be learned late, memorized first, and what would help.

    Parameters
    ----------
    data : array_like, str, path or object
        Samples, shape (n, ...), with `y`; a data set object; or what ``diffclaims advise`` takes as DATA. Bytes are
        brought to [-1, 1], other numbers stay as they are.
    y : array_like, shape (n,), optional
        Class of each sample.
    classes : sequence, optional
        Classes to ask about, also those without a sample.
    weights : array_like, shape (K,), or "balanced", optional
        Share of each class in the training, in the order of the classes; by default that in the data.
    diffusion_time : float
        Noise level t at which the model is asked, ``x_t = exp(-t) x + sqrt(1 - exp(-2t)) noise``.
    parameters : float, optional
        Of your network: the model then has ``parameters/d^2`` features a dimension; 8 by default.
    stop : float, optional
        Training time at which you mean to stop, in units of the time at which the first class is learned.
    finite : bool
        Whether to train the finite-size model on the samples too, which takes minutes.
    shrinkage : {"auto", "none", "ledoit-wolf", "oas"}
        For classes with no more samples than dimensions that vary. By default none, but ``oas`` where all samples
        together are fewer than these dimensions.
    resamples : int, optional
        Data sets drawn anew, for the scatter of what is predicted; 8 by default, 4 for more than 14 classes. 0
        leaves it out.
    weights_search : bool
        Whether to look for weights that open or widen the safe window; never for more than 14 classes.
    root : path, optional
        Folder of a data set that is named.
    seed : int

    Returns
    -------
    xarray.Dataset
        Kind "advice", a row a ``class``. The attribute ``notes`` holds what is known to be unreliable, a sentence a
        line, and ``mark`` the same of each class. See docs/advise.md for every variable.

    Raises
    ------
    InvalidInput
        For data or options that cannot be used.
    DiffclaimsError
        When something that an extra brings is missing.

    Notes
    -----
    The theory is that of `diffclaims.theory` for the moments of the data. What is asked of it, coverage, the safe
    window and the search for weights are ours.
    """
    samples = samples_of(data, y, classes=classes, root=None if root is None else os.fspath(root))
    plain = measure(samples)
    shrinkage = choose(plain, shrinkage)
    found = shrink(plain, shrinkage)
    w = _weights(weights, found)
    moments = _moments(found)
    mixture = reweighted(_mixture(moments), w)
    psi_p = PSI_P if parameters is None else parameters / samples.n_dims**2
    model = model_of(samples.n_dims, float(found.counts.sum()), diffusion_time, psi_p)
    forecast = Forecast.of(mixture, model)
    if stop is not None and not np.isfinite(forecast.gen.min()):
        raise InvalidInput.of(
            "stop",
            stop,
            "be in units of the time at which the first class is learned, and theory has none learned here",
            "leave it out, or give more parameters or samples",
        )
    many = len(found.kept) > MANY
    n_drawn = (RESAMPLES_OF_MANY if many else RESAMPLES) if resamples is None else resamples
    drawn = [Forecast.of(reweighted(m, w), model, forecast) for m in resampled(found, moments, n_drawn, seed)]
    out = _by_class(found, plain, seed) | _times(forecast, drawn)
    if found.shrunk.any():
        bare = Forecast.of(reweighted(_mixture(_moments(plain)), w), model)
        with np.errstate(invalid="ignore"):
            out["shrinkage_shift"] = np.log(forecast.gen) - np.log(bare.gen)
    attrs = _settings(found, w, model) | {"n_resampled": n_drawn, "shrinkage": shrinkage}
    if weights_search and not many:
        help_ = advised(w, lambda v: Forecast.of(reweighted(mixture, v), model, forecast), forecast)
        out |= {"weight": w, "weight_widest": help_.best, "weight_opening": help_.opening}
        attrs |= _window(help_, forecast, drawn, found, mixture, model)
    if stop is not None:
        out["learned_at_stop"], out["memorized_at_stop"] = forecast.at(stop * float(forecast.gen.min()))
        attrs["stop"] = stop
    if parameters is not None:
        attrs["parameters"] = parameters
    dataset = _assembled(samples, found, out, attrs)
    if finite:
        from diffclaims.advice.at_size import at_size

        late = at_size(found, w, model, shrinkage=shrinkage, seed=seed).reindex({"class": dataset["class"]})
        dataset = dataset.merge(late).assign_attrs(dataset.attrs | late.attrs)
    dataset = noted.with_notes(dataset, found.marks, trust.stored(), trial.stored())
    return stamp(dataset, "advice", provenance(subject="advice"))


def _settings(found: Measured, weights: Floats, model: RandomFeatures) -> dict[str, Any]:
    """What was asked, of what."""
    return {
        "source": found.samples.source,
        "psi_p": model.psi_p,
        "psi_n": model.psi_n,
        "diffusion_time": model.diffusion_time,
        "n_dims": found.samples.n_dims,
        "n_samples": int(found.counts.sum()),
        "n_varying": int(found.varying.sum()),
        "n_constant": int((~found.varying).sum()),
        "deviation": float(np.sqrt(weights @ found.variance)),
        "bytes_scaled": int(found.samples.bytes_scaled),
        "factor": found.samples.factor,
    }


def _weights(weights: ArrayLike | str | None, found: Measured) -> Floats:
    """Share of each class that is left, which may have been given for all."""
    k = len(found.kept)
    if weights is None:
        return np.asarray(found.counts / found.counts.sum())
    if isinstance(weights, str) and weights == "balanced":
        return np.full(k, 1 / k)
    given = probabilities("weights", weights)
    if given.size == len(found.samples.classes):
        given = given[found.kept] / given[found.kept].sum()
    if given.size != k:
        raise InvalidInput.of(
            "weights",
            weights,
            f"hold one weight for each of the {len(found.samples.classes)} classes",
            f"follow their order: {list(found.samples.classes)[:20]}",
        )
    return given


def _moments(found: Measured) -> Moments:
    """Directions are those of the data, whatever the weights, so that these can be compared with each other."""
    names = [found.samples.classes[k] for k in found.kept]
    shares = found.counts / found.counts.sum()
    # Spectra that were shrunk scatter less than the number of samples would let them.
    spread = TYPE_SPREAD if found.shrunk.any() else None
    return mixture_of(found.means, found.covariances, found.counts, names, weights=shares, spread=spread)


def _mixture(m: Moments) -> GaussianMixture:
    return GaussianMixture(m.weights, m.variances, m.fractions, m.centroid_gram, m.classes)


def _by_class(found: Measured, plain: Measured, seed: int) -> dict[str, Any]:
    """What the samples say without a theory."""
    variance = found.variance
    distances = found.distances()
    np.fill_diagonal(distances, np.inf)
    nearest = distances.argmin(axis=1) if len(variance) > 1 else np.zeros(1, dtype=int)
    covered = np.array(
        [
            coverage(found.samples, found.members(k), float(v) * found.samples.n_dims, seed)
            for k, v in enumerate(plain.variance)
        ]
    )
    return {
        "variance": variance,
        "effective_dimension": found.participation,
        "nearest": found.kept[nearest] if len(variance) > 1 else np.array([-1]),
        "nearest_distance": distances.min(axis=1),
        "coverage": covered[:, 0],
        "coverage_stderr": covered[:, 1],
        "repeated": covered[:, 2],
        "covered_place": place(covered[:, 0]),
        "shrunk": found.shrunk,
    }


def _times(forecast: Forecast, drawn: list[Forecast]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for which, word in (("gen", "learned"), ("mem", "memorized")):
        times = getattr(forecast, which)
        out |= {f"tau_{which}": times, f"{word}_place": place(times)}
        if drawn:
            spread = limits(drawn, which)
            out |= dict(zip((f"tau_{which}_stderr", f"{word}_first", f"{word}_last"), spread, strict=True))
    return out | {"tau_best": forecast.best}


def _window(
    help_: Advised,
    forecast: Forecast,
    drawn: list[Forecast],
    found: Measured,
    mixture: GaussianMixture,
    model: RandomFeatures,
) -> dict[str, Any]:
    """The window with the weights at hand, and with those found: as many samples, or fewer of those at hand."""
    first = float(forecast.gen.min())
    with np.errstate(invalid="ignore"):
        scatter = float(np.std([d.window for d in drawn], ddof=1)) if len(drawn) > 1 else np.nan
    out = {
        "weights_state": help_.state,
        "window": help_.before,
        "window_stderr": scatter,
        "window_widest": help_.after,
        "n_weights_asked": help_.n_asked,
        "window_start": float(forecast.gen.max()) / first,
        "window_end": float(forecast.mem.min()) / first,
    }
    if help_.state in ("opens", "widens"):
        fewer = float((found.counts / help_.best).min())
        less = dataclasses.replace(model, psi_n=fewer / found.samples.n_dims)
        out["n_samples_fewer"] = int(fewer)
        out["window_fewer"] = Forecast.of(reweighted(mixture, help_.best), less).window
    return out


def _assembled(
    samples: Samples, found: Measured, by_kept: Mapping[str, Any], attrs: Mapping[str, Any]
) -> xr.Dataset:
    """One row for each class, NaN for those that are left out."""
    k = len(samples.classes)
    data: dict[str, Any] = {"samples": samples.counts}
    for name, values in by_kept.items():
        column = np.full(k, np.nan)
        column[found.kept] = values
        data[name] = column
    near = data.pop("nearest")
    words = [str(samples.classes[int(i)]) if np.isfinite(i) and i >= 0 else "" for i in near]
    small = np.zeros(k, dtype=bool)
    small[found.kept] = found.small
    data |= {"nearest": words, "small": small}
    dataset = xr.Dataset({n: ("class", v) for n, v in data.items()}, {"class": list(samples.classes)})
    for which in ("gen", "mem"):
        expected = dataset["coverage"].values * (1 if which == "gen" else -1)
        attrs = {**attrs, f"agreement_{which}": _agreement(dataset[f"tau_{which}"].values, expected)}
    return dataset.assign_attrs({n: v for n, v in attrs.items() if v is not None})


def _agreement(times: Floats, expected: Floats) -> float:
    """Rank correlation of the two predictors over classes; NaN where one of them orders none."""
    known = ~np.isnan(times) & ~np.isnan(expected)
    ranks = stats.rankdata(times[known])
    if known.sum() < 3 or np.ptp(ranks) == 0 or np.ptp(expected[known]) == 0:
        return float("nan")
    return float(stats.spearmanr(ranks, expected[known]).statistic)
