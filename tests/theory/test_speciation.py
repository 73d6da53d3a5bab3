import sys
from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import expit, ndtr
from scipy.stats import chi2, norm

from diffclaims.errors import InvalidInput
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.storage.schema import validate
from diffclaims.theory.odds import of_many, of_two
from diffclaims.theory.speciation import (
    detailed_balance_violation,
    normalised_return,
    speciation,
    speciation_times,
    spinodal_times,
)

# The package exports the function under the same name.
module = sys.modules["diffclaims.theory.speciation"]

TIMES = np.geomspace(0.05, 5.0, 25)
OPPOSITE = [[1.0, -1.0], [-1.0, 1.0]]
THREE = GaussianMixture(
    [0.2, 0.3, 0.5],
    [[1.4, 0.3], [0.6, 0.9], [1.0, 0.1]],
    (0.25, 0.75),
    [[0.10, 0.02, -0.03], [0.02, 0.08, 0.0], [-0.03, 0.0, 0.06]],
)


def two(minority, variances=(1.0, 1.0), gram=OPPOSITE):
    return GaussianMixture([minority, 1 - minority], variances, (1.0,), gram)


@st.composite
def mixtures(draw, max_classes=4):
    k, j = draw(st.integers(2, max_classes)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    span = rng.normal(size=(k, draw(st.integers(1, 3)))) * draw(st.floats(0.0, 0.5))
    return GaussianMixture(
        rng.dirichlet(np.full(k, 3.0)),
        rng.gamma(4.0, 0.25, (k, j)),
        rng.dirichlet(np.full(j, 10.0)),
        span @ span.T,
    )


def brute_force(mixture, t, n_dims, n, rng):
    """Transition and commitment of each class by sampling and evaluating densities in d dimensions."""
    sizes = (n_dims * mixture.fractions).round().astype(int)
    values, vectors = np.linalg.eigh(mixture.centroid_gram)
    coordinates = vectors * np.sqrt(np.maximum(values, 0.0))
    parts, variance = [], []
    for j, size in enumerate(sizes):
        frame, _ = np.linalg.qr(rng.normal(size=(size, coordinates.shape[1])))
        parts.append(np.sqrt(size) * coordinates @ frame.T)
        variance.append(np.repeat(mixture.variances[:, j : j + 1], size, axis=1))
    mu, s = np.concatenate(parts, axis=1), np.concatenate(variance, axis=1)
    signal, noise = np.exp(-2 * t), 1 - np.exp(-2 * t)
    p, best = [], []
    for k in range(mixture.n_classes):
        x = np.sqrt(signal) * (mu[k] + np.sqrt(s[k]) * rng.normal(size=(n, n_dims)))
        x += np.sqrt(noise) * rng.normal(size=x.shape)
        log_p = np.stack(
            [
                np.log(w) + norm.logpdf(x, np.sqrt(signal) * m, np.sqrt(signal * v + noise)).sum(axis=1)
                for w, m, v in zip(mixture.weights, mu, s, strict=True)
            ]
        )
        posterior = np.exp(log_p - np.logaddexp.reduce(log_p, axis=0))
        p.append((posterior.mean(axis=1), posterior.std(axis=1) / np.sqrt(n)))
        hit = posterior.argmax(axis=0) == k
        best.append((hit.mean(), np.sqrt(hit.mean() * (1 - hit.mean()) / n)))
    return np.array(p), np.array(best)


@pytest.mark.parametrize("t", [0.3, 1.0, 2.0])
def test_agrees_with_sampling_in_all_dimensions(t):
    transition, commitment = brute_force(THREE, t, 40, 20_000, np.random.default_rng(5))
    got = speciation(THREE, [t], n_dims=40, n_samples=2**15)
    error = np.hypot(transition[:, 1], got.transition_stderr[..., 0])
    assert (np.abs(got.transition[..., 0] - transition[:, 0]) < 4.5 * error).all()
    error = np.hypot(commitment[:, 1], got.commitment_stderr[:, 0])
    assert (np.abs(got.commitment[:, 0] - commitment[:, 0]) < 4.5 * error).all()


@pytest.mark.parametrize("minority", [0.5, 0.1, 0.001])
@pytest.mark.parametrize("fractions", [(1.0,), (0.3, 0.7)])
def test_closed_form_agrees_with_sampling(minority, fractions):
    variances = [[1.5] * len(fractions)] * 2 if len(fractions) == 1 else [[2.0, 0.2]] * 2
    mixture = GaussianMixture([minority, 1 - minority], variances, fractions, [[0.3, -0.1], [-0.1, 0.1]])
    exact = speciation(mixture, TIMES, n_dims=50)
    assert exact.attrs["method"] == "closed form"
    # A hair of difference between the covariances sends the same question to the sampler.
    nudged = GaussianMixture(
        mixture.weights, mixture.variances * [[1.0], [1 + 1e-12]], fractions, mixture.centroid_gram
    )
    sampled = speciation(nudged, TIMES, n_dims=50)
    assert sampled.attrs["method"] == "sampled"
    for name in ("transition", "commitment"):
        assert (np.abs(sampled[name] - exact[name]) < 5 * sampled[f"{name}_stderr"]).all()
        assert (exact[f"{name}_stderr"] == 0).all()


@pytest.mark.parametrize(
    ("mean", "sd"),
    [(0.3, 0.5), (3.0, 2.0), (3.0, 2.01), (-5.0, 3.0), (-20.0, 8.0), (110.0, 40.0), (0.5, 7.0)],
)
def test_quadrature_meets_its_stated_accuracy(mean, sd):
    def integrand(x):
        return expit(x) * norm.pdf(x, mean, sd)

    cuts = sorted({mean - 12 * sd, mean - 3 * sd, mean, mean + 3 * sd, mean + 12 * sd, 0.0})
    cuts = [c for c in cuts if abs(c - mean) <= 12 * sd]
    expected = sum(quad(integrand, a, b, epsabs=1e-15, epsrel=1e-13, limit=300)[0] for a, b in pairwise(cuts))
    got = module._expected_sigmoid(np.array([mean]), np.array([sd]))[0]
    assert abs(got - expected) < module.CLOSED_FORM_ACCURACY


@pytest.mark.parametrize("degrees", [0.2, 1.0, 3.0, 50.0, 1e5])
def test_tabulated_chi_square_is_the_chi_square(degrees):
    (quantile,) = module._chi_squares((degrees,))
    score = np.random.default_rng(0).uniform(-7.15, 7.15, 5000)
    expected = np.where(score < 0, chi2.ppf(ndtr(score), degrees), chi2.isf(ndtr(-score), degrees))
    assert np.abs(quantile(score) - expected).max() < 1e-9 * max(1.0, degrees)


def test_commitment_is_the_known_error_function():
    got = speciation(two(0.2), [1.0], n_dims=20)
    signal, log = np.exp(-2.0), np.log(0.25)
    strength = np.sqrt(signal * 20 * 4.0)
    assert float(got.commitment[0, 0]) == pytest.approx(ndtr((log + strength**2 / 2) / strength), abs=1e-13)


@settings(max_examples=20, deadline=None)
@given(mixture=mixtures(), seed=st.integers(0, 1000))
def test_detailed_balance_and_probabilities(mixture, seed):
    got = speciation(mixture, [0.1, 0.5, 1.5], n_dims=60, n_samples=4096, rng=seed)
    balance = detailed_balance_violation(got, mixture.weights)
    # 7: up to 18 values an example and 20 examples, of Student's distribution with 31 degrees.
    assert (np.abs(balance.violation) <= 7 * balance.violation_stderr).all()
    np.testing.assert_allclose(got.transition.sum("to_class"), 1.0, atol=1e-12)
    assert ((got.transition >= 0) & (got.transition <= 1 + 1e-12)).all()
    assert ((got.commitment >= 0) & (got.commitment <= 1)).all()


def test_balance_meter_sees_a_posterior_with_the_wrong_weights():
    right = two(0.2, (1.3, 0.9), [[0.05, -0.05], [-0.05, 0.05]])
    wrong = speciation(right.reweighted([0.5, 0.5]), TIMES, n_dims=100)
    for dataset, caught in ((speciation(right, TIMES, n_dims=100), False), (wrong, True)):
        balance = detailed_balance_violation(dataset, right.weights)
        score = np.abs(balance.violation / balance.violation_stderr).max()
        assert bool(score > 20) is caught
        assert bool(score > 5) is caught
        gap = normalised_return(dataset, right.weights)
        difference = np.abs(gap.normalised_return[0] - gap.normalised_return[1])
        error = np.hypot(gap.normalised_return_stderr[0], gap.normalised_return_stderr[1])
        assert bool((difference > 5 * error).any()) is caught


@pytest.mark.parametrize("minority", [0.4, 0.1, 0.01])
def test_normalised_return_of_two_classes_is_one_curve(minority):
    mixture = two(minority)
    curve = normalised_return(speciation(mixture, TIMES, n_dims=100), mixture.weights).normalised_return
    np.testing.assert_allclose(curve[0], curve[1], atol=1e-10)


def test_equal_weights_tie_and_the_minority_is_later():
    balanced = speciation_times(speciation(two(0.5), TIMES, n_dims=200)).speciation_time
    assert float(balanced[0]) == pytest.approx(float(balanced[1]), abs=1e-12)
    minority = []
    for weight in (0.5, 0.3, 0.1, 0.03, 0.01):
        found = speciation_times(speciation(two(weight), TIMES, n_dims=200)).speciation_time
        assert weight == 0.5 or float(found[0]) < float(found[1])
        minority.append(float(found[0]))
    assert np.all(np.diff(minority) < 0)


def test_permuting_classes_permutes():
    order = [2, 0, 1]
    a = speciation(THREE, TIMES, n_dims=40)
    b = speciation(THREE.take(order), TIMES, n_dims=40, rng=9)
    moved = a.transition.values[np.ix_(order, order)]
    error = np.hypot(a.transition_stderr.values[np.ix_(order, order)], b.transition_stderr.values)
    assert (np.abs(moved - b.transition.values) < 6 * error).all()
    exact = speciation(two(0.2), TIMES, n_dims=40)
    swapped = speciation(two(0.2).take([1, 0]), TIMES, n_dims=40)
    np.testing.assert_allclose(exact.transition.values[::-1, ::-1], swapped.transition.values, atol=1e-13)


def test_splitting_a_class_splits_its_probability():
    k = [0, 0, 1, 2]
    split = GaussianMixture(
        [0.05, 0.15, 0.3, 0.5], THREE.variances[k], THREE.fractions, THREE.centroid_gram[np.ix_(k, k)]
    )
    whole, parts = speciation(THREE, TIMES, n_dims=40), speciation(split, TIMES, n_dims=40, rng=3)
    into = parts.transition.values[:, :2]
    np.testing.assert_allclose(3 * into[:, 0], into[:, 1], rtol=1e-6)
    error = whole.transition_stderr.values[0, 0] + parts.transition_stderr.values[0, :2].sum(axis=0)
    assert (np.abs(into[0].sum(axis=0) - whole.transition.values[0, 0]) < 6 * error).all()
    assert (parts.commitment[0] == 0).all()  # the larger part is always the likelier


def test_identical_classes_share_commitment():
    same = GaussianMixture([0.3, 0.3, 0.4], [1.0, 1.0, 0.5])
    got = speciation(same, [0.05, 8.0], n_dims=400, n_samples=64)
    np.testing.assert_allclose(got.commitment[:, 0], [0.5, 0.5, 1.0], atol=1e-12)
    tie = speciation(GaussianMixture([0.5, 0.5], [1.0, 1.0]), [0.1], n_dims=10)
    np.testing.assert_allclose(tie.commitment, 0.5)
    prior = speciation(GaussianMixture([0.7, 0.3], [1.0, 1.0]), [0.1], n_dims=10)
    np.testing.assert_allclose(prior.commitment[:, 0], [1.0, 0.0])
    np.testing.assert_allclose(prior.return_probability[:, 0], [0.7, 0.3])


def test_limits_of_no_noise_and_of_pure_noise():
    got = speciation(THREE, [1e-4, 15.0], n_dims=400)
    np.testing.assert_allclose(got.return_probability[:, 0], 1.0, atol=1e-6)
    np.testing.assert_allclose(got.transition[..., 1], np.tile(THREE.weights, (3, 1)), atol=1e-4)


def test_flat_directions_and_a_single_class():
    flat = GaussianMixture([0.5, 0.5], [[1.0, 0.0], [2.0, 0.0]], (0.5, 0.5))
    assert np.isfinite(speciation(flat, [1e-6, 1.0], n_dims=1000, n_samples=64).transition).all()
    alone = speciation(GaussianMixture([1.0], [1.0]), [0.1, 1.0], n_dims=10)
    assert (alone.return_probability == 1).all()
    assert (alone.commitment == 1).all()


def test_centroids_that_fill_a_type_leave_no_chi_square():
    full = GaussianMixture([0.5, 0.5], [1.0, 2.0], (1.0,), [[4.0, 0.0], [0.0, 0.0]])
    got = speciation(full, [0.4], n_dims=1, n_samples=2**14)
    signal, noise = np.exp(-0.8), 1 - np.exp(-0.8)

    def integrand(x):
        a = norm.pdf(x, 2 * np.sqrt(signal), np.sqrt(signal + noise))
        b = norm.pdf(x, 0.0, np.sqrt(2 * signal + noise))
        return a * a / (a + b)

    expected = quad(integrand, -8, 8)[0]
    assert abs(float(got.return_probability[0, 0]) - expected) < 5 * float(
        got.return_probability_stderr[0, 0]
    )


def test_seeds_decide_and_errors_are_honest():
    mixture = two(0.3, (1.5, 0.8), [[0.02, 0.0], [0.0, 0.02]])
    kwargs = {"n_dims": 30, "n_samples": 512}
    a = speciation(mixture, TIMES, rng=1, **kwargs)
    np.testing.assert_array_equal(a.transition, speciation(mixture, TIMES, rng=1, **kwargs).transition)
    generator = np.random.default_rng(1)
    np.testing.assert_array_equal(
        a.transition, speciation(mixture, TIMES, rng=generator, **kwargs).transition
    )
    truth = speciation(mixture, TIMES, rng=2, n_dims=30, n_samples=2**17).commitment
    runs = [speciation(mixture, TIMES, rng=seed, **kwargs) for seed in range(30)]
    score = np.stack([(r.commitment - truth) / r.commitment_stderr for r in runs])
    # Unit variance for honest errors; the floor of 1/n can only lower it.
    assert 0.6 < np.sqrt((score**2).mean()) < 1.25


def test_dataset_follows_the_schema(tmp_path):
    got = speciation(THREE, TIMES, n_dims=40, n_samples=100)
    assert got.attrs["n_samples"] == 128
    assert got.attrs["seeds"] == "[0]"
    got.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "a.nc", engine="h5netcdf") as back:
        validate(back, "speciation")
    assert "accuracy" not in got.attrs
    assert speciation(two(0.2), TIMES, n_dims=5).attrs["accuracy"] == module.CLOSED_FORM_ACCURACY


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"diffusion_times": [0.2, 0.1]}, "diffusion_times = .*increasing"),
        ({"diffusion_times": [0.0, 0.1]}, "diffusion_times = .*above 0"),
        ({"diffusion_times": [[0.1]]}, "diffusion_times"),
        ({"diffusion_times": ["a"]}, "diffusion_times"),
        ({"diffusion_times": [np.nan]}, "diffusion_times"),
        ({"n_dims": 0}, "n_dims = 0: n_dims must be a positive integer"),
        ({"n_dims": 2.5}, "n_dims = 2.5"),
        ({"n_dims": 8}, "n_dims = 8: .*at least 3 directions.* use n_dims >= 12"),
        ({"n_samples": -1}, "n_samples = -1"),
        ({"rng": "a"}, "rng = 'a'"),
        ({"rng": -1}, "rng = -1"),
    ],
)
def test_errors(change, match):
    # Three centroids whose differences span two axes, and a third by an anisotropic Gram matrix.
    four = GaussianMixture(
        [0.25] * 4, [[1.0, 2.0], [2.0, 1.0], [1.0, 1.0], [1.5, 1.0]], (0.25, 0.75), np.eye(4)
    )
    arguments = {"diffusion_times": [0.1, 0.2], "n_dims": 40} | change
    with pytest.raises(InvalidInput, match=match):
        speciation(four, arguments.pop("diffusion_times"), **arguments)


# --- landscape ----------------------------------------------------------------------------------


def stable_points(mixture, t, n_dims):
    """Stable fixed points of the backward drift on the centroid axis, by a scan for sign changes."""
    gram, q = mixture.centroid_gram, np.exp(-2 * t)
    a = np.sqrt(q * n_dims * (gram[0, 0] + gram[1, 1] - 2 * gram[0, 1])) / 2
    gamma2 = q * mixture.variances.max() + 1 - q
    h = np.log(mixture.weights[0] / mixture.weights[1]) / 2
    y = np.linspace(-1, 1, 400_001) * 3 * (2 * a / (2 - gamma2))
    drift = y + 2 * (-y + a * np.tanh(a * y / gamma2 + h)) / gamma2
    return int(((drift[:-1] > 0) & (drift[1:] <= 0)).sum())


@pytest.mark.parametrize("minority", [0.5, 0.499, 0.3, 0.05, 1e-3])
@pytest.mark.parametrize("variance", [0.3, 1.0, 1.9, 3.0])
def test_basin_appears_at_the_spinodal_time(minority, variance):
    mixture = two(minority, (variance, variance), [[0.5, -0.2], [-0.2, 0.7]])
    got = spinodal_times(mixture, n_dims=300)
    t = float(got.spinodal_time[0])
    assert stable_points(mixture, t * (1 - 1e-3), 300) == 2
    assert stable_points(mixture, t * (1 + 1e-3), 300) == 1
    if minority == 0.5:
        assert got.attrs["bifurcation"] == "pitchfork"
        assert float(got.spinodal_time[1]) == t
    else:
        assert got.attrs["bifurcation"] == "saddle-node"
        assert np.isposinf(got.spinodal_time[1])


def test_spinodal_of_a_fainter_minority_is_later():
    times = [
        float(spinodal_times(two(w), n_dims=100).spinodal_time[0]) for w in (0.5, 0.5 - 1e-9, 0.4, 0.1, 1e-4)
    ]
    assert np.all(np.diff(times) < 0)
    assert times[1] == pytest.approx(times[0], abs=1e-5)


def test_no_basin_without_separation():
    close = two(0.1, gram=[[1e-3, 0.0], [0.0, 1e-3]])
    assert float(spinodal_times(close, n_dims=10).spinodal_time[0]) == 0.0


@pytest.mark.parametrize(
    ("mixture", "n_dims", "match"),
    [
        (THREE, 10, "two classes"),
        (two(0.5, (1.0, 2.0)), 10, "one isotropic covariance"),
        (GaussianMixture([0.5, 0.5], [[1.0, 2.0]] * 2, (0.5, 0.5), OPPOSITE), 10, "one isotropic"),
        (two(0.5, gram=[[1.0, 1.0], [1.0, 1.0]]), 10, "distinct centroids"),
        (two(0.5), 0, "n_dims = 0"),
    ],
)
def test_spinodal_errors(mixture, n_dims, match):
    with pytest.raises(InvalidInput, match=match):
        spinodal_times(mixture, n_dims=n_dims)


def test_two_classes_and_many_are_counted_by_one_rule():
    """The shares of two classes in closed form are those of the general sums; ties are halves."""
    odds = np.random.default_rng(0).normal(scale=300.0, size=(1, 400, 7))
    odds[0, :50] = 0.0
    for a, b in zip(of_two(odds.copy()), of_many(odds.copy()), strict=True):
        np.testing.assert_array_equal(a, b)
    own, _, won = of_two(np.array([[[0.0], [np.log(3.0)], [-np.log(3.0)]]]))
    np.testing.assert_allclose(own, [0.5 + 0.25 + 0.75], rtol=1e-15)
    np.testing.assert_array_equal(won, [1.5])
