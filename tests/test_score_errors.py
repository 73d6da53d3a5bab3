"""Minority speciation under scores with errors: the study, its record, and what the page says of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from diffclaims import GaussianMixture, RandomFeatures
from diffclaims.cli import main
from diffclaims.finite.backend import Backend
from diffclaims.finite.draw import draw_gaussian
from diffclaims.finite.gram import class_moments
from diffclaims.storage import netcdf as storage
from diffclaims.storage import paths as locate
from diffclaims.storage import schema
from diffclaims.studies import learned_scores, score_effects, score_errors

DOCS = Path(__file__).parents[1] / "docs"

RECORDED = locate.baselines_dir() / score_errors.FOLDER / f"{score_errors.CLAIM}.nc"
GRAM = [[0.5, -0.5], [-0.5, 0.5]]


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    path = tmp_path_factory.mktemp("quick") / "quick.nc"
    assert main(["score-errors", "--quick", "--out", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def recorded():
    return schema.validate(storage.read_dataset(RECORDED), "score-errors")


def of(dataset, name, kind, size=0.0, case=score_errors.DECIDING):
    """Means of an effect of one run in the raw reading, by weight or step."""
    effect = score_effects.effects(dataset)[name].sel(reading="raw").mean("seed")
    chosen = (
        (dataset["kind"].values == kind) & (dataset["size"].values == size) & (dataset["case"].values == case)
    )
    return effect.values[np.flatnonzero(chosen)[0]]


def test_no_error_gives_the_order_of_the_claim(quick):
    found = schema.validate(storage.read_dataset(quick), "score-errors")
    assert found.attrs["command"] == "diffclaims score-errors --quick"
    assert (of(found, "later", "exact") > 0.2).all()
    assert (of(found, "rarer", "exact") > 0).all()
    assert (found["score_error"].values[found["kind"].values == "exact"] == 0).all()


def test_a_score_of_equal_weights_knows_no_rare_class(quick):
    found = storage.read_dataset(quick)
    assert (of(found, "later", "weights", 1.0) < of(found, "later", "exact") - 0.2)[:2].all()
    assert np.abs(of(found, "rarer", "weights", 1.0)).max() < 0.1


def test_the_study_is_drawn(quick, tmp_path):
    pytest.importorskip("matplotlib").use("agg")
    assert main(["plot", str(quick), "--out", str(tmp_path / "p.png")]) == 0


def test_a_record_is_not_made_from_a_changed_checkout(monkeypatch, capsys):
    monkeypatch.setattr(score_errors, "provenance", lambda **more: {"dirty": 1})
    assert main(["score-errors"]) == 2
    assert "commit them first" in capsys.readouterr().err
    assert main(["score-errors", "--processes", "0"]) == 2


def test_nested_moments_are_those_of_each_training_set():
    mixtures = [GaussianMixture([w, 1 - w], [1.5, 1.0], centroid_gram=GRAM) for w in (0.1, 0.4)]
    learned = learned_scores.Learned(mixtures, 5.0, 2.0, "tanh", n_dims=20)
    model = RandomFeatures(psi_p=2, psi_n=5, diffusion_time=1.0)
    draws = [draw_gaussian(m, model, n_dims=20, seed=3) for m in mixtures]
    for draw, nested in zip(draws, learned._moments(draws, model), strict=True):
        alone = class_moments(draw, model, backend=Backend())
        for a, b in zip((*nested.train, *nested.test), (*alone.train, *alone.test), strict=True):
            np.testing.assert_allclose(a.v, b.v, atol=1e-3)
            np.testing.assert_allclose(a.u, b.u, atol=2e-3)


def test_a_score_of_tanh_features_is_odd_and_a_shift_breaks_it():
    mixtures = [GaussianMixture([0.1, 0.9], [1.5, 1.0], centroid_gram=GRAM)]
    model = RandomFeatures(psi_p=2, psi_n=4, diffusion_time=1.0)
    draw = draw_gaussian(mixtures[0], model, n_dims=20, seed=0)
    y = np.random.default_rng(0).standard_normal((10, 20))
    for activation, odd in (("tanh", True), ("tanh(x + 1)", False)):
        score = learned_scores.Learned(mixtures, np.inf, 2.0, activation, n_dims=20).at(0)(draw, model)
        assert np.allclose(score(-y), -score(y), rtol=1e-9, atol=1e-12) == odd


def test_a_crossing_is_read_on_straight_lines():
    sizes = np.array([0.0, 1.0, 2.0])
    values = np.array([[1.0, 0.5, -0.5], [1.0, 0.5, 0.1], [-0.1, 1.0, 1.0]])
    np.testing.assert_allclose(score_effects.crossing(sizes, values), [1.5, np.inf, 0.0])
    size, low, high = score_effects.reversal(sizes, np.array([[1.0, 1.2], [0.4, 0.6], [-0.6, -0.4]]))
    assert low <= size <= high
    assert size == pytest.approx(1.5)


def test_readings_agree_where_the_prior_is_one_half():
    times = np.array([0.5, 1.0, 2.0, 3.0])
    phi = np.array([[0.99, 0.9, 0.7, 0.55], [0.98, 0.8, 0.6, 0.5]])
    curve = ("seed", "class", "diffusion_time")
    dataset = xr.Dataset(
        {name: (curve, np.stack([phi, phi])) for name in ("return_probability", "commitment")}
        | {"return_probability_stderr": (curve[1:], 0 * phi)},
        {"seed": [0, 1], "class": [0, 1], "diffusion_time": times},
    )
    dataset = schema.stamp(dataset, "speciation", schema_attrs())
    read = score_effects.log_times(dataset, np.array([0.5, 0.5]))
    assert read.shape == (3, 2, 2)
    # (phi - 1/2)/(1/2) = 1/2 and log-odds of ln 3 are both phi = 3/4; interpolation tells them apart a little.
    np.testing.assert_allclose(read[0], read[1], atol=1e-9)
    np.testing.assert_allclose(read[0], read[2], atol=1e-9)
    rare = score_effects.log_times(dataset, np.array([0.1, 0.9]))
    assert (rare[2, :, 0] > rare[0, :, 0]).all()  # far above a small prior long before 3/4
    assert score_effects.balance(dataset, np.array([0.5, 0.5])) == pytest.approx((phi[1] - phi[0]).mean() / 2)


def schema_attrs():
    from diffclaims.storage.provenance import provenance

    return provenance(subject="toy", seeds=[0, 1])


def test_the_record_is_whole_and_clean(recorded):
    assert recorded.attrs["dirty"] == 0
    assert recorded.attrs["command"] == "diffclaims score-errors"
    assert recorded.sizes["run"] == len(score_errors.full_plan().runs)
    assert recorded.sizes["seed"] == 12
    assert RECORDED.stat().st_size < 300_000


def test_the_record_holds_planted_errors_at_their_sizes(recorded):
    for kind, power in (("scale", 1.0), ("field", 0.8)):
        chosen = recorded.isel(run=recorded["kind"].values == kind)
        norm = np.sqrt(chosen["score_error"].mean(("class", "diffusion_time", "weight"))).values
        np.testing.assert_allclose(norm, np.abs(chosen["size"].values), rtol=1e-4 + 0.2 * (1 - power))
    exact = recorded.isel(run=recorded["kind"].values == "exact")
    assert (exact["score_error"] == 0).all()


@pytest.mark.parametrize("size", [0.0, 1.0])
def test_a_part_of_the_record_is_made_again(recorded, size):
    """The first seeds agree with the mean over all, within the scatter of seeds."""
    claim = score_errors.find_claim(score_errors.CLAIM)
    case = claim.case(f"{score_errors.DECIDING}{score_errors.ALL_WEIGHTS}")
    weights = list(score_errors.WEIGHTS)
    experiments = [case.experiments[f"weight={w:g}"] for w in weights]
    kind = "mirror" if size else "exact"
    run = score_errors.Run(case=score_errors.DECIDING, kind=kind, size=size)
    plan = score_errors.Plan(runs=(run,), seeds=(0, 1), n_points=150)
    again = score_errors.measure(run, plan, experiments, weights)["log_time"]
    chosen = (recorded["kind"].values == kind) & (recorded["size"].values == size)
    chosen &= recorded["case"].values == score_errors.DECIDING
    old = recorded["log_time"].isel(run=int(np.flatnonzero(chosen)[0]))
    old = old.transpose("weight", "reading", "seed", "class").values
    # The points of the record were drawn in another order, of the same law.
    off = again.mean(axis=2) - old.mean(axis=2)
    error = old.std(axis=2, ddof=1) * np.sqrt(1 / 2 + 1 / old.shape[2])
    assert (np.abs(off) <= 4 * error + 1e-3).all()


def test_the_page_says_what_was_measured(recorded):
    page = (DOCS / "findings.md").read_text(encoding="utf-8")
    for line in score_effects.tables(recorded):
        assert line in page, line


def test_what_the_page_says_of_balance_is_so(recorded):
    """At which violation of balance the first sentence is no longer decided."""
    low = score_effects.interval(score_effects.effects(recorded)["later"].sel(reading="raw"))["low"]
    violation = recorded["balance"].mean("seed")
    for weight, kept, lost in ((0.35, -0.017, -0.034), (0.05, -0.158, -0.168)):
        one = violation.sel(weight=weight).values
        holds = low.sel(weight=weight).values > 0
        assert one[holds].min() > kept
        assert one[~holds].max() < lost
