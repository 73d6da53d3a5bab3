"""How many points of a regime hold, and how many outside it."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from diffclaims.api import source
from diffclaims.api.claim import load_claims
from diffclaims.cli import main
from diffclaims.errors import DiffclaimsError, InvalidInput, SolveFailed
from diffclaims.storage import netcdf as storage
from diffclaims.storage import paths as locate
from diffclaims.storage.schema import validate
from diffclaims.studies import points, share_report, shares
from diffclaims.studies.maps.checkpoint import Checkpoint

DOCS = Path(__file__).parents[1] / "docs"

CLAIMS = {c.id: c for c in load_claims()}
#: A point of it takes a tenth of a second.
CHEAP = "minority-speciation"


@pytest.fixture(scope="module")
def cheap():
    return shares.shares([CLAIMS[CHEAP]], 3)


def same(a: xr.Dataset, b: xr.Dataset) -> None:
    one, other = a.copy(), b.copy()
    for dataset in (one, other):
        for moving in ("created_at", "seconds"):
            del dataset.attrs[moving]
    xr.testing.assert_identical(one, other)


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_points_lie_inside_and_outside(claim):
    named = claim.space.regime
    regime = points.boxes(claim.space)
    inside, outside = (points.points(claim, region, 40) for region in points.REGIONS)
    for values in inside:
        assert any(points.within(values, limits) for limits in regime)
        # The box as the claim states it, and the defaults of what it leaves out.
        assert any(
            all(low <= values[name] <= high for name, (low, high) in limits.items())
            and all(values[a.name] == a.default for a in claim.space.axes if a.name not in limits)
            for limits in named
        )
    for values in outside:
        assert not any(points.within(values, limits) for limits in regime)
        for axis in claim.space.axes:
            axis.check(values[axis.name])
            low, high = points.outer(claim, axis)
            if axis in points.live_axes(claim.space):
                assert low <= values[axis.name] <= high


def test_every_regime_lies_in_the_limits():
    """Outside goes at least as far as the regime does, but for what a claim's own limits say."""
    for claim in CLAIMS.values():
        for limits in claim.space.regime:
            for name, (low, high) in limits.items():
                least, most = points.outer(claim, claim.space[name])
                assert least <= low <= high <= most, (claim.id, name)


def test_boxes_have_the_same_weight():
    claim = CLAIMS["centroid-secondary"]
    drawn = points.points(claim, "inside", 100)
    counts = [sum(points.within(v, limits) for v in drawn) for limits in points.boxes(claim.space)]
    assert counts == [25, 25, 25, 25]


def test_the_axis_says_how_points_are_spaced():
    values = points.points(CLAIMS["variance-order"], "outside", 100)
    middle = {"psi_p": math.sqrt(0.5 * 256), "centroid_separation": 2.5}
    for name, half in middle.items():
        assert 45 <= sum(v[name] < half for v in values) <= 55


def test_the_points_are_the_same_every_time():
    for region in points.REGIONS:
        claim = CLAIMS["uneven-memorization"]
        many = points.points(claim, region, 20)
        assert many == points.points(claim, region, 20)
        assert many[:7] == points.points(claim, region, 7)
        assert many != points.points(claim, region, 20, seed=1)


def test_an_axis_that_changes_no_case_stays_at_its_default():
    space = CLAIMS["imbalance-reversal"].space
    assert [a.name for a in points.live_axes(space)] == ["variance_ratio", "centroid_separation"]
    assert len(points.live_axes(CLAIMS["variance-order"].space)) == 7


def test_resuming_gives_the_same_dataset(tmp_path, monkeypatch, cheap):
    keep = tmp_path / "kept.sqlite"
    asked = []
    honest = shares.evaluate

    def stopped(*arguments):
        asked.append(arguments)
        if len(asked) == 4:
            raise KeyboardInterrupt
        return honest(*arguments)

    monkeypatch.setattr(shares, "evaluate", stopped)
    with pytest.raises(KeyboardInterrupt):
        shares.shares([CLAIMS[CHEAP]], 3, keep=keep)
    again = shares.shares([CLAIMS[CHEAP]], 3, keep=keep)
    assert len(asked) == 7
    same(again, cheap)
    # All points are kept: nothing is asked, and another question is refused.
    same(shares.shares([CLAIMS[CHEAP]], 3, keep=keep), cheap)
    assert len(asked) == 7
    with pytest.raises(InvalidInput, match=r"method of the shares = .* must be that of the points in"):
        shares.shares([CLAIMS[CHEAP]], 4, keep=keep)


def test_a_kept_file_of_something_else_is_refused(tmp_path):
    with Checkpoint(tmp_path / "kept", {}):
        pass
    with pytest.raises(InvalidInput, match=r"study of the shares = 'shares': .* which is 'map'"):
        shares.shares([CLAIMS[CHEAP]], 1, keep=tmp_path / "kept")


def test_several_processes_give_the_same_dataset(cheap):
    pytest.importorskip("distributed")
    same(shares.shares([CLAIMS[CHEAP]], 3, workers=1), cheap)


class Failing:
    """Answers no question of the first few."""

    def __init__(self, subject, error, n):
        self.subject, self.error, self.left = subject, error, n

    def __getattr__(self, name):
        return getattr(self.subject, name)

    def speciation(self, *arguments):
        self.left -= 1
        if self.left >= 0:
            raise self.error
        return self.subject.speciation(*arguments)


@pytest.mark.parametrize("error", [SolveFailed("no solution; try less"), DiffclaimsError("a fault")])
def test_a_point_that_cannot_be_measured_is_not_counted_as_held(monkeypatch, error):
    monkeypatch.setattr(shares, "SUBJECT", Failing(shares.SUBJECT, error, 2))
    if not isinstance(error, SolveFailed):
        # A fault of the program is no answer.
        with pytest.raises(DiffclaimsError, match="a fault"):
            shares.shares([CLAIMS[CHEAP]], 2)
        return
    found = shares.shares([CLAIMS[CHEAP]], 2)
    # Points are measured cheap ones first, which are equal here: the first two are inside.
    assert found["verdict"].values[:2].tolist() == ["not run"] * 2
    assert found["reason"].values[:2].tolist() == ["SolveFailed: no solution"] * 2
    assert np.isnan(found["margin"].values[:2]).all()
    inside, outside = share_report.summary(found)
    assert (inside.points, inside.measured, inside.held) == (2, 0, 0)
    assert math.isnan(inside.share)
    assert outside.measured == 2
    text = share_report.report(found, [CLAIMS[CHEAP]])
    assert "none of 2 measured" in text
    assert "2 points inside not measured, one for: SolveFailed: no solution" in text
    assert list(json.loads(found.attrs["extremes"])[CHEAP]) == ["outside"]


def test_what_fails_inside_is_printed_as_code(cheap):
    broken = cheap.copy(deep=True)
    broken["verdict"].values[:] = ["holds", "fails", "holds", *["holds"] * 3]
    text = share_report.report(broken, [CLAIMS[CHEAP]])
    assert f"{CHEAP}: fails inside its regime" in text
    assert "GaussianMixture([" in text
    share = share_report.summary(broken)[0]
    assert (share.held, share.measured) == (2, 3)
    assert share.low < 2 / 3 < share.high


def test_the_command_records_and_prints(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["shares", "--claim", CHEAP, "--points", "4"]
    assert main([*words, "--out", "s.nc"]) == 0
    out = capsys.readouterr().out
    assert "outside" in out
    found = validate(storage.read_dataset(tmp_path / "s.nc"), "shares")
    assert found.sizes["point"] == 8
    assert (found["verdict"].values[:4] == "holds").all()
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["s.nc"]
    pytest.importorskip("matplotlib")
    assert main(["plot", "s.nc", "--out", "s.png"]) == 0
    assert (tmp_path / "s.png").read_bytes()[:4] == b"\x89PNG"
    # Without a file to write to, part of the claims is printed only.
    assert main([*words[:3], "--points", "1"]) == 0
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["s.nc", "s.png"]
    assert main(["shares", "--points", "0", "--out", "none.nc"]) == 2
    assert "be 1 or more" in capsys.readouterr().err


def test_a_claim_without_a_regime_is_refused():
    claim = CLAIMS["spectrum"]
    bare = dataclasses.replace(claim, space=dataclasses.replace(claim.space, regime=()))
    with pytest.raises(InvalidInput, match="state a regime"):
        points.points(bare, "inside")


def test_a_regime_that_leaves_no_room_outside_is_refused():
    claim = CLAIMS["imbalance-reversal"]
    full = {a.name: (a.low, a.high) for a in claim.space.axes}
    wide = dataclasses.replace(claim, space=dataclasses.replace(claim.space, regime=(full,)))
    with pytest.raises(InvalidInput, match="be at most 0"):
        points.points(wide, "outside", 2)


# ---- the record


@pytest.fixture(scope="module")
def recorded():
    return validate(storage.read_dataset(locate.baselines_dir() / shares.FILE), "shares")


def test_the_record_is_of_every_claim_from_a_checkout_without_changes(recorded):
    assert recorded.attrs["dirty"] == 0
    assert recorded.attrs["command"] == "diffclaims shares"
    assert set(recorded["claim"].values) == set(CLAIMS)
    assert (locate.baselines_dir() / shares.FILE).stat().st_size < 200_000
    limits = {**points.LIMITS, **points.LIMITS_OF, "furthest": points.FURTHEST}
    assert json.loads(recorded.attrs["limits"]) == json.loads(json.dumps(limits))


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_the_record_is_of_the_points_that_are_drawn_today(recorded, claim):
    """A regime that moves needs another record."""
    live = [a.name for a in points.live_axes(claim.space)]
    for region in points.REGIONS:
        rows = share_report.rows_of(recorded, claim.id, region)
        drawn = points.points(claim, region)
        assert rows.sizes["point"] == len(drawn)
        found = rows["parameter"].sel(axis=live).values
        np.testing.assert_allclose(found, [[v[name] for name in live] for v in drawn], rtol=1e-4, atol=1e-9)


def test_a_recorded_point_comes_out_as_recorded(recorded):
    claim = CLAIMS["variance-order"]
    at = share_report.extreme(recorded, claim.id, "inside")
    row = recorded.sel(point=at)
    known = {
        str(a): float(v) for a, v in zip(row["axis"].values, row["parameter"].values, strict=True) if v == v
    }
    again = shares.evaluate(claim.id, "", {**{a.name: a.default for a in claim.space.axes}, **known})
    assert again["verdict"] == row["verdict"].item() == "holds"
    assert again["margin"] == pytest.approx(row["margin"].item(), abs=2e-3)
    assert json.loads(recorded.attrs["extremes"])[claim.id]["inside"] == source.of_case(
        share_report.case_of(recorded, claim, at)
    )


def test_every_claim_holds_at_all_points_inside_and_says_something(recorded):
    found = {(s.claim, s.region): s for s in share_report.summary(recorded)}
    for claim in CLAIMS:
        inside, outside = (found[claim, region] for region in points.REGIONS)
        assert inside.held == inside.measured == inside.points
        # The exception is on the page, with the reason.
        assert (outside.high < 0.9) is (claim != "minority-speciation"), claim


def counts(recorded, claim):
    """What the page says of points outside: where, and of how many that were measured how many hold."""
    rows = share_report.rows_of(recorded, claim, "outside")
    verdict = rows["verdict"].values

    def of(where):
        return int((verdict[where] == "holds").sum()), int((verdict[where] != "not run").sum())

    at = {str(a): rows["parameter"].sel(axis=a).values for a in rows["axis"].values}
    ratio, many, rich = at["variance_ratio"], at["psi_n"], at["psi_p"]
    if claim == "bias-before-best":
        return [
            "outside, {} of {} points hold with psi_n up to 8".format(*of(many <= 8)),
            "and {} of {} above".format(*of(many > 8)),
        ]
    if claim == "centroid-secondary":
        return [
            "outside, {} of {} hold from 2 on".format(*of(ratio >= 2)),
            "and {} of {} below 1".format(*of(ratio < 1)),
        ]
    if claim == "spectrum":
        return [
            "outside, {} of {} hold where there is an order".format(
                *of((verdict == "holds") | (verdict == "fails"))
            )
        ]
    if claim == "two-phases":
        return [
            "outside, {} of {} hold with psi_p of 4 or more".format(*of(rich >= 4)),
            "and {} of {} below".format(*of(rich < 4)),
        ]
    if claim == "uneven-memorization":
        return [
            "outside, {} of {} hold from 4 on".format(*of(ratio >= 4)),
            "and {} of {} below".format(*of(ratio < 4)),
        ]
    if claim == "variance-order":
        return [
            "outside, {} of {} hold with a ratio of 1.1 or more".format(*of(ratio >= 1.1)),
            "and {} of {} below 1".format(*of(ratio < 1)),
        ]
    return []


def lines(recorded):
    """Rows of the table of the page, and what else it says in numbers."""
    found = share_report.summary(recorded)
    for inside, outside in zip(found[::2], found[1::2], strict=True):
        yield f"| {inside.claim} | {inside.points} + {outside.points} | {inside.text} | {outside.text} |"
        yield from counts(recorded, inside.claim)
    outside = recorded.isel(point=recorded["region"].values == "outside")
    ties = outside["margin"].values[outside["verdict"].values == "inconclusive"]
    yield f"Of {ties.size} points outside that are not decided, {(ties == 0).sum()} are ties"
    failing = outside.isel(
        point=(outside["claim"].values == "spectrum") & (outside["verdict"].values == "fails")
    )
    at = {str(a): failing["parameter"].sel(axis=a).values for a in failing["axis"].values}
    assert (at["minority_weight"] <= 0.061).all()
    assert (at["variance_ratio"] > 4).all()
    yield f"In all {failing.sizes['point']} points outside that fail"
    (case,) = (
        share_report.case_of(recorded, CLAIMS["spectrum"], int(p))
        for p, ratio in zip(failing["point"].values, at["variance_ratio"], strict=True)
        if ratio < 5
    )
    yield f"`{source.of_mixture(case.experiments['pair'].mixture)}`"
    yield f"`{source.of_model(case.experiments['pair'].model)}`"


def test_the_page_shows_what_was_recorded(recorded):
    page = (DOCS / "verdicts.md").read_text(encoding="utf-8")
    assert [line for line in lines(recorded) if line not in page] == []


def test_under_a_perfect_score_the_rarer_of_two_classes_returns_less_often():
    """Why minority-speciation holds on theory by construction."""
    case = points.case_at(CLAIMS[CHEAP].space, points.points(CLAIMS[CHEAP], "outside", 1)[0])
    for experiment in case.experiments.values():
        weights = experiment.mixture.weights
        found = shares.SUBJECT.speciation(experiment, [2.0, 3.0, 4.0, 5.0])
        back = found["return_probability"].transpose("class", "diffusion_time").values
        assert (back[weights.argmin()] < back[weights.argmax()]).all()
        np.testing.assert_allclose(weights[0] * (1 - back[0]), weights[1] * (1 - back[1]), atol=3e-3)
