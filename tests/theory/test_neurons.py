import dataclasses

import numpy as np
import pytest
from scipy.special import erf

from diffclaims.errors import InvalidInput
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.theory import moments as module
from diffclaims.theory.curves import RULE, SAMPLED
from diffclaims.theory.moments import class_moments
from diffclaims.theory.neurons import neurons
from diffclaims.theory.theta import ThetaRule, theta_nodes

GRAM = [[1.0, 0.3], [0.3, 2.0]]
PLAIN = GaussianMixture([0.4, 0.6], [1.3, 0.6])
CENTROIDS = GaussianMixture([0.4, 0.6], [1.3, 0.6], (1.0,), GRAM)


def brute_force(theta, variance, model, n=200):
    """The four moments by products of Gauss-Legendre rules on [-9, 9]."""
    x, w = np.polynomial.legendre.leggauss(n)
    x = 9 * x
    w = w * np.exp(-(x**2) / 2)
    w = w / w.sum()
    gamma = np.sqrt(model.signal * variance + model.noise)
    act = model.act(theta + gamma * x)
    a, c, second = act @ (w * x) / gamma, act @ w, act**2 @ w
    u = theta + np.sqrt(model.signal * variance) * x
    g2 = (model.act(u[:, None] + np.sqrt(model.noise) * x) @ w) ** 2 @ w
    return a, c, g2 - c**2 - model.signal * variance * a**2, second - g2 - model.noise * a**2


@pytest.mark.parametrize("activation", ["tanh", "erf", np.sin])
def test_moments_without_centroids(activation):
    model = RandomFeatures(psi_p=2, psi_n=2, diffusion_time=0.2, activation=activation)
    got = neurons(PLAIN, model)
    assert got.n_types == 1
    for k, variance in enumerate(PLAIN.class_variance):
        expected = brute_force(0.0, variance, model)
        found = got.a[0, k], got.c[0, k], got.v2[0, k], got.s2[0, k]
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_linear_response_of_erf_in_closed_form():
    model = RandomFeatures(psi_p=2, psi_n=2, diffusion_time=0.2, activation="erf")
    gamma2 = model.signal * PLAIN.class_variance + model.noise
    np.testing.assert_allclose(neurons(PLAIN, model).a[0], 2 / np.sqrt(np.pi * (1 + 2 * gamma2)), rtol=1e-12)


def test_moments_of_relu_in_closed_form():
    model = RandomFeatures(psi_p=2, psi_n=2, diffusion_time=0.2, activation="relu")
    got = neurons(PLAIN, model)
    e2, noise = model.signal, model.noise
    for k, s in enumerate(PLAIN.class_variance):
        total = e2 * s + noise
        # E relu(x) relu(y) of two normals with correlation r: the arc-cosine kernel.
        r = e2 * s / total
        kernel = total / (2 * np.pi) * (np.sqrt(1 - r**2) + r * (np.pi - np.arccos(r)))
        c = np.sqrt(total / (2 * np.pi))
        assert got.a[0, k] == pytest.approx(0.5, abs=1e-12)
        assert got.c[0, k] == pytest.approx(c, rel=1e-12)
        assert got.v2[0, k] == pytest.approx(kernel - c**2 - e2 * s / 4, abs=1e-9)
        assert got.s2[0, k] == pytest.approx(total / 2 - kernel - noise / 4, abs=1e-9)


def test_a_callable_equals_the_name():
    sizes = {"psi_p": 2, "psi_n": 2, "diffusion_time": 0.1}
    named = neurons(CENTROIDS, RandomFeatures(**sizes, activation="erf"))
    own = neurons(CENTROIDS, RandomFeatures(**sizes, activation=lambda x: erf(x)))
    assert own.n_types == named.n_types
    for field in ("weight", "a", "c", "v2", "s2"):
        np.testing.assert_allclose(getattr(own, field), getattr(named, field), atol=1e-10)


def test_a_linear_activation_has_no_nonlinear_part():
    got = neurons(PLAIN, RandomFeatures(psi_p=2, psi_n=2, diffusion_time=0.1, activation=lambda x: 2 * x))
    np.testing.assert_allclose(got.a, 2.0, rtol=1e-12)
    np.testing.assert_allclose(got.v2, 0.0, atol=1e-11)
    np.testing.assert_allclose(got.s2, 0.0, atol=1e-11)


@pytest.mark.parametrize("rank", [1, 2, 3, 5, 9])
def test_theta_nodes_match_the_covariance(rank):
    root = np.random.default_rng(rank).normal(size=(rank, rank))
    covariance = root @ root.T
    theta, weight = theta_nodes(covariance, ThetaRule())
    assert weight.min() > 0
    assert weight.sum() == pytest.approx(1.0)
    scale = np.abs(covariance).max()
    np.testing.assert_allclose(weight @ theta, 0.0, atol=1e-10 * scale)
    # The lattice in three dimensions is the coarsest.
    np.testing.assert_allclose((theta.T * weight) @ theta, covariance, atol=1e-4 * scale)


def test_a_lattice_in_the_widths_of_its_classes():
    root = np.random.default_rng(0).normal(size=(4, 4)) * 3
    covariance, widths = root @ root.T, np.array([1.0, 2.0, 4.0, 1.5])
    rule = ThetaRule(spacing=(0.4, 0.5, 0.7, 1.2), radius=5.0, per_width=0.5)
    own = dataclasses.replace(rule, own_widths=True)
    plain, weighted = theta_nodes(covariance, rule, widths), theta_nodes(covariance, own, widths)
    for theta, weight in (plain, weighted):
        scale = np.abs(covariance).max()
        np.testing.assert_allclose((theta.T * weight) @ theta, covariance, atol=3e-4 * scale)
    assert plain[0].shape[0] > 4 * weighted[0].shape[0]
    # A product of one bump a class, each of its own width.
    exact = np.linalg.det(np.eye(4) + covariance / widths / widths[:, None]) ** -0.5
    got = np.exp(-((weighted[0] / widths) ** 2).sum(axis=1) / 2) @ weighted[1]
    assert got == pytest.approx(exact, rel=1e-2)


def test_theta_of_a_singular_gram_matrix_stays_in_its_span():
    theta, _ = theta_nodes(np.array([[1.0, -1.0], [-1.0, 1.0]]), ThetaRule())
    np.testing.assert_allclose(theta[:, 0], -theta[:, 1], atol=1e-12)


def test_no_centroids_is_one_type():
    theta, weight = theta_nodes(np.zeros((3, 3)), ThetaRule())
    assert theta.shape == (1, 3)
    assert not theta.any()
    np.testing.assert_array_equal(weight, [1.0])


def test_odd_activations_need_half_of_the_types():
    sizes = {"psi_p": 2, "psi_n": 2, "diffusion_time": 0.1}
    odd = neurons(CENTROIDS, RandomFeatures(**sizes))
    full = neurons(CENTROIDS, RandomFeatures(**sizes, activation=lambda x: np.tanh(x) + 1e-9 * x**2))
    assert odd.n_types == (full.n_types + 1) // 2
    for field in ("a", "v2", "s2"):
        np.testing.assert_allclose(
            odd.weight @ getattr(odd, field), full.weight @ getattr(full, field), atol=1e-7
        )


@pytest.mark.parametrize("variance", [1e-6, 2.4e-3, 2.7e-3, 0.05, 5.0])
@pytest.mark.parametrize("diffusion_time", [1e-3, 1.0])
def test_the_table_of_a_smooth_activation_equals_direct_averages(monkeypatch, variance, diffusion_time):
    # The variances on both sides of where averages are sums over one grid.
    model = RandomFeatures(psi_p=2, psi_n=2, diffusion_time=diffusion_time, activation="erf")
    theta = np.random.default_rng(0).normal(size=300) * 3
    table = class_moments(theta, variance, model, 1)
    for name, value in (("FEW", np.inf), ("KNOTS", np.inf), ("NEAR", 0.0)):
        monkeypatch.setattr(module, name, value)
    direct = class_moments(theta, variance, model, 1)
    for got, expected in zip(table, direct, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-10)


@pytest.mark.parametrize("theta", [[0.0], [0.0, 0.7, -3.0], [0.5] * 40])
def test_few_moments_equal_direct_averages(monkeypatch, theta):
    model = RandomFeatures(psi_p=2, psi_n=2, diffusion_time=0.05)
    found = class_moments(np.array(theta), 0.7, model, 1)
    for name, value in (("FEW", np.inf), ("KNOTS", np.inf), ("NEAR", 0.0)):
        monkeypatch.setattr(module, name, value)
    direct = class_moments(np.array(theta), 0.7, model, 1)
    for got, expected in zip(found, direct, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-10)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("spread", [3, 14])
def test_the_table_equals_direct_averages(monkeypatch, activation, spread):
    model = RandomFeatures(psi_p=2, psi_n=2, diffusion_time=0.05, activation=activation)
    theta = np.random.default_rng(0).normal(size=3000) * spread
    table = class_moments(theta, 0.7, model, 1)
    for name, value in (("FEW", np.inf), ("KNOTS", np.inf), ("NEAR", 0.0)):
        monkeypatch.setattr(module, name, value)
    direct = class_moments(theta[:300], 0.7, model, 1)
    for got, expected in zip(table, direct, strict=True):
        np.testing.assert_allclose(got[:300], expected, atol=1e-10)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_refining_moves_no_moment(activation):
    model = RandomFeatures(psi_p=2, psi_n=2, diffusion_time=0.05, activation=activation)
    coarse, fine = neurons(PLAIN, model), neurons(PLAIN, model, n_normal=2)
    for field in ("a", "c", "v2", "s2"):
        np.testing.assert_allclose(getattr(coarse, field), getattr(fine, field), atol=1e-7)


@pytest.mark.parametrize("activation", ["tanh", "erf", "relu"])
@pytest.mark.parametrize("variance", [1e-3, 0.7, 30.0])
def test_far_out_a_named_activation_is_a_straight_line(monkeypatch, activation, variance):
    model = RandomFeatures(psi_p=2, psi_n=2, diffusion_time=0.05, activation=activation)
    theta = module.straight_beyond(variance, model) * np.array([-1.8, -1.2, -1.0, 0.1, 1.1, 1.5, 2.0])
    got = class_moments(theta, variance, model, 1)
    monkeypatch.setattr(module, "STRAIGHT", np.inf)
    for found, direct in zip(got, class_moments(theta, variance, model, 1), strict=True):
        np.testing.assert_allclose(found, direct, rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize("activation", ["tanh", "relu", np.sin])
def test_centroids_that_no_sampled_neuron_sees_are_refused(activation):
    mixture = GaussianMixture([0.25] * 4, [1.0] * 4, (1.0,), 1e12 * np.eye(4))
    model = RandomFeatures(psi_p=2, psi_n=2, diffusion_time=0.1, activation=activation)
    with pytest.raises(InvalidInput, match=r"centroid_gram must be at most .*bring the centroids closer"):
        neurons(mixture, model, rule=SAMPLED)


def test_tables_of_far_centroids_end_where_the_activation_is_flat():
    mixture = GaussianMixture([0.25] * 4, [1.0] * 4, (1.0,), 1e3 * np.eye(4))
    model = RandomFeatures(psi_p=2, psi_n=2, diffusion_time=0.1)
    got = neurons(mixture, model, rule=SAMPLED)
    one = neurons(GaussianMixture([1.0], [1.0], (1.0,), [[1e3]]), model, rule=RULE.refined(2))
    # Every class has the same share of neurons that respond, whose average is imposed.
    np.testing.assert_allclose(got.weight @ got.a**2, (one.weight @ one.a**2)[0], rtol=3e-3)
