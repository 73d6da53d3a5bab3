import numpy as np
import pytest

from diffclaims.theory.poles import poles

SPECTRUM = np.array([1e-3, 0.02, 0.5, 3.0, 20.0])
RATE_TIMES = np.geomspace(1e-3, 1e5, 60)


def filtered(at, rate_times):
    """Each filter on the spectrum, by the poles, times the eigenvalue."""
    weight, error = at.weights(rate_times), at.error(rate_times)
    resolvent = 1.0 / (SPECTRUM[:, None] - at.z)
    return SPECTRUM[:, None] * 2 * (resolvent @ weight.T).real, error


@pytest.mark.parametrize("low", [0.0, 5e-4])
@pytest.mark.parametrize("wanted", [1e-3, 1e-5, 1e-8])
def test_filters_a_known_matrix_to_the_error_that_it_states(low, wanted):
    got, error = filtered(poles(low, 20.0, RATE_TIMES[-1], wanted), RATE_TIMES)
    off = np.abs(got + np.expm1(-RATE_TIMES * SPECTRUM[:, None])).max()
    assert off <= 1.01 * error
    assert error <= wanted


def test_a_spectrum_far_below_what_is_learned_costs_no_accuracy():
    at = poles(0.0, 20.0, 1e3, 1e-6)
    weight = at.weights(np.array([1e3]))
    for eigenvalue in (1e-9, 1e-7, 1e-5):
        value = 2 * (weight @ (1 / (eigenvalue - at.z))).real
        exact = -np.expm1(-1e3 * eigenvalue) / eigenvalue
        np.testing.assert_allclose(value, exact, rtol=1e-3)


def test_the_first_times_keep_their_relative_accuracy():
    rate_times = np.array([0.0, 1e-9, 1e-6])
    at = poles(0.0, 20.0, 1e3, 1e-6)
    got, _ = filtered(at, rate_times)
    np.testing.assert_allclose(got, rate_times * SPECTRUM[:, None], rtol=1e-2, atol=1e-5 * rate_times.max())
    assert not got[:, 0].any()


def test_few_poles_are_enough():
    # Eight decades between the longest time and the largest eigenvalue.
    counts = [poles(0.0, 20.0, 1e7, error).z.size for error in (1e-4, 1e-6)]
    assert counts[0] <= 25
    assert counts[1] <= 36


@pytest.mark.parametrize("longest", [1e3, 1e5])
def test_carries_a_resolvent_to_other_poles(longest):
    one, two = poles(0.0, 20.0, 1e4, 1e-6), poles(0.0, 22.0, longest, 1e-7)
    shares = np.array([[0.5, 0.2, 0.1, 0.1, 0.1], [0.0, 0.0, 0.3, 0.3, 0.4]]).T
    known = (1 / (SPECTRUM - one.z[:, None])) @ shares
    exact = (1 / (SPECTRUM - two.z[:, None])) @ shares
    got = one.carry(known, two)
    assert np.abs(got / exact - 1).max() < 1e-2
    assert np.median(np.abs(got / exact - 1)) < 1e-4
