"""How the finite-size curves approach the theory: bias(d) = c / d^alpha."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import least_squares

from diffclaims.errors import InvalidInput
from diffclaims.problem.arguments import checked
from diffclaims.problem.names import by_name

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class PowerLaw:
    """Fit of ``value = amplitude / d^exponent``.

    Attributes
    ----------
    amplitude, amplitude_stderr : float
        The factor c and its standard error.
    exponent, exponent_stderr : float
        The power and its standard error; fixed, with error 0, where it was given.
    chi2, dof : float, int
        Weighted sum of squares of the residuals and its degrees of freedom.
    """

    amplitude: float
    amplitude_stderr: float
    exponent: float
    exponent_stderr: float
    chi2: float
    dof: int

    def __call__(self, n_dims: float) -> float:
        """Return the fitted value at a dimension."""
        return float(self.amplitude / n_dims**self.exponent)


@checked
def bias_against(finite: xr.Dataset, theory: xr.Dataset, *, variable: str = "test_loss") -> xr.Dataset:
    """Mean over seeds minus the theory, with its standard error.

    Parameters
    ----------
    finite, theory : xarray.Dataset
        Of kind "curves", with the same classes (by name) and training times; `finite` with at least two seeds.
    variable : {"test_loss", "train_loss"}
        Which curves.

    Returns
    -------
    xarray.Dataset
        ``bias`` and ``stderr`` (class, training_time), and ``rms``: the root mean square over both, less
        what the seeds' noise alone puts there, with ``rms_stderr``.

    Raises
    ------
    InvalidInput
        If there is one seed, or the coordinates differ.
    """
    for name, dataset in (("finite", finite), ("theory", theory)):
        if variable not in dataset:
            has = sorted(map(str, dataset.data_vars))
            raise InvalidInput.of("variable", variable, f"be in both; {name} has {has}", "choose another")
    a, b = finite[variable], theory[variable]
    if "seed" not in a.dims or a.sizes["seed"] < 2:
        raise InvalidInput.of("finite", dict(a.sizes), "have two seeds or more", "measure more seeds")
    if a.sizes["class"] != b.sizes["class"] or not (
        a.sizes["training_time"] == b.sizes["training_time"]
        and np.allclose(a["training_time"], b["training_time"], rtol=1e-9, atol=0)
    ):
        raise InvalidInput.of(
            "theory",
            dict(b.sizes),
            f"have the classes and training times of the finite curves, {dict(a.sizes)}",
            "pass the same training times to both",
        )
    if "class" in a.coords:
        b = by_name(theory, a["class"].values.tolist())[variable]
    n = a.sizes["seed"]
    runs = a.transpose("seed", "class", "training_time").values
    difference = runs.mean(axis=0) - b.transpose("class", "training_time").values
    stderr = runs.std(axis=0, ddof=1) / np.sqrt(n)
    square = float((difference**2 - stderr**2).mean())
    # Times are strongly correlated within a seed: leave out one seed at a time for the error.
    total = runs.sum(axis=0)
    left = (total[None] - runs) / (n - 1) - b.transpose("class", "training_time").values[None]
    squares = (left**2).mean(axis=(1, 2))
    square_stderr = np.sqrt((n - 1) / n * ((squares - squares.mean()) ** 2).sum())
    rms = float(np.sqrt(max(square, 0.0)))
    # d rms = d square / (2 rms); where the bias drowns in noise, the root of the error is all that is known.
    rms_stderr = float(min(square_stderr / (2 * rms) if rms > 0 else np.inf, np.sqrt(square_stderr)))
    dims = ("class", "training_time")
    return xr.Dataset(
        {
            "bias": (dims, difference),
            "stderr": (dims, stderr),
            "rms": ((), rms),
            "rms_stderr": ((), rms_stderr),
        },
        coords={"class": a["class"].values, "training_time": a["training_time"].values},
        attrs={"variable": variable, "n_dims": int(finite.attrs.get("n_dims", 0)), "n_seeds": n},
    )


@checked
def fit_power(values: Mapping[int, tuple[float, float]], *, exponent: float | None = None) -> PowerLaw:
    """Fit ``c / d^alpha`` to values at several dimensions, weighted by their standard errors.

    The fit is of the values, not of their logarithms, so that a value within its error of zero, or below
    it, counts for what it is.

    Parameters
    ----------
    values : mapping of int to (float, float)
        Value and standard error by dimension d.
    exponent : float, optional
        Hold the power here and fit the factor alone.

    Raises
    ------
    InvalidInput
        If there are not enough dimensions for the parameters, or an error is not above 0.
    """
    free = 2 if exponent is None else 1
    if len(values) < free + 1:
        raise InvalidInput.of(
            "values", values, f"hold at least {free + 1} dimensions", "measure more dimensions"
        )
    d = np.array(sorted(values), dtype=np.float64)
    y, e = np.array([values[int(k)] for k in d]).T
    if not (np.isfinite(y).all() and np.isfinite(e).all() and (e > 0).all() and d[0] > 0):
        raise InvalidInput.of("values", values, "be finite with errors above 0", "measure more seeds")
    middle = float(np.exp(np.log(d).mean()))
    # The factor at the middle dimension, which barely correlates with the exponent.
    start = [float((y / e**2).sum() / (1 / e**2).sum())] + ([1.0] if exponent is None else [])

    def residual(theta: Floats) -> Floats:
        power = theta[1] if exponent is None else exponent
        return np.asarray((theta[0] * (middle / d) ** power - y) / e)

    fit = least_squares(residual, start, x_scale=[max(abs(start[0]), 1e-12)] + [1.0] * (free - 1))
    covariance = np.linalg.pinv(fit.jac.T @ fit.jac)
    power = float(fit.x[1]) if exponent is None else exponent
    scale = middle**power
    gradient = np.array([scale] + ([fit.x[0] * scale * np.log(middle)] if exponent is None else []))
    return PowerLaw(
        amplitude=float(fit.x[0] * scale),
        amplitude_stderr=float(np.sqrt(gradient @ covariance @ gradient)),
        exponent=power,
        exponent_stderr=float(np.sqrt(covariance[1, 1])) if exponent is None else 0.0,
        chi2=float(2 * fit.cost),
        dof=len(values) - free,
    )
