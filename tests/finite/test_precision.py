"""Scores from features in single precision: as good as double for probabilities of U-turns."""

from __future__ import annotations

import numpy as np
import pytest

from diffclaims import GaussianMixture, RandomFeatures, finite
from diffclaims.finite import scores

MIXTURE = GaussianMixture([0.2, 0.8], [1.5, 1.0], centroid_gram=[[0.5, -0.5], [-0.5, 0.5]])
ASKED = {
    "n_dims": 24,
    "seeds": 2,
    "n_points": 64,
    "n_steps": 12,
    "end": 0.05,
    "mirrored": True,
    "sobol": True,
}


def returns(activation):
    model = RandomFeatures(psi_p=8, psi_n=4, diffusion_time=0.05, activation=activation)
    return finite.speciation((MIXTURE, model), [0.2, 0.6, 1.5], **ASKED)["return_probability"].values


def rounded_to(dtype):
    """A stand-in for single precision."""

    def made(w, readout, activation, xp):
        first, second = w.astype(dtype), readout.astype(dtype)
        return lambda y: xp.numpy((second @ xp.call(activation, first @ y.T.astype(dtype))).T)

    return made


@pytest.mark.parametrize("activation", ["tanh", "erf", "relu"])
def test_single_precision_moves_no_probability_beyond_rounding(activation, monkeypatch):
    single = returns(activation)
    monkeypatch.setattr(scores, "_in_single_precision", rounded_to(np.float64))
    double = returns(activation)
    assert not np.array_equal(single, double)
    np.testing.assert_allclose(single, double, rtol=0, atol=1e-6)


def test_half_precision_would_be_seen(monkeypatch):
    single = returns("tanh")
    monkeypatch.setattr(scores, "_in_single_precision", rounded_to(np.float16))
    assert np.abs(returns("tanh") - single).max() > 1e-4
