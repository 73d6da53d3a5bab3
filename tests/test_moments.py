import numpy as np
import pytest

from diffclaims.errors import InvalidInput
from diffclaims.problem.mixture import GaussianMixture

TRUE = GaussianMixture([0.3, 0.7], [[2.0, 0.1], [1.0, 0.3]], (0.25, 0.75), [[0.4, 0.1], [0.1, 0.2]])


def draw(mixture, n_dims, counts, rng, *, rotate=True):
    """Samples with centroids spread evenly over the direction types."""
    sizes = (n_dims * mixture.fractions).round().astype(int)
    root = np.linalg.cholesky(mixture.centroid_gram + 1e-15 * np.eye(mixture.n_classes))
    frames = [np.linalg.qr(rng.normal(size=(m, mixture.n_classes)))[0] for m in sizes]
    mu = np.concatenate([np.sqrt(m) * root @ f.T for m, f in zip(sizes, frames, strict=True)], axis=1)
    sd = np.sqrt(np.repeat(mixture.variances, sizes, axis=1))
    labels = np.repeat(np.arange(mixture.n_classes), counts)
    x = mu[labels] + sd[labels] * rng.normal(size=(labels.size, n_dims))
    basis = np.linalg.qr(rng.normal(size=(n_dims, n_dims)))[0] if rotate else np.eye(n_dims)
    mix = rng.permutation(labels.size)
    return (x @ basis)[mix], labels[mix]


@pytest.fixture(scope="module")
def samples():
    return draw(TRUE, 40, (6000, 14000), np.random.default_rng(0))


@pytest.mark.parametrize("n_types", [2, None])
def test_recovers_a_known_mixture(samples, n_types):
    got = GaussianMixture.from_samples(*samples, n_types=n_types)
    np.testing.assert_allclose(got.weights, TRUE.weights)
    np.testing.assert_allclose(got.fractions, TRUE.fractions)
    np.testing.assert_allclose(got.variances, TRUE.variances, rtol=0.03)
    w = TRUE.weights
    away = np.eye(2) - w  # row k: class k less the weighted mean
    np.testing.assert_allclose(got.centroid_gram, away @ TRUE.centroid_gram @ away.T, atol=0.02)
    found = got.diagnostics
    assert all(type(v) is float for v in found.values())
    # The covariances commute: what is off the diagonal is what sampling puts there.
    assert found["off_diagonal_max"] < 1.5 * found["off_diagonal_sampling_max"] < 0.02
    assert found["within_type_max"] < 0.02
    assert found["centroid_unevenness"] < 0.1
    assert found["centroid_share[0]"] == pytest.approx(0.25, abs=0.1)


def test_keeps_total_variance_and_follows_the_arguments(samples):
    x, labels = samples
    names = np.array(["low", "high"])[labels]
    got = GaussianMixture.from_samples(x, names, n_types=5, classes=["high", "low"], weights=[0.5, 0.5])
    np.testing.assert_array_equal(got.weights, [0.5, 0.5])
    total = [x[names == c].var(axis=0, ddof=1).mean() for c in ("high", "low")]
    np.testing.assert_allclose(got.class_variance, total, rtol=1e-10)
    assert got.n_types == 5
    assert "off_diagonal[high]" in got.diagnostics
    # About the weighted mean, the weighted centroid is zero.
    np.testing.assert_allclose(got.centroid_gram @ got.weights, 0.0, atol=1e-12)
    alone = GaussianMixture.from_samples(x, names, classes=["low"])
    assert alone.n_classes == 1
    assert not alone.centroid_gram.round(12).any()


def test_says_when_covariances_do_not_commute(samples):
    rng = np.random.default_rng(1)
    x, labels = samples
    turned = x.copy()
    own = labels == 1
    turned[own] = x[own] @ np.linalg.qr(rng.normal(size=(40, 40)))[0]
    assert GaussianMixture.from_samples(turned, labels).diagnostics["off_diagonal_max"] > 0.1


def test_says_when_centroids_lie_in_few_directions():
    rng = np.random.default_rng(2)
    x, labels = rng.normal(size=(4000, 10)), np.repeat([0, 1], 2000)
    x[:, 0] *= 3
    x[labels == 1, 0] += 20
    got = GaussianMixture.from_samples(x, labels, n_types=2)
    np.testing.assert_allclose(got.fractions, [0.1, 0.9])
    assert got.diagnostics["centroid_unevenness"] == pytest.approx(0.9, abs=0.01)


def test_isotropic_data_have_one_type():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(4000, 30))
    assert GaussianMixture.from_samples(x, np.arange(4000) % 2).n_types == 1


def test_constant_directions_are_a_type_without_variance(samples):
    x, labels = samples
    padded = np.concatenate([x, np.full((len(x), 10), 0.5)], axis=1)
    got = GaussianMixture.from_samples(padded, labels)
    np.testing.assert_array_equal(got.variances[:, -1], 0.0)
    np.testing.assert_allclose(got.fractions, [0.2, 0.6, 0.2])
    assert got.diagnostics["constant_fraction"] == pytest.approx(0.2)
    merged = GaussianMixture.from_samples(padded, labels, n_types=1)
    np.testing.assert_allclose(merged.class_variance, got.class_variance)


def test_integers_are_taken_as_they_are():
    rng = np.random.default_rng(4)
    x = rng.integers(0, 256, size=(500, 6), dtype=np.uint8)
    labels = np.arange(500) % 2
    got = GaussianMixture.from_samples(x, labels, n_types=2)
    np.testing.assert_allclose(
        got.class_variance, GaussianMixture.from_samples(x.astype(float), labels).class_variance
    )


X = np.random.default_rng(5).normal(size=(40, 3))
Y = np.repeat([0, 1], 20)


def _with_nan():
    bad = X.copy()
    bad[25, 1] = np.nan
    return bad


@pytest.mark.parametrize(
    ("x", "labels", "options", "match"),
    [
        (X.reshape(40, 3, 1), Y, {}, r"x = .*\(40, 3, 1\).*\(samples, dimensions\)"),
        (X.astype(str), Y, {}, "real array"),
        (_with_nan(), Y, {}, "class 1.*be finite"),
        (X, Y[:-1], {}, r"labels = .*\(39,\).*\(40,\)"),
        (X, np.where(Y == 0, np.nan, 1.0), {}, "labels = '<NaN"),
        (X, Y, {"classes": [0, 7]}, r"classes = \[7\]: .*\[0, 1\]"),
        (X, Y, {"classes": [0, 0]}, "distinct labels"),
        (X, Y, {"classes": []}, "distinct labels"),
        (X, Y, {"n_types": 4}, "n_types = 4: .*from 1 to 3"),
        (X, Y, {"n_types": 0}, "n_types = 0"),
        (X, Y, {"weights": [1.0]}, "one weight for each of the 2 classes"),
        (X, Y, {"weights": [0.7, 0.7]}, "sum to 1"),
        (X, np.r_[np.zeros(37, int), 1, 1, 1], {}, "3 samples of class 1.*at least 4"),
        (X, np.r_[np.zeros(39, int), 1], {}, "1 samples of class 1"),
        (np.where(Y[:, None] == 0, 0.0, X), Y, {}, "class 0.*vary within each class"),
    ],
)
def test_errors(x, labels, options, match):
    with pytest.raises(InvalidInput, match=match):
        GaussianMixture.from_samples(x, labels, **options)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_constant_up_to_rounding_is_constant(dtype):
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=(60, 3)), np.full(60, 0.7)])
    ulp = np.finfo(dtype).eps
    x[:, 3] *= 1 + ulp * rng.integers(-1, 2, 60)
    x = (40.0 * x).astype(dtype)
    assert np.ptp(x[:, 3]) > 0
    found = GaussianMixture.from_samples(x, np.repeat([0, 1], 30))
    assert found.diagnostics["constant_fraction"] == 0.25
    # A small dimension that does vary is none of that.
    x[:, 3] = (1e-5 * rng.normal(size=60)).astype(dtype)
    assert GaussianMixture.from_samples(x, np.repeat([0, 1], 30)).diagnostics["constant_fraction"] == 0.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shift", [0.0, 1e3])
def test_a_class_that_is_one_point_up_to_rounding_is_refused(dtype, shift):
    rng = np.random.default_rng(0)
    point = rng.normal(size=4) + shift
    x = np.vstack(
        [rng.normal(size=(30, 4)) + shift, point * (1 + np.finfo(dtype).eps * rng.integers(-1, 2, (30, 4)))]
    )
    x = ((x - x.mean(axis=0)) / x.std(axis=0)).astype(dtype) if shift == 0 else x.astype(dtype)
    with pytest.raises(InvalidInput, match=r"samples of class 1.* one point"):
        GaussianMixture.from_samples(x, np.repeat([0, 1], 30))
