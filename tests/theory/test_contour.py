import numpy as np
import pytest

from diffclaims.theory.contour import contour, training_filter

SPECTRUM = np.array([1e-3, 0.02, 0.5, 3.0, 20.0])


def by_contour(path, rate_times):
    resolvent = 1.0 / (SPECTRUM[:, None] - path.z)
    return 2 * (training_filter(path.z, rate_times) * path.weight @ resolvent.T).real


@pytest.mark.parametrize("low", [0.0, 5e-4])
def test_filters_a_known_matrix(low):
    rate_times = np.geomspace(1e-3, 1e5, 60)
    got = by_contour(contour(low, 20.0, rate_times[-1], 16.0), rate_times)
    exact = -np.expm1(-rate_times[:, None] * SPECTRUM) / SPECTRUM
    np.testing.assert_allclose(got * SPECTRUM, exact * SPECTRUM, atol=2e-7)


def test_converges_geometrically():
    rate_times = np.geomspace(1e-3, 1e5, 60)
    exact = -np.expm1(-rate_times[:, None] * SPECTRUM)
    errors = [
        np.abs(by_contour(contour(0.0, 20.0, 1e5, nodes), rate_times) * SPECTRUM - exact).max()
        for nodes in (5.0, 8.0, 11.0)
    ]
    # Equal steps in the number of nodes lower the error by more than a factor of five each.
    assert errors[1] < errors[0] / 5
    assert errors[2] < errors[1] / 5


def test_crosses_the_axis_below_the_spectrum_and_closes_above_it():
    path = contour(0.2, 5.0, 1e3, 9.0)
    assert (path.z.imag > 0).all()
    assert path.z[0].real < 0.2
    assert path.z[-1].real > 5.0
    # A closed contour: no weight at infinity, so a constant integrates to nothing.
    assert abs(path.weight.sum().real) < 1e-2


def test_filter_near_zero_is_the_rate_time():
    rate_times = np.array([0.0, 1.0, 7.0])
    np.testing.assert_allclose(
        training_filter(np.array([1e-12 + 0j]), rate_times)[:, 0], rate_times, rtol=1e-9
    )
