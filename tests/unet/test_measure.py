"""References, oracle, crossing times and copies. No torch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffclaims.errors import InvalidInput
from diffclaims.memorization.auc import auc, below, weighted_auc
from diffclaims.monitor.curves import ClassCurves
from diffclaims.times import definitions
from diffclaims.times.by_sample import drawn, even, with_even
from diffclaims.times.crossing import first_reached
from diffclaims.times.crossing import jittery_crossing as crossing
from diffclaims.times.networks import ClassImages, Curves, least
from diffclaims.unet.measure.memorization import copy_radius, find_copies, frechet_distance, kernel_distance
from diffclaims.unet.measure.oracle import oracle_uturns, posterior
from diffclaims.unet.measure.wiener import ClassMoments

STEPS = np.geomspace(10, 1000, 25)


@given(st.floats(15, 900))
def test_a_crossing_is_found_between_snapshots(tau):
    curve = np.log(STEPS / 10)
    assert crossing(STEPS, curve, np.log(tau / 10)) == pytest.approx(tau, rel=1e-9)


def test_a_crossing_ignores_jitter_and_a_later_fall():
    curve = np.tanh(np.log(STEPS / 100)) * 0.5 + 0.5
    clean = crossing(STEPS, curve, 0.5)
    jitter = curve.copy()
    jitter[3] = 0.55  # one early outlier: the monotone fit spreads it over its neighbours
    assert crossing(STEPS, jitter, 0.5) == pytest.approx(clean, rel=0.05)
    falling = curve.copy()
    falling[-4:] = 0.0
    assert crossing(STEPS, falling, 0.5) == pytest.approx(clean, rel=1e-6)


def test_censored_times_are_infinite_and_early_ones_the_first_step():
    assert crossing(STEPS, np.zeros(25), 0.5) == np.inf
    assert crossing(STEPS, np.ones(25), 0.5) == pytest.approx(10)


def test_least_is_over_three_neighbours():
    curve = (np.log(STEPS) - np.log(100)) ** 2
    assert least(STEPS, curve) == pytest.approx(100, rel=0.15)
    curve[20] = -0.01 + curve[20] * 0
    assert least(STEPS, curve) == pytest.approx(100, rel=0.15)


@pytest.fixture(scope="module")
def two_kinds():
    """ln(L/W) of 30 training and 20 held-out samples, at 6 snapshots and 3 levels, with ties."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(6, 3, 30)).round(1), (rng.normal(size=(6, 3, 20)) + 0.5).round(1)


def written_auc(a, b, v, w):
    pairs = [(v[i] * w[j], x, y) for i, x in enumerate(a) for j, y in enumerate(b)]
    return sum(p * (1.0 if x < y else 0.5 if x == y else 0.0) for p, x, y in pairs)


def test_auc_counts_pairs(two_kinds):
    assert auc(np.array([0.0, 1.0]), np.array([2.0, 3.0])) == 1
    assert auc(np.array([1.0]), np.array([1.0, 2.0])) == 0.75
    train, held = two_kinds
    v, w = np.random.default_rng(1).dirichlet(np.ones(30)), np.random.default_rng(2).dirichlet(np.ones(20))
    exact = weighted_auc(below(train[:, 0], held[:, 0]), v, w)
    for t in range(6):
        plain = written_auc(train[t, 0], held[t, 0], even(30), even(20))
        assert auc(train, held)[t, 0] == pytest.approx(plain)
        assert exact[t] == pytest.approx(written_auc(train[t, 0], held[t, 0], v, w))


def test_a_unet_and_a_watched_training_have_the_same_gap_and_auc(two_kinds):
    train, held = two_kinds
    one, steps = np.ones(3), np.arange(6.0)
    unet = ClassImages(
        steps=steps, low=np.array([True, False, False]), test_loss=np.exp(held), test_log_ratio=held,
        train_log_ratio=train, wiener=one, isotropic=2 * one, scale=one,
    )  # fmt: skip
    watched = ClassCurves(
        steps, np.exp(held), held, train, np.ones((3, 20)), np.ones((3, 20)), 3, np.zeros(3)
    )
    np.testing.assert_allclose(unet.curves().gap, watched.gap()[1:])
    np.testing.assert_allclose(unet.curves().membership_auc, watched.auc()[1:, 0])
    w, v = drawn(20, np.random.default_rng(5)), drawn(30, np.random.default_rng(6))
    exact, first_order = unet.membership_auc(w, v), watched.auc(w[:, None], v[:, None])[:, 0, 0]
    np.testing.assert_allclose(first_order, exact, atol=0.03)
    assert np.abs(exact - unet.membership_auc()).max() > 0.05


def test_curves_of_many_resamplings_are_read_one_by_one():
    rng = np.random.default_rng(0)
    steps, y = np.append(0.0, STEPS), np.cumsum(rng.random((26, 4)), axis=0)
    y[3, 2] = np.nan
    times = first_reached(steps, y, 5.0)
    assert np.isnan(times[2])
    assert times[1] == crossing(STEPS, y[1:, 1], 5.0) == first_reached(steps, y[:, 1], 5.0)
    early = first_reached(steps, y + 5, 5.0, from_start=True)
    assert early[0] == 0
    assert first_reached(steps, y, 5.0, from_start=True)[1] == crossing(steps + 1, y[:, 1], 5.0) - 1


def test_weights_of_resamplings_sum_to_one():
    w = with_even(7, 5, np.random.default_rng(0))
    np.testing.assert_allclose(w.sum(axis=0), 1)
    assert (w[:, 0] == 1 / 7).all()
    assert len(np.unique(w[:, 1:], axis=1).T) > 1
    assert drawn(7, np.random.default_rng(0)).sum() == pytest.approx(1)


def _curves(**changes):
    low = np.array([True, True, False])
    wiener, isotropic = np.array([0.2, 0.15, 0.1]), np.array([0.4, 0.3, 0.2])
    progress = (1 - np.exp(-STEPS / 60))[:, None]
    values = {
        "steps": STEPS,
        "initial": isotropic,
        "low": low,
        "test_loss": isotropic + (wiener - isotropic) * progress,
        "gap": np.maximum(np.log(STEPS / 100), 0)[:, None] * np.ones(3),
        "membership_auc": np.clip(0.5 + 0.2 * np.log(STEPS / 100), 0.5, 1),
        "wiener": wiener,
        "isotropic": isotropic,
        "scale": isotropic - wiener,
    }
    return Curves(**{**values, **changes})


def test_the_main_definitions_cross_where_they_say():
    c = _curves()
    assert definitions.find("gen", "iso_0.8").time(c) == pytest.approx(-60 * np.log(0.2), rel=0.02)
    assert definitions.find("gen", "absolute").time(c) == pytest.approx(-60 * np.log(0.2), rel=0.02)
    assert definitions.find("mem", "gap_0.25").time(c) == pytest.approx(100 * np.exp(0.25), rel=0.02)
    assert definitions.find("mem", "gap_0.1").time(c) < definitions.find("mem", "gap_0.5").time(c)
    assert definitions.find("mem", "auc_0.6").time(c) == pytest.approx(100 * np.exp(0.5), rel=0.03)
    assert all(np.isfinite(definitions.find("gen", d).time(c)) for d in definitions.of("gen"))
    assert all(np.isfinite(definitions.find("mem", d).time(c)) for d in definitions.of("mem"))


def test_a_gap_that_is_there_from_the_start_is_no_memorization():
    c = _curves(gap=np.full((25, 3), 0.6), membership_auc=np.full(25, 0.8))
    assert definitions.find("mem", "gap_0.1").time(c) == np.inf
    assert definitions.find("mem", "auc_0.6").time(c) == np.inf


def test_the_scale_of_a_class_does_not_move_its_relative_times():
    a = _curves()
    b = _curves(
        initial=a.initial * 3, test_loss=a.test_loss * 3, wiener=a.wiener * 3, isotropic=a.isotropic * 3
    )
    for d in ("iso_0.8", "excess_0.2", "init_0.9"):
        assert definitions.find("gen", d).time(a) == pytest.approx(definitions.find("gen", d).time(b))
    assert definitions.find("gen", "absolute").time(b) > definitions.find("gen", "absolute").time(a)


def test_unknown_definitions_are_refused():
    with pytest.raises(InvalidInput, match=r"iso_0.8"):
        definitions.find("gen", "half").time(_curves())
    with pytest.raises(InvalidInput, match=r"gap_0.25"):
        definitions.find("mem", "half").time(_curves())


def _gaussian(rng, n, scales, mean=0.0):
    return (mean + rng.normal(size=(n, len(scales))) * scales).astype(np.float32).reshape(n, 1, 2, -1)


def test_reference_losses_are_those_of_the_filters():
    rng = np.random.default_rng(1)
    scales = np.array([2.0, 1.0, 0.5, 0.1])
    x = _gaussian(rng, 4000, scales, mean=0.3)
    m = ClassMoments.of(x)
    assert m.total_variance == pytest.approx((scales**2).sum(), rel=0.05)
    for sigma in (0.3, 1.0):
        flat = x.reshape(len(x), -1).astype(float)
        y = flat + sigma * rng.normal(size=flat.shape)
        measured = ((m.gaussian.denoise(y, sigma) - flat) ** 2).mean() / sigma**2
        assert measured == pytest.approx(m.wiener_loss([sigma])[0], rel=0.05)
    assert (m.wiener_loss([0.1, 1, 10]) < m.isotropic_loss([0.1, 1, 10])).all()
    round_ = ClassMoments(np.zeros(4), np.full(4, 0.7), np.eye(4))
    np.testing.assert_allclose(round_.wiener_loss([0.2, 2]), round_.isotropic_loss([0.2, 2]))


def test_moments_of_the_same_images_are_kept_and_those_of_others_are_not():
    x = _gaussian(np.random.default_rng(2), 50, np.ones(4))
    kept = ClassMoments.of(x)
    assert ClassMoments.of(x.copy()) is kept
    other = x.copy()
    other[0, 0, 0, 0] += 1
    assert ClassMoments.of(other) is not kept
    for i in range(20):
        ClassMoments.of(x + np.float32(i + 1))
    again = ClassMoments.of(x)
    assert again is not kept  # only the last few are
    np.testing.assert_array_equal(again.eigenvalues, kept.eigenvalues)


def test_posterior_of_equal_classes_is_the_prior():
    m = ClassMoments(np.zeros(3), np.ones(3), np.eye(3))
    y = np.random.default_rng(0).normal(size=(5, 3))
    np.testing.assert_allclose(posterior(y, 0.7, [m, m], (0.2, 0.8)), np.tile([0.2, 0.8], (5, 1)))


def test_posterior_is_the_logistic_of_the_log_odds():
    a, b = (ClassMoments(np.array([c]), np.array([0.5]), np.eye(1)) for c in (-1.0, 1.0))
    y = np.linspace(-3, 3, 7)[:, None]
    odds = np.log(0.3 / 0.7) - 2 * y[:, 0] / (0.5 + 0.49)
    np.testing.assert_allclose(posterior(y, 0.7, [a, b], (0.3, 0.7))[:, 0], 1 / (1 + np.exp(-odds)))


def test_oracle_keeps_detailed_balance():
    rng = np.random.default_rng(2)
    moments = [
        ClassMoments(np.zeros(6), np.full(6, 1.5), np.eye(6)),
        ClassMoments(np.full(6, 0.4), np.full(6, 0.4), np.eye(6)),
    ]
    w = np.array([0.2, 0.8])
    images = [m.mean + rng.normal(size=(20000, 6)) * np.sqrt(m.eigenvalues) for m in moments]
    transition, commitment = oracle_uturns(images, [0.3, 1.0, 3.0], moments, w, rng=rng)
    np.testing.assert_allclose(transition.sum(axis=1), 1)
    np.testing.assert_allclose(w[0] * transition[0, 1], w[1] * transition[1, 0], rtol=0.05)
    assert (np.diff(transition[0, 0]) < 0).all()
    assert commitment.shape == (2, 3)


def test_planted_copies_are_counted():
    rng = np.random.default_rng(3)
    train = rng.normal(size=(40, 1, 4, 4)).astype(np.float32)
    label = np.repeat([0, 1], 20)
    held_out = rng.normal(size=(200, 1, 4, 4))
    radii = np.array([copy_radius(held_out, train[label == k]) for k in (0, 1)])
    copies = train[[0, 0, 3, 25]] + 1e-3 * rng.normal(size=(4, 1, 4, 4))
    fresh = rng.normal(size=(400, 1, 4, 4))
    samples = np.concatenate([copies, fresh])
    sample_label = np.concatenate([[0, 0, 0, 1], np.repeat([0, 1], 200)])
    found = find_copies(samples, sample_label, train, label, radii)
    assert found.count.tolist() == [203, 201]
    assert found.memorized[0] == pytest.approx(3 / 203)
    assert found.copied[1] == pytest.approx(0.05, abs=0.04)  # by construction 5 % of fresh images
    only = find_copies(copies, np.array([0, 0, 0, 1]), train, label, radii)
    assert only.memorized.tolist() == [1, 1]
    assert only.copied.tolist() == [1, 1]
    assert only.distinct.tolist() == [2, 1]


def test_a_class_without_samples_is_nan():
    train = np.random.default_rng(0).normal(size=(4, 1, 2, 2))
    found = find_copies(train[:0], np.zeros(0, dtype=int), train, np.array([0, 0, 1, 1]), np.ones(2))
    assert np.isnan(found.memorized).all()
    assert found.count.tolist() == [0, 0]


def test_distances_between_sets():
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(4000, 3)), rng.normal(size=(4000, 3))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, b) == pytest.approx(0, abs=0.02)
    # Gaussians of equal mean: (s1 - s2)^2 a dimension.
    assert frechet_distance(a, 2 * b + 1) == pytest.approx(3 * (1 + 1), rel=0.1)
    assert kernel_distance(a[:500], b[:500]) == pytest.approx(0, abs=0.1)
    assert kernel_distance(a[:500], b[:500] + 1) > 0.5
