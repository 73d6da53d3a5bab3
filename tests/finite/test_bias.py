"""The fit of the finite-size bias, on data with a known answer."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from diffclaims.errors import InvalidInput
from diffclaims.finite import bias_against, fit_power

D = np.array([50, 100, 200, 400])


def curves(values, n_dims=0):
    dims = ("seed", "class", "training_time")[-values.ndim :]
    return xr.Dataset(
        {"test_loss": (dims, values)},
        coords={"training_time": np.arange(values.shape[-1]) + 1.0},
        attrs={"n_dims": n_dims},
    )


def test_fit_recovers_a_planted_power():
    fit = fit_power({int(d): (3.0 / d**1.3, 1e-6) for d in D})
    assert fit.exponent == pytest.approx(1.3, abs=1e-3)
    assert fit.amplitude == pytest.approx(3.0, rel=1e-2)
    assert fit.dof == 2
    assert fit(100) == pytest.approx(3.0 / 100**1.3, rel=1e-3)


def test_errors_of_the_fit_are_calibrated():
    rng = np.random.default_rng(0)
    pulls = []
    for _ in range(200):
        sigma = 0.05 / D
        y = 1.0 / D + sigma * rng.standard_normal(4)
        fit = fit_power({int(d): (v, s) for d, v, s in zip(D, y, sigma, strict=True)})
        pulls.append(((fit.exponent - 1) / fit.exponent_stderr, (fit.amplitude - 1) / fit.amplitude_stderr))
    assert np.std(pulls, axis=0) == pytest.approx([1, 1], abs=0.2)


def test_fixed_exponent():
    fit = fit_power({100: (0.02, 1e-3), 200: (0.01, 1e-3)}, exponent=1.0)
    assert fit.amplitude == pytest.approx(2.0)
    assert (fit.exponent, fit.exponent_stderr, fit.dof) == (1.0, 0.0, 1)


def test_rms_does_not_count_the_noise_of_the_seeds():
    rng = np.random.default_rng(1)
    theory = curves(np.ones((2, 50)))
    noisy = bias_against(curves(1 + 0.1 * rng.standard_normal((16, 2, 50))), theory)
    assert noisy.rms < 0.012  # the naive value is 0.025
    planted = bias_against(curves(1.05 + 0.1 * rng.standard_normal((16, 2, 50)), 100), theory)
    assert float(planted.rms) == pytest.approx(0.05, abs=4 * float(planted.rms_stderr))
    assert planted.attrs["n_dims"] == 100


def test_bad_input_says_what_to_do():
    theory = curves(np.ones((2, 5)))
    with pytest.raises(InvalidInput, match="two seeds"):
        bias_against(curves(np.ones((1, 2, 5))), theory)
    with pytest.raises(InvalidInput, match="same training times"):
        bias_against(curves(np.ones((3, 2, 4))), theory)
    with pytest.raises(InvalidInput, match="at least 3 dimensions"):
        fit_power({50: (1.0, 0.1), 100: (0.5, 0.1)})
    with pytest.raises(InvalidInput, match="errors above 0"):
        fit_power({50: (1.0, 0.1), 100: (0.5, 0.1), 200: (0.2, 0.0)})
