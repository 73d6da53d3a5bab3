import numpy as np
import pytest
import xarray as xr

from diffclaims.errors import InvalidInput
from diffclaims.storage.provenance import provenance
from diffclaims.storage.recordings import compact, complete
from diffclaims.storage.schema import stamp
from diffclaims.times.speciation import detailed_balance_violation, normalised_return, speciation_times

GRID = np.geomspace(0.01, 10.0, 60)


def dataset(curves, *, stderr=None, seeds=None, transition=None, times=GRID, **attrs):
    curves = np.asarray(curves)
    dims = ("class", "diffusion_time")
    front = () if seeds is None else ("seed",)
    out = xr.Dataset(
        dict.fromkeys(("commitment", "return_probability"), ((*front, *dims), curves)),
        coords={"class": ["a", "b"], "diffusion_time": times},
    )
    if seeds is not None:
        out = out.assign_coords(seed=seeds)
    if stderr is not None:
        out["return_probability_stderr"] = (dims, np.full(curves.shape[-2:], stderr))
    if transition is not None:
        out = out.assign_coords(to_class=["a", "b"])
        out["transition"] = ((*front, "class", "to_class", "diffusion_time"), transition)
    return stamp(out, "speciation", provenance(subject="planted", **attrs))


def falling(t0, width=0.3):
    return 1 / (1 + np.exp((np.log(GRID) - np.log(t0)) / width)) * 0.5 + 0.5


def test_crossing_is_found_where_it_is():
    got = speciation_times(dataset([falling(0.5), falling(1.3)], stderr=1e-3), threshold=0.75)
    np.testing.assert_allclose(got.speciation_time, [0.5, 1.3], rtol=1e-3)
    # d ln t = 1e-3 / |slope|, slope = 0.5/4/0.3 at the middle of the sigmoid.
    np.testing.assert_allclose(got.speciation_time_stderr, np.array([0.5, 1.3]) * 1e-3 * 2.4, rtol=0.02)
    assert list(got["class"].values) == ["a", "b"]


def test_never_and_always_below():
    got = speciation_times(dataset([np.full(60, 0.9), np.full(60, 0.5)], stderr=0.01))
    np.testing.assert_array_equal(got.speciation_time, [np.inf, 0.0])
    np.testing.assert_array_equal(got.speciation_time_stderr, [0.0, 0.0])
    unsure = speciation_times(dataset([np.full(60, 0.76), np.full(60, 0.74)], stderr=0.01))
    np.testing.assert_array_equal(unsure.speciation_time, [np.inf, 0.0])
    np.testing.assert_array_equal(unsure.speciation_time_stderr, [np.inf, np.inf])


def test_a_later_return_does_not_count():
    dip = falling(0.5)
    dip[-5:] = 1.0
    assert float(speciation_times(dataset([dip, dip])).speciation_time[0]) == pytest.approx(0.5, rel=1e-3)


def test_grid_from_zero_and_one_time():
    t = np.linspace(0, 1, 11)
    got = speciation_times(dataset([1 - t, 1 - t / 2], times=t))
    np.testing.assert_allclose(got.speciation_time, [0.25, 0.5])
    assert "speciation_time_stderr" not in got
    one = speciation_times(dataset([[0.9], [0.1]], times=[0.3]))
    np.testing.assert_array_equal(one.speciation_time, [np.inf, 0.0])


def test_seed_dimension_is_kept():
    got = speciation_times(
        dataset([[falling(0.5), falling(1.3)], [falling(0.6), falling(1.2)]], seeds=[3, 4])
    )
    assert got.speciation_time.dims == ("seed", "class")
    np.testing.assert_allclose(got.speciation_time, [[0.5, 1.3], [0.6, 1.2]], rtol=1e-3)
    np.testing.assert_array_equal(got.seed, [3, 4])


def test_balance_over_seeds():
    rng = np.random.default_rng(0)
    leave = np.array([0.3, 0.1])[:, None] * np.ones(60)  # weights .25, .75: balanced
    noise = rng.normal(0, 0.01, (8, 2, 60))
    stay = 1 - leave + noise
    transition = np.stack(
        [np.stack([stay[:, 0], 1 - stay[:, 0]], 1), np.stack([1 - stay[:, 1], stay[:, 1]], 1)], 1
    )
    data = dataset(stay, seeds=range(8), transition=transition)
    got = detailed_balance_violation(data, [0.25, 0.75])
    assert got.violation.dims == ("pair", "diffusion_time")
    assert (got.class_a.item(), got.class_b.item()) == ("a", "b")
    assert (np.abs(got.violation) < 6 * got.violation_stderr).all()
    expected = 0.01 * np.hypot(0.25, 0.75) / np.sqrt(8)
    assert float(got.violation_stderr.mean()) == pytest.approx(expected, rel=0.1)
    off = detailed_balance_violation(data, [0.5, 0.5])
    assert (np.abs(off.violation) > 10 * off.violation_stderr).all()
    beyond = normalised_return(data, [0.25, 0.75])
    assert float(beyond.normalised_return.mean()) == pytest.approx(0.6, abs=0.01)
    one = data.isel(seed=[0])
    for reader in (detailed_balance_violation, normalised_return):
        with pytest.raises(InvalidInput, match="at least two seeds"):
            reader(one, [0.25, 0.75])


def test_errors():
    plain = dataset([falling(0.5), falling(1.0)])
    with pytest.raises(InvalidInput, match="transition"):
        detailed_balance_violation(plain, [0.5, 0.5])
    with pytest.raises(InvalidInput, match="come with return_probability_stderr"):
        normalised_return(plain, [0.5, 0.5])
    for weights in ([0.5], [0.5, 0.6], [1.0, 0.0], "ab"):
        with pytest.raises(InvalidInput, match="weights = "):
            normalised_return(plain, weights)
    for threshold in (0, 1, True, "x"):
        with pytest.raises(InvalidInput, match="threshold = "):
            speciation_times(plain, threshold=threshold)
    with pytest.raises(InvalidInput, match=r"of = 'phi'.*commitment"):
        speciation_times(plain, of="phi")


@pytest.mark.parametrize("seeds", [None, [0, 1, 2]])
def test_what_two_classes_say_already_is_left_out_and_put_back(seeds):
    rng = np.random.default_rng(0)
    own = rng.uniform(0.5, 1.0, size=(2, GRID.size) if seeds is None else (3, 2, GRID.size))
    a, b = own[..., 0, :], own[..., 1, :]
    transition = np.stack([np.stack([a, 1 - a], axis=-2), np.stack([1 - b, b], axis=-2)], axis=-3)
    full = dataset(own, seeds=seeds, stderr=0.01, transition=transition)
    if seeds is None:
        full["transition_stderr"] = (
            ("class", "to_class", "diffusion_time"),
            np.full((2, 2, GRID.size), 0.01),
        )
    full["late_transition"] = full["transition"]
    full["late_return_probability"] = full["return_probability"]
    slim = compact(full)
    assert not any("transition" in str(n) or n == "to_class" for n in slim.variables)
    want, got = (detailed_balance_violation(d, [0.2, 0.8]) for d in (full, slim))
    xr.testing.assert_allclose(want, got)
    assert float(np.abs(want.violation).max()) > 0.01
    again = complete(slim)
    for name in ("transition", "late_transition"):
        np.testing.assert_allclose(again[name].transpose(*full[name].dims), full[name], atol=1e-15)


def test_what_returns_do_not_say_is_kept():
    """Rows that do not sum to one: an answer that is wrong must not be mended by keeping it."""
    transition = np.full((2, 2, GRID.size), 0.4)
    full = dataset([falling(0.5), falling(1.3)], transition=transition)
    xr.testing.assert_identical(compact(full), full)
    xr.testing.assert_identical(complete(full), full)


def test_nothing_is_left_out_of_three_classes():
    rng = np.random.default_rng(0)
    full = xr.Dataset(
        {
            "return_probability": (("class", "diffusion_time"), rng.uniform(size=(3, 2))),
            "transition": (("class", "to_class", "diffusion_time"), rng.uniform(size=(3, 3, 2))),
        }
    )
    assert compact(full).identical(full)
