"""What a study of score errors says: effects over seeds, and the size at which an error reverses an order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit, logit

from diffclaims.errors import InvalidInput
from diffclaims.times.speciation import speciation_times

Floats = NDArray[np.float64]

#: Readings of a class's return probability phi at prior pi, with the threshold of each: phi itself;
#: (phi - pi)/(1 - pi); and log phi/(1 - phi) - log pi/(1 - pi) >= ln 3, as the raw one at equal weights.
READINGS: dict[str, float] = {"raw": 0.75, "normalised": 0.5, "log-odds": 0.75}
#: What tells runs apart, as coordinates of ``run``.
COLUMNS = ("case", "kind", "size", "psi_n", "psi_p", "activation")
COVERAGE = 0.95
#: Resamplings of the seeds, for the interval of a crossing.
RESAMPLED = 2000


def log_times(dataset: xr.Dataset, weights: Floats) -> Floats:
    """Log speciation times of U-turns, shape (reading, seed, class).

    A time off the grid is put at its end. That can make a tie of an order, never turn it.

    Parameters
    ----------
    dataset : xarray.Dataset
        Kind "speciation", with seeds.
    weights : ndarray, shape (K,)
    """
    phi = dataset["return_probability"].transpose("seed", "class", "diffusion_time")
    pi = xr.DataArray(weights, {"class": dataset["class"].values}, "class")
    read = {
        "raw": phi,
        "normalised": ((phi - pi) / (1 - pi)).clip(0.0, 1.0),
        # As a probability again: above 3/4 where the log-odds have risen by ln 3.
        "log-odds": xr.apply_ufunc(lambda p, w: expit(logit(p) - logit(w)), phi.clip(1e-15, 1 - 1e-15), pi),
    }
    grid = dataset["diffusion_time"].values
    out = []
    for name, threshold in READINGS.items():
        curve = read[name].transpose("seed", "class", "diffusion_time")
        stand_in = dataset.drop_vars("return_probability_stderr").assign(return_probability=curve)
        times = speciation_times(stand_in, threshold=threshold)["speciation_time"]
        out.append(np.log(np.clip(times.values, grid[0], grid[-1])))
    return np.stack(out)


def balance(dataset: xr.Dataset, weights: Floats) -> Floats:
    """Mean violation of detailed balance over the diffusion times, ``pi_0 P(0 -> 1) - pi_1 P(1 -> 0)``, by seed."""
    phi = dataset["return_probability"].transpose("seed", "class", "diffusion_time").values
    return np.asarray((weights[0] * (1 - phi[:, 0]) - weights[1] * (1 - phi[:, 1])).mean(axis=1))


def effects(dataset: xr.Dataset) -> xr.Dataset:
    """The two sentences of the claim as effects, above 0 where they are true.

    Returns
    -------
    xarray.Dataset
        ``later`` (run, weight, reading, seed), ln t(majority)/t(minority); ``rarer`` (run, step, reading, seed), the
        rise of ln t(minority) from one weight to the next, which the coordinate ``to`` names.
    """
    minority, majority = (dataset["log_time"].isel({"class": k}, drop=True) for k in (0, 1))
    rise = minority.values[:, 1:] - minority.values[:, :-1]
    axes = ("run", "step", *minority.dims[2:])
    return xr.Dataset({"later": majority - minority, "rarer": (axes, rise)}).assign_coords(
        {"from": ("step", dataset["weight"].values[:-1]), "to": ("step", dataset["weight"].values[1:])}
    )


def interval(values: xr.DataArray) -> xr.Dataset:
    """``mean``, ``low`` and ``high`` over seeds: a Student-t interval of coverage `COVERAGE`."""
    n = values.sizes["seed"]
    mean = values.mean("seed")
    half = stats.t.ppf((1 + COVERAGE) / 2, n - 1) * values.std("seed", ddof=1) / np.sqrt(n)
    return xr.Dataset({"mean": mean, "low": mean - half, "high": mean + half})


def planted(dataset: xr.Dataset, case: str, kind: str) -> tuple[NDArray[np.int64], Floats]:
    """Runs of one planted error by rising size, the exact score first; ``-scale`` is the scale below 1.

    Returns
    -------
    runs : ndarray of int, shape (S,)
    sizes : ndarray, shape (S,), from 0 up
    """
    sizes, kinds = dataset["size"].values, dataset["kind"].values
    sign = -1.0 if kind.startswith("-") else 1.0
    wanted = (kinds == kind.lstrip("-")) & (sign * sizes > 0) | (kinds == "exact")
    runs = np.flatnonzero(wanted & (dataset["case"].values == case))
    if runs.size < 2:
        raise InvalidInput.of("kind", (case, kind), "have been planted in that case", "name another")
    order = np.argsort(sign * sizes[runs])
    return runs[order], (sign * sizes[runs])[order]


def crossing(sizes: Floats, values: Floats) -> Floats:
    """First size at which curves (..., S) fall below 0, on straight lines; +inf where none does."""
    below = values < 0
    first = below.argmax(axis=-1)
    before = np.maximum(first - 1, 0)
    high = np.take_along_axis(values, before[..., None], -1)[..., 0]
    low = np.take_along_axis(values, first[..., None], -1)[..., 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(first > 0, high / (high - low), 0.0)
    at = sizes[before] + share * (sizes[first] - sizes[before])
    return np.where(below.any(axis=-1), at, np.inf)


def reversal(sizes: Floats, values: Floats) -> tuple[float, float, float]:
    """Size at which the mean effect crosses 0, and its interval by resampled seeds.

    Parameters
    ----------
    sizes : ndarray, shape (S,)
        From 0 up.
    values : ndarray, shape (S, seeds)

    Returns
    -------
    size, low, high : float
        +inf for beyond the largest size.
    """
    n = values.shape[1]
    picks = np.random.default_rng(0).integers(n, size=(RESAMPLED, n))
    means = values[:, picks].mean(axis=2).T
    tails = 100 * np.array([1 - COVERAGE, 1 + COVERAGE]) / 2
    # A resampling that never crosses is larger than any that does.
    low, high = np.percentile(crossing(sizes, means), tails, method="nearest")
    return float(crossing(sizes, values.mean(axis=1))), float(low), float(high)


def render(dataset: xr.Dataset) -> str:
    """Return what was found as text: errors, effects with intervals by run, and reversals."""
    judged = effects(dataset)
    later, rarer = (interval(judged[name].sel(reading="raw")) for name in ("later", "rarer"))
    violation = interval(dataset["balance"])
    lines = [
        "mean error, on the axis | balance | ln t(maj)/t(min) | rise of ln t(min); by weight, raw reading"
    ]
    for r in range(dataset.sizes["run"]):
        lines.append(name_of({c: dataset[c].values[r] for c in COLUMNS}))
        one = dataset.isel(run=r).mean("diffusion_time")
        for i, w in enumerate(dataset["weight"].values):
            if np.isnan(one["score_error"].values[i]).any():
                continue
            errors = ", ".join(
                f"{a:.3f} {b:.3f}"
                for a, b in zip(one["score_error"].values[i], one["axis_error"].values[i], strict=True)
            )
            rise = _words(rarer.isel(run=r, step=i - 1)) if i else ""
            words = [_words(d.isel(run=r, weight=i)) for d in (violation, later)]
            lines.append(f"  {w:<5g} {errors} | {words[0]} | {words[1]} | {rise}")
    lines.append(
        "size at which a mean effect crosses 0 [95 % of resampled seeds]: later, by weight; rarer, by step"
    )
    for case in dict.fromkeys(dataset["case"].values.tolist()):
        for kind, cells in reversals(dataset, case).items():
            lines.append(f"{case}, {kind}: {'; '.join(cells)}")
    return "\n".join(lines) + "\n"


def name_of(run: Mapping[str, Any]) -> str:
    """Name one run by its case, kind, size, psi_n, psi_p and activation."""
    if run["kind"] != "learned":
        return f"{run['case']}, {run['kind']} {run['size']:g}"
    return f"{run['case']}, learned, {run['activation']}, psi_n = {run['psi_n']:g}, psi_p = {run['psi_p']:g}"


def _words(one: xr.Dataset) -> str:
    if np.isnan(one["mean"]):
        return "not measured"
    return f"{float(one['mean']):+.3f} [{float(one['low']):+.3f}, {float(one['high']):+.3f}]"


def tables(dataset: xr.Dataset) -> list[str]:
    """Return the rows of docs/findings.md, of the case where learned scores were measured.

    Errors and balance; effects of the raw reading; the order by each reading; sizes that reverse an order.
    """
    learned = np.flatnonzero(dataset["kind"].values == "learned")
    case = str(dataset["case"].values[learned[0]])
    odd = (dataset["kind"].values == "mirror") & (dataset["size"].values == 1.0)
    beside = odd | (dataset["kind"].values == "exact")
    shown = [*np.flatnonzero((dataset["case"].values == case) & beside), *learned]
    names = {r: name_of({c: dataset[c].values[r] for c in COLUMNS}).removeprefix(f"{case}, ") for r in shown}
    weights = range(dataset.sizes["weight"])
    judged = effects(dataset)
    violation = interval(dataset["balance"])
    mean = dataset[["score_error", "axis_error"]].mean("diffusion_time")
    rows = []
    for r in shown:
        cells = []
        for w in weights:
            total, axis = (mean[name].values[r, w] for name in ("score_error", "axis_error"))
            cells.append(f"{total[0]:.3f}, {total[1]:.3f}; {axis[0]:.2f}, {axis[1]:.2f}")
        cells += [_words(violation.isel(run=r, weight=w)) for w in weights]
        rows.append(_row(names[r], cells))
    later, rarer = (interval(judged[name].sel(reading="raw")) for name in ("later", "rarer"))
    for r in shown:
        cells = [_words(later.isel(run=r, weight=w)) for w in weights]
        rows.append(_row(names[r], cells + [_words(rarer.isel(run=r, step=w)) for w in weights[:-1]]))
    for r in shown:
        for reading in list(READINGS)[1:] if dataset["psi_n"].values[r] in (0.0, 4.0) else []:
            one = interval(judged["later"].sel(reading=reading).isel(run=r))
            rows.append(_row(f"{names[r]}, {reading}", [_words(one.isel(weight=w)) for w in weights]))
    for one in dict.fromkeys(dataset["case"].values.tolist()):
        rows += [_row(f"{one}, {kind}", cells) for kind, cells in reversals(dataset, one).items()]
    return rows


def reversals(dataset: xr.Dataset, case: str) -> dict[str, list[str]]:
    """By planted kind: the size that reverses the first sentence at each weight, and the second at each step."""
    of_case = dataset["case"].values == case
    kinds = list(
        dict.fromkeys(dataset["kind"].values[of_case & ~np.isin(dataset["kind"], ["exact", "learned"])])
    )
    judged, found = effects(dataset), {}
    for kind in [*kinds, *(["-scale"] if "scale" in kinds else [])]:
        runs, sizes = planted(dataset, case, kind)
        cells = []
        for name in ("later", "rarer"):
            values = judged[name].sel(reading="raw").values[runs]
            cells += [_size(*reversal(sizes, values[:, i])) for i in range(values.shape[1])]
        found[str(kind)] = cells
    return found


def _size(size: float, low: float, high: float) -> str:
    if np.isinf(low):
        return "none"
    words = [f"{x:.2f}" if np.isfinite(x) else "none" for x in (size, low, high)]
    return f"{words[0]} [{words[1]}, {words[2]}]"


def _row(name: str, cells: Sequence[str]) -> str:
    return f"| {name} | {' | '.join(cells)} |"
