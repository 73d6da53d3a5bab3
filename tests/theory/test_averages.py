import numpy as np
import pytest

from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.theory.averages import _of_pair, calibrated, line
from diffclaims.theory.curves import SAMPLED
from diffclaims.theory.neurons import neurons


def bump(width):
    def moments(x):
        a = np.exp(-((x / width) ** 2) / 2)
        return np.stack([a, a**2, 0.5 * a])

    return moments


@pytest.mark.parametrize("correlation", [-0.99, 0.0, 0.4, 0.9])
@pytest.mark.parametrize("deviation", [0.5, 9.0])
def test_pair_averages_of_gaussian_bumps(correlation, deviation):
    one, two = line(bump(1.0), 1.0, deviation), line(bump(0.7), 0.7, 2.0)
    got = _of_pair(one, two, correlation * deviation * 2.0)
    covariance = np.array([[deviation**2, 2 * correlation * deviation], [2 * correlation * deviation, 4.0]])

    def exact(one_power, two_power):
        precision = np.diag([one_power, two_power / 0.49])
        return np.linalg.det(np.eye(2) + covariance @ precision) ** -0.5

    assert got[0, 0] == pytest.approx(exact(1, 1), rel=1e-6)
    assert got[1, 2] == pytest.approx(exact(2, 2), rel=1e-6)
    assert got[3, 0] == pytest.approx(0.5 * exact(1, 1), rel=1e-6)


def sampled(correlation):
    """Two bumps at plainly random points, so that weights have much to mend."""
    covariance = np.array([[4.0, 4 * correlation], [4 * correlation, 4.0]])
    theta = np.random.default_rng(0).multivariate_normal([0, 0], covariance, 4000).T
    moments = np.stack([bump(1.0)(row) for row in theta], axis=1)
    return moments, [line(bump(1.0), 1.0, 2.0)] * 2, covariance


def test_weights_reproduce_what_is_known():
    moments, lines, covariance = sampled(0.4)
    weight = calibrated(moments, lines, covariance)
    assert weight.min() > 0
    assert weight.sum() == pytest.approx(1.0)
    a = moments[0]
    pair = np.linalg.det(np.eye(2) + covariance) ** -0.5
    assert weight @ (a[0] * a[1]) == pytest.approx(pair, rel=1e-5)
    assert weight @ a[0] ** 2 == pytest.approx(1 / 3, rel=1e-5)  # (1 + 2 * 4)^-1/2
    # Equal weights are off by far more, or this test could not fail.
    assert abs((a[0] * a[1]).mean() / pair - 1) > 1e-3


def test_too_few_types_are_left_alone():
    moments, lines, covariance = sampled(0.4)
    np.testing.assert_array_equal(calibrated(moments[..., :20], lines, covariance), 1 / 20)


def test_classes_that_look_alike_and_a_mean_at_zero():
    span = np.random.default_rng(0).normal(size=(6, 4))
    span[5] = span[4]
    span[0] = 0
    mixture = GaussianMixture(np.full(6, 1 / 6), np.linspace(0.5, 1, 6), (1.0,), span @ span.T)
    got = neurons(mixture, RandomFeatures(psi_p=2, psi_n=2, diffusion_time=0.1), rule=SAMPLED)
    assert got.weight.min() > 0
    assert np.ptp(got.weight) > 0
    assert np.isfinite(got.weight).all()
