"""Advice on small data sets whose answers are known: columns, marks, notes and the command."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.spatial.distance import cdist

import diffclaims
from diffclaims import GaussianMixture
from diffclaims.advice import trust
from diffclaims.advice.coverage import coverage
from diffclaims.advice.forecast import Forecast, model_of, reweighted
from diffclaims.advice.measure import choose, measure, shrink
from diffclaims.advice.resample import place, resampled
from diffclaims.advice.samples import of_arrays
from diffclaims.advice.show import shown
from diffclaims.cli import main
from diffclaims.errors import InvalidInput
from diffclaims.problem.moments import mixture_of
from diffclaims.storage import netcdf as storage

D = 12
QUICK = {"resamples": 0, "weights_search": False}


def data(counts=(60, 50), deviations=(1.5, 0.7), shifts=(0.0, 1.0), seed=0, d=D):
    """Isotropic classes, whose names are those of their order of variance."""
    rng = np.random.default_rng(seed)
    x = [rng.normal(size=(n, d)) * s + m for n, s, m in zip(counts, deviations, shifts, strict=True)]
    return np.concatenate(x), np.repeat([f"c{k}" for k in range(len(counts))], counts)


def test_the_columns_are_what_they_say():
    x, y = data()
    found = diffclaims.advise(x, y, **QUICK)
    mixture = GaussianMixture.from_samples(x, y)
    assert found["class"].values.tolist() == ["c0", "c1"]
    assert found["samples"].values.tolist() == [60, 50]
    np.testing.assert_allclose(found["variance"], mixture.class_variance)
    covariance = np.cov(x[y == "c0"].T)
    participation = np.trace(covariance) ** 2 / (covariance**2).sum()
    assert float(found["effective_dimension"][0]) == pytest.approx(participation)
    assert found["nearest"].values.tolist() == ["c1", "c0"]
    line = x[y == "c0"].mean(0) - x[y == "c1"].mean(0)
    assert float(found["nearest_distance"][0]) == pytest.approx(
        line @ line / np.sqrt(line @ covariance @ line)
    )
    model = model_of(D, 110, 0.05, 8.0)
    np.testing.assert_allclose(found["tau_gen"], Forecast.of(mixture, model).gen, rtol=1e-6)
    assert found["learned_place"].values.tolist() == [1, 2]
    assert found.attrs["psi_n"] == pytest.approx(110 / D)
    assert diffclaims.advise(x, y, parameters=2 * D**2, **QUICK).attrs["psi_p"] == pytest.approx(2)


def test_coverage_is_the_distance_to_the_nearest_other_sample():
    x, y = data()
    samples = of_arrays(x, y, "")
    own = np.flatnonzero(y == "c0")
    total = np.cov(x[own].T).trace()
    mean, stderr, repeated = coverage(samples, own, float(total), 0)
    far = cdist(x[own], x[own]) + np.diag(np.full(own.size, np.inf))
    want = far.min(axis=1) / np.sqrt(2 * total)
    assert mean == pytest.approx(want.mean())
    assert stderr == pytest.approx(want.std(ddof=1) / np.sqrt(own.size))
    assert repeated == 0
    # Twice the same samples: everyone has a neighbour.
    twice = of_arrays(np.concatenate([x, x]), np.concatenate([y, y]), "")
    assert coverage(twice, np.flatnonzero(np.tile(y == "c0", 2)), float(total), 0)[0::2] == pytest.approx(
        (0, 1), abs=1e-7
    )


def test_many_classes_are_solved_with_one_direction_each_as_well_as_exactly():
    rng = np.random.default_rng(0)
    centroids = rng.normal(size=(6, 6))
    gram = centroids @ centroids.T / 6
    mixture = GaussianMixture(np.full(6, 1 / 6), rng.uniform(0.3, 2, (6, 2)), [0.3, 0.7], gram)
    model = model_of(100, 400, 0.05, 8.0)
    from diffclaims.advice.forecast import curves

    quick, exact = Forecast.of(mixture, model), Forecast.read(curves(mixture, model))
    np.testing.assert_allclose(np.log(quick.gen), np.log(exact.gen), atol=5e-3)


def test_resampled_data_scatter_as_fresh_data_do():
    fresh, inside = [], []
    for seed in range(40):
        x, y = data((200, 100), seed=seed)
        found = measure(of_arrays(x, y, ""))
        moments = mixture_of(
            found.means,
            found.covariances,
            found.counts,
            ["c0", "c1"],
            weights=np.array([2, 1]) / 3,
            n_types=1,
        )
        fresh.append(moments.variances[:, 0])
        if seed == 0:
            inside = [m.variances[:, 0] for m in resampled(found, moments, 200, 0)]
            np.testing.assert_allclose(np.mean(inside, axis=0), moments.variances[:, 0], rtol=0.02)
    # 40 and 200 draws: their ratio scatters by 13 %.
    np.testing.assert_allclose(np.std(inside, axis=0) / np.std(fresh, axis=0), 1, atol=0.45)


def test_resamples_of_a_shrunk_class_are_shrunk():
    pytest.importorskip("sklearn")
    x, y = data((200, 8), d=40)
    found = shrink(measure(of_arrays(x, y, "")), "oas")
    assert found.small.tolist() == [False, True]
    assert found.shrunk[0] == 0 < found.shrunk[1]
    moments = mixture_of(
        found.means, found.covariances, found.counts, ["c0", "c1"], weights=np.array([0.9, 0.1]), n_types=4
    )
    plain = measure(of_arrays(x, y, ""))
    drawn, loose = (
        np.array([m.variances[1] for m in resampled(one, moments, 50, 0)]) - moments.variances[1]
        for one in (found, plain)
    )
    a = found.shrunk[1]
    np.testing.assert_allclose(drawn, (1 - a) * loose + a * (loose @ moments.fractions)[:, None])


def test_shrinkage_keeps_the_total_variance_and_constant_pixels():
    pytest.importorskip("sklearn")
    x, y = data((60, 6))
    x[:, :3] = 1.0
    plain = measure(of_arrays(x, y, ""))
    for how in ("ledoit-wolf", "oas"):
        found = shrink(plain, how)
        np.testing.assert_allclose(found.variance, plain.variance)
        assert not found.covariances[:, :3].any()
        assert found.participation[1] > plain.participation[1]
    assert shrink(plain, "none") is plain


def test_shrinkage_is_chosen_where_all_samples_do_not_span_the_space():
    for n, how in ((20, "none"), (5, "oas")):
        x, y = data((n, 4))
        assert choose(measure(of_arrays(x, y, "")), "auto") == how


def test_small_and_empty_classes_are_marked():
    x, y = data((60, 7), deviations=(1, 1))
    more = np.concatenate([x, np.ones((1, D)), np.full((4, D), 2.0)])
    names = np.concatenate([y, ["single"], ["same"] * 4])
    found = diffclaims.advise(more, names, classes=["c0", "c1", "single", "none", "same"], **QUICK)
    marks = dict(zip(found["class"].values.tolist(), found["mark"].values.tolist(), strict=True))
    assert marks["c0"] == ""
    assert "c1 has 7 samples for 12 dimensions that vary" in marks["c1"]
    assert marks["single"] == "single has one sample: it has no variance to measure, and is left out."
    assert marks["none"].startswith("none has no sample:")
    assert marks["same"].startswith("same has 4 samples that are all the same")
    assert found["small"].values.tolist() == [False, True, False, False, False]
    assert np.isnan(found["tau_gen"].values).tolist() == [False, False, True, True, True]
    assert "\n- single has one sample" in shown(found, 120)
    pytest.importorskip("sklearn")
    shrunk = diffclaims.advise(more, names, shrinkage="oas", **QUICK)
    assert "(oas), which moves ln tau_gen by " in shrunk["mark"].values[1]


def test_a_rare_class_is_marked():
    x, y = data((200, 15), deviations=(1, 1))
    found = diffclaims.advise(x, y, **QUICK)
    assert found["mark"].values[0] == ""
    assert (
        "c1 has 0.14 of an even share: recorded U-Nets (one pair) learned so rare" in found["mark"].values[1]
    )


def test_no_class_or_one_class():
    x, y = data()
    one = diffclaims.advise(x, ["a"] * len(x), resamples=2)
    assert "There is one class that varies" in one.attrs["notes"]
    assert one.attrs["weights_state"] == "one"
    assert shown(one, 100)
    with pytest.raises(InvalidInput, match="have a class with two different samples"):
        diffclaims.advise(x[:2], y[[0, 60]])


def test_notes_say_what_to_doubt():
    x, y = data()
    pixels = np.concatenate(
        [np.clip(128 + 40 * x, 0, 255).astype(np.uint8), np.zeros((len(x), 2), np.uint8)], axis=1
    )
    found = diffclaims.advise(pixels, y, parameters=30, **QUICK)
    assert "taken as they are" not in found.attrs["notes"]
    assert "2 of 14 dimensions are the same" in found.attrs["notes"]
    assert "features a dimension, and learns not all" in found.attrs["notes"]
    assert "Samples are taken as they are" in diffclaims.advise(100 * x, y, **QUICK).attrs["notes"]
    twice = diffclaims.advise(np.concatenate([x, x]), np.concatenate([y, y]), **QUICK)
    assert "100% of the samples of c0 have an equal one" in twice["mark"].values[0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"weights": [0.5, 0.4]}, "sum to 1"),
        ({"weights": [0.2, 0.3, 0.5]}, "one weight for each of the 2 classes"),
        ({"stop": -1}, "stop must be positive"),
        ({"parameters": 0}, "parameters must be"),
        ({"diffusion_time": 0}, "diffusion_time must be"),
        ({"classes": ["x"]}, "be among the labels"),
        ({"shrinkage": "much"}, "be one of auto"),
    ],
)
def test_bad_options_get_a_sentence(options, said):
    with pytest.raises(InvalidInput, match=said):
        diffclaims.advise(*data(), **QUICK | options)


def test_given_weights_are_those_of_all_classes():
    x, y = data()
    rare = diffclaims.advise(x, y, weights=[0.05, 0.95], **QUICK)
    even = diffclaims.advise(x, y, weights="balanced", **QUICK)
    assert rare["tau_mem"][0] < even["tau_mem"][0]
    x3, y3 = np.concatenate([x, x[:1]]), np.concatenate([y, ["z"]])
    same = diffclaims.advise(x3, y3, weights=[0.04, 0.76, 0.2], **QUICK)
    np.testing.assert_allclose(same["tau_gen"][:2], rare["tau_gen"], rtol=0.02)


def test_reweighting_moves_the_origin_to_the_new_mean():
    mixture = GaussianMixture([0.5, 0.5], [1.0, 1.0], centroid_gram=[[1.0, -1.0], [-1.0, 1.0]])
    other = reweighted(mixture, np.array([0.25, 0.75]))
    # Centroids at +1 and -1; the mean is at -0.5.
    np.testing.assert_allclose(other.centroid_gram, [[2.25, -0.75], [-0.75, 0.25]])


def test_places():
    np.testing.assert_equal(place(np.array([2.0, np.inf, 1.0, 2.0])), [2, np.nan, 1, 2])


def test_the_command_prints_and_writes(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    x, y = data()
    y = np.where(y == "c0", "[b]<script>\x1b", "c1")
    np.savez(tmp_path / "d.npz", x=x, y=y)
    arguments = ["--weights", "0.33,0.67", "--stop", "2", "--resamples", "2", "--out", str(tmp_path / "a.nc")]
    assert main(["advise", str(tmp_path / "d.npz"), *arguments]) == 0
    text = capsys.readouterr().out
    assert "[b]<script>\\x1b" in text
    assert "At 2 times the first class's time" in text
    assert "Learned first by theory: " in text
    again = storage.read_dataset(tmp_path / "a.nc")
    assert again.attrs["schema"] == "advice"
    assert shown(again, 120) == text
    assert main(["advise", str(tmp_path / "d.npz"), "--weights", "a,b"]) == 2
    assert "--weights 0.2,0.8" in capsys.readouterr().err


def test_finite_trains_the_model_on_the_samples():
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(0)
    x, y = data((150, 150))
    found = diffclaims.advise(x, y, finite=True, **QUICK)
    assert "12 dimensions, 96 features, 240 training samples" in found.attrs["finite_sizes"]
    np.testing.assert_allclose(np.log(found["finite_tau_gen"] / found["tau_gen"]), 0, atol=0.3)
    assert "finite: learned" in shown(found, 150)
    with pytest.raises(InvalidInput, match="have samples of at most 200 numbers"):
        diffclaims.advise(rng.normal(size=(60, 300)), ["a", "b"] * 30, finite=True, **QUICK)


def stored(low, high, without=0):
    shape = ("recording", "predictor", "milestone")
    names = {"recording": ["r0", "r1"], "predictor": [trust.THEORY], "milestone": ["gen"]}
    two = np.array([low, high]).T[:, :, None, None]
    data = {f"correlation{end}": (shape, two[:, i]) for end, i in (("_low", 0), ("_high", 1))}
    data["correlation"] = (shape, two.mean(axis=1))
    counts = {
        "n_pairs": ("recording", [45, 45]),
        "n_without_order": (("recording", "milestone"), [[without], [45]]),
    }
    return xr.Dataset(data | counts, names)


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [(0.1, 0.9, "supported"), (-0.1, 0.9, "not supported"), (-0.9, -0.1, "contradicted")],
)
def test_support_is_read_off_limits_of_recordings_with_an_order(low, high, word):
    found = stored([low, -1], [high, -0.5])
    assert trust.verdict(found, trust.THEORY, "gen")[0] == word
    assert trust.verdict(stored([low, 0], [high, 0], without=45), trust.THEORY, "gen")[0] == "not recorded"


def test_what_is_stored_has_every_predictor_that_is_printed():
    found = trust.stored()
    assert found is not None
    for milestone in trust.ORDERS:
        for predictor in (trust.THEORY, trust.COVERAGE):
            assert trust.verdict(found, predictor, milestone)[1]
