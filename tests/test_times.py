import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import PchipInterpolator

from diffclaims.errors import InvalidInput, SubjectInvalid
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.storage.provenance import provenance
from diffclaims.storage.schema import stamp, validate
from diffclaims.theory.curves import learning_curves
from diffclaims.times.crossing import _around, _cubic, smooth_crossing, smooth_crossings
from diffclaims.times.learning import learning_times
from diffclaims.times.log_time import log_times

TAU = np.geomspace(1e-2, 1e4, 121)
NAMES = ("tau_gen", "tau_best", "tau_mem")


def curves(test, train, bayes, tau=TAU, **attrs):
    """A dataset of curves, classes first (and seeds before them)."""
    test, train, bayes = np.asarray(test), np.asarray(train), np.asarray(bayes)
    lead = ("seed", "class")[2 - (test.ndim - 1) :]
    data = xr.Dataset(
        {
            "test_loss": ((*lead, "training_time"), test),
            "train_loss": ((*lead, "training_time"), train),
            "bayes_loss": (("class",), bayes),
        },
        coords={"class": np.arange(bayes.size), "training_time": tau},
    )
    return stamp(data, "curves", provenance(subject="made up", **attrs))


def ramp(start, end, tau=TAU):
    """From 0 to 1 in a straight line in log time: interpolation reproduces it exactly."""
    return np.clip((np.log(tau) - np.log(start)) / (np.log(end) - np.log(start)), 0.0, 1.0)


def two_phase(bayes=0.4, start=0.1, end=100.0, gap_start=50.0, gap_end=5000.0, gap=0.5, tau=TAU):
    test = 1 - (1 - bayes) * ramp(start, end, tau)
    return test, test - (1 - bayes) * gap * ramp(gap_start, gap_end, tau)


def test_straight_lines_are_exact():
    test, train = two_phase()
    got = learning_times(curves([test], [train], [0.4]))
    validate(got, "times")
    # Half way in log time between 0.1 and 100; a fifth of the way from 50 to 5000.
    assert float(got.tau_gen[0]) == pytest.approx(np.sqrt(10.0), rel=1e-10)
    assert float(got.tau_mem[0]) == pytest.approx(50 * 100**0.2, rel=1e-10)


@given(st.floats(0.05, 0.95), st.floats(0.05, 0.45))
def test_thresholds_move_along_the_lines(generalization, memorization):
    test, train = two_phase()
    got = learning_times(
        curves([test], [train], [0.4]), generalization=generalization, memorization=memorization
    )
    # Away from the kinks, where the cubic rounds the corner within one step of the grid.
    assert float(got.tau_gen[0]) == pytest.approx(0.1 * 1000**generalization, rel=1e-2)
    assert float(got.tau_mem[0]) == pytest.approx(50 * 100 ** (memorization / 0.5), rel=1e-2)
    assert got.attrs["generalization"] == generalization
    assert got.attrs["memorization"] == memorization


@pytest.mark.parametrize("at", [0.3, 7.7, 912.0])
def test_the_vertex_of_a_parabola_is_exact(at):
    test = 0.5 + 0.004 * np.log(TAU / at) ** 2
    got = learning_times(curves([test], [test], [0.4]))
    assert float(got.tau_best[0]) == pytest.approx(at, rel=1e-9)


def test_smooth_curves_converge():
    errors = []
    for n in (31, 61, 121):
        tau = np.geomspace(1e-2, 1e4, n)
        test = 1 - 0.6 * tau / (tau + 3.0)  # half learned at tau = 3
        got = learning_times(curves([test], [test], [0.4], tau))
        errors.append(abs(np.log(float(got.tau_gen[0]) / 3.0)))
    assert errors[2] < errors[1] / 4 < errors[0] / 16
    assert errors[2] < 1e-4


def test_a_time_that_is_not_reached_is_infinite():
    test, train = two_phase()
    got = learning_times(curves([test], [test], [0.1]), generalization=0.9)
    assert np.isposinf(got.tau_gen[0])
    assert np.isposinf(got.tau_mem[0])
    assert np.isfinite(learning_times(curves([test], [train], [0.4])).tau_mem[0])


def test_a_loss_that_still_falls_has_no_best_time():
    test = 1 - 0.6 * ramp(0.1, 1e5)
    got = learning_times(curves([test], [test], [0.4]))
    assert np.isposinf(got.tau_best[0])


def test_a_loss_that_only_rises_is_best_at_the_start():
    test = 0.5 + 0.4 * ramp(1e-3, 1e5)
    assert float(learning_times(curves([test], [test], [0.4])).tau_best[0]) == pytest.approx(TAU[0])


def test_a_threshold_met_from_the_start_gives_the_first_time():
    test = np.full(TAU.size, 0.45)
    got = learning_times(curves([test], [test - 0.3], [0.4]))
    assert float(got.tau_gen[0]) == pytest.approx(TAU[0])
    assert float(got.tau_mem[0]) == pytest.approx(TAU[0])


def test_the_first_crossing_counts():
    test = 1 - 0.6 * (ramp(0.1, 1.0) - 0.9 * ramp(2.0, 10.0) + 0.9 * ramp(50.0, 500.0))
    got = learning_times(curves([test], [test], [0.4]))
    assert 0.1 < float(got.tau_gen[0]) < 1.0


def test_training_time_zero_is_left_out():
    test, train = two_phase()
    start = curves([[1.0, *test]], [[1.0, *train]], [0.4], np.concatenate([[0.0], TAU]))
    got, without = learning_times(start), learning_times(curves([test], [train], [0.4]))
    for name in NAMES:
        assert float(got[name][0]) == float(without[name][0])


def test_classes_and_seeds_are_kept():
    rows = [[two_phase(start=0.1 * (1 + s + 2 * c)) for c in range(3)] for s in range(2)]
    test, train = np.moveaxis(np.array(rows), 2, 0)
    many = curves(test, train, [0.4] * 3, seeds=[4, 5])
    many = many.assign_coords(seed=[4, 5])
    got = learning_times(many)
    assert got.tau_gen.dims == ("seed", "class")
    np.testing.assert_array_equal(got.seed, [4, 5])
    for s in range(2):
        one = learning_times(curves(test[s], train[s], [0.4] * 3))
        for name in NAMES:
            np.testing.assert_allclose(got[name][s], one[name])
    swapped = many.transpose("training_time", "class", "seed")
    for name in NAMES:
        np.testing.assert_array_equal(learning_times(swapped)[name].transpose("seed", "class"), got[name])


def test_reaching_and_not_reaching_side_by_side():
    test, train = two_phase()
    got = learning_times(curves([test, np.ones(TAU.size)], [train, np.ones(TAU.size)], [0.4, 0.4]))
    assert np.isfinite(got.tau_gen[0])
    assert np.isposinf(got.tau_gen[1])
    assert got.tau_gen[0] < got.tau_gen[1]


# ---------------------------------------------------------------- accuracy


def test_accuracy_comes_only_from_stated_accuracy():
    test, train = two_phase()
    assert not [v for v in learning_times(curves([test], [train], [0.4])).data_vars if "accuracy" in v]
    got = learning_times(curves([test], [train], [0.4], accuracy=1e-4))
    assert {f"{name}_accuracy" for name in NAMES} <= set(got.data_vars)
    assert "accuracy" not in got.attrs


def test_accuracy_is_the_shift_over_the_slope():
    test, train = two_phase()
    got = learning_times(curves([test], [train], [0.4], accuracy=1e-4))
    assert float(got.tau_gen_accuracy[0]) == pytest.approx(1e-4 / 0.6 * np.log(1000), rel=1e-3)
    assert float(got.tau_mem_accuracy[0]) == pytest.approx(2e-4 / 0.6 * np.log(100) / 0.5, rel=1e-3)


def test_an_infinite_time_has_no_error():
    test = 1 - 0.6 * ramp(0.1, 1e5)
    got = learning_times(curves([test], [test], [0.4], accuracy=1e-4))
    assert float(got.tau_mem_accuracy[0]) == 0.0
    assert float(got.tau_best_accuracy[0]) == 0.0


@given(st.floats(-1, 1), st.floats(0.0, 6.3))
def test_bounds_hold_for_curves_moved_by_the_accuracy(amplitude, phase):
    accuracy = 1e-4
    test, train = two_phase()
    bend = 0.002 * np.log(TAU / 200.0) ** 2
    moved = accuracy * amplitude * np.cos(np.log(TAU) + phase)
    one = learning_times(curves([test + bend], [train + bend], [0.4], accuracy=accuracy))
    two = learning_times(curves([test + bend + moved], [train + bend - moved], [0.4], accuracy=accuracy))
    for name in ("tau_gen", "tau_mem"):
        shift = abs(float(np.log(two[name] / one[name])[0]))
        # Slopes differ a little between the two curves.
        assert shift <= 1.02 * float(one[f"{name}_accuracy"][0])


REFINED = {
    "isotropic": (
        GaussianMixture([0.5, 0.5], [1.5, 0.5]),
        RandomFeatures(psi_p=8, psi_n=4, diffusion_time=0.01),
    ),
    "centroids": (
        GaussianMixture([0.25, 0.75], [1.2, 0.6], (1.0,), [[1.0, 0.3], [0.3, 2.0]]),
        RandomFeatures(psi_p=4, psi_n=3, diffusion_time=0.1),
    ),
}


@pytest.mark.parametrize("n_times", [60, 200])
@pytest.mark.parametrize("name", REFINED)
def test_bounds_hold_under_refinement(name, n_times):
    mixture, model = REFINED[name]
    span = (0.1, 1e6)
    coarse = learning_times(learning_curves(mixture, model, np.geomspace(*span, n_times), accuracy=1e-3))
    fine = learning_times(learning_curves(mixture, model, np.geomspace(*span, 1001), accuracy=1e-7))
    for which in NAMES:
        error = np.abs(np.log(coarse[which] / fine[which]))
        assert (error <= coarse[f"{which}_accuracy"] + fine[f"{which}_accuracy"]).all(), which
        assert (fine[f"{which}_accuracy"] < 0.02).all()


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize("generalization", [0.0, -0.5, 1.01, np.nan])
def test_bad_generalization(generalization):
    test, train = two_phase()
    with pytest.raises(InvalidInput, match=r"generalization .* lie in \(0, 1\]"):
        learning_times(curves([test], [train], [0.4]), generalization=generalization)


@pytest.mark.parametrize("memorization", [0.0, -0.1, np.nan])
def test_bad_memorization(memorization):
    test, train = two_phase()
    with pytest.raises(InvalidInput, match=r"memorization .* above 0"):
        learning_times(curves([test], [train], [0.4]), memorization=memorization)


def test_nothing_to_learn():
    test, train = two_phase()
    with pytest.raises(InvalidInput, match=r"bayes_loss .* below 1"):
        learning_times(curves([test], [train], [1.0]))


def test_too_few_times():
    with pytest.raises(InvalidInput, match="at least 6 positive training times"):
        learning_times(curves([1 - TAU[:5]], [1 - TAU[:5]], [0.4], TAU[:5]))


def test_six_times_are_enough():
    tau = np.geomspace(0.01, 1e4, 6)
    test, train = two_phase(tau=tau)
    got = learning_times(curves([test], [train], [0.4], tau, accuracy=1e-6))
    assert np.isfinite(got.tau_gen_accuracy).all()
    assert float(got.tau_gen[0]) == pytest.approx(np.sqrt(10), rel=0.5)


def test_not_curves():
    with pytest.raises(SubjectInvalid, match="learning_times"):
        learning_times(xr.Dataset())


@given(st.integers(0, 10**6))
def test_a_cell_has_the_monotone_cubic_of_scipy(seed):
    rng = np.random.default_rng(seed)
    n = rng.integers(2, 12)
    x = np.cumsum(rng.uniform(0.1, 1, n))
    y = rng.normal(size=(3, n)) if seed % 3 else np.round(rng.normal(size=(3, n)))
    cell = rng.integers(0, n - 1, 3)
    expected = PchipInterpolator(x, y, axis=-1).c[:, cell, np.arange(3)]
    np.testing.assert_allclose(_cubic(*_around(x, y, cell))[0], expected, rtol=1e-9, atol=1e-10)


@given(st.integers(0, 10**6), st.floats(-1, 1))
def test_a_crossing_is_the_first_root(seed, level):
    rng = np.random.default_rng(seed)
    x, y = np.cumsum(rng.uniform(0.1, 1, 9)), rng.normal(size=9)
    at, slope = smooth_crossing(x, y, level)
    roots = PchipInterpolator(x, y).solve(level, extrapolate=False)
    if y[0] >= level:
        assert at == x[0]
    elif roots.size == 0:
        assert at == slope == np.inf
    else:
        assert at == pytest.approx(roots[0], abs=1e-9)
        assert slope == pytest.approx(float(PchipInterpolator(x, y).derivative()(at)), abs=1e-6)


def test_several_crossings_at_once_are_those_of_one_after_another():
    rng = np.random.default_rng(4)
    curves = [
        (np.sort(rng.normal(size=n)), np.cumsum(rng.normal(size=(*shape, n)), axis=-1))
        for n, shape in [(9, ()), (1, (2,)), (40, (3,)), (5, (2, 2)), (2, ()), (6, (1,))]
    ]
    curves.append((np.arange(4.0), np.full(4, -9.0)))  # never reached
    for (x, y), found in zip(curves, smooth_crossings(curves, 0.3), strict=True):
        # Newton's method goes on until the slowest is done.
        np.testing.assert_allclose(found, smooth_crossing(x, y, 0.3), rtol=1e-9, atol=1e-12)


def test_each_curve_may_have_a_level_of_its_own():
    rng = np.random.default_rng(6)
    x, y = np.arange(7.0), np.cumsum(rng.normal(size=(2, 3, 7)), axis=-1)
    levels = np.array([[0.5], [-0.5]])
    at, slope = smooth_crossing(x, y, levels)
    for i, j in np.ndindex(2, 3):
        one = smooth_crossing(x, y[i, j], float(levels[i, 0]))
        np.testing.assert_allclose((at[i, j], slope[i, j]), one, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("n_seeds", [0, 3])
@pytest.mark.parametrize("milestone", ["gen", "best", "mem"])
def test_times_of_several_levels_and_classes_are_those_one_by_one(milestone, n_seeds):
    pairs = [two_phase(start=s, end=500 * s, gap_start=500 * s, gap_end=3000.0) for s in (0.1, 0.3)]
    # A fall and then a rise, so that there is a least test loss.
    losses = np.stack([[test + 0.1 * ramp(200, 1e4), train] for test, train in pairs], axis=1)
    if n_seeds:
        losses = losses[:, None] * (1 - 1e-3 * np.arange(n_seeds))[:, None, None]
    found = curves(*losses, [0.4, 0.35], accuracy=1e-3)
    levels, which = (0.3, 0.5, 0.05), (1, 0)
    for level, row in zip(levels, log_times(found, {milestone: levels}, which)[milestone], strict=True):
        expected = learning_times(found, level, level)
        for position, got in zip(which, row, strict=True):
            own = expected.isel({"class": position})
            np.testing.assert_allclose(got.low, np.atleast_1d(np.log(own[f"tau_{milestone}"])), rtol=1e-9)
            assert got.low.shape == (n_seeds or 1,)
            assert np.isfinite(got.low).all()
            assert got.accuracy == pytest.approx(float(own[f"tau_{milestone}_accuracy"].max()), rel=1e-6)
        assert row[0].low[0] != row[1].low[0]


@pytest.mark.parametrize("n", [1, 2])
def test_few_points_have_a_crossing_too(n):
    x = np.arange(float(n))
    np.testing.assert_array_equal(smooth_crossing(x, x[None] + 1, 0.5)[0], [0.0])
    np.testing.assert_array_equal(smooth_crossing(x, x - 5, 0.5)[0], np.inf)
