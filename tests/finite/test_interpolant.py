"""Polynomials in place of activations: that they give what quadrature gives, and say where they cannot."""

from __future__ import annotations

import numpy as np
import pytest

from diffclaims.finite.backend import Backend
from diffclaims.finite.hermite import SMOOTH_TOLERANCE, Response
from diffclaims.finite.interpolant import interpolate
from diffclaims.problem.model import RandomFeatures


def response(activation, noise_time, **more):
    model = RandomFeatures(psi_p=4, psi_n=4, diffusion_time=noise_time, activation=activation)
    s = np.sqrt(model.noise) * np.random.default_rng(1).uniform(0.7, 1.3, 30)
    return Response(model, 4, s.min(), s.max(), backend=Backend(), **more), s


@pytest.mark.parametrize("time", [0.01, 0.05, 0.5, 3.0])
@pytest.mark.parametrize("reach", [1.0, 9.0])
@pytest.mark.parametrize("activation", ["tanh", "erf"])
def test_it_is_the_quadrature(activation, reach, time):
    made, s = response(activation, time)
    u = np.random.default_rng(0).uniform(-reach, reach, (30, 200))
    found = made._interpolant(u, s)
    # Large inputs under much noise take too many polynomials, and are integrated one by one.
    assert (found is not None) == (reach == 1.0 or time < 0.5)
    if found is None:
        return
    off = np.abs(found.values(u, s, Backend()) - made._quadrature(u, s)).max()
    assert off < 2 * SMOOTH_TOLERANCE


def test_a_response_with_a_kink_is_integrated_at_each_input():
    made, s = response(lambda x: np.abs(x), 0.05)
    assert made._interpolant(np.ones((30, 9)), s) is None


def test_a_function_that_no_size_resolves_is_refused():
    def fast(u, s):
        return np.sin(300 * u)[None, None, :] * np.ones((1, s.size, 1))

    assert interpolate(fast, 3.0, 0.5, 1.0, 1e-9) is None


def test_it_errs_visibly_outside_its_reach():
    """The check of the check: u beyond the reach is extrapolated."""
    made, s = response("tanh", 0.5)
    near = made._interpolant(np.full((30, 9), 0.2), s)
    far = np.full((30, 9), 5.0)
    assert np.abs(near.values(far, s, Backend()) - made._quadrature(far, s)).max() > 1e-3
