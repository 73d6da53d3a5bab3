"""How many points of a regime hold, and how many outside it."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
import xarray as xr

from diffclaims.api.claim import load_claims
from diffclaims.cli import main
from diffclaims.errors import DiffclaimsError, InvalidInput, SolveFailed
from diffclaims.storage import netcdf as storage
from diffclaims.storage.schema import validate
from diffclaims.studies import shares

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
    regime = shares.boxes(claim.space)
    inside, outside = (shares.points(claim, region, 40) for region in shares.REGIONS)
    for values in inside:
        assert any(shares.within(values, limits) for limits in regime)
        # The box as the claim states it, and the defaults of what it leaves out.
        assert any(
            all(low <= values[name] <= high for name, (low, high) in limits.items())
            and all(values[a.name] == a.default for a in claim.space.axes if a.name not in limits)
            for limits in named
        )
    for values in outside:
        assert not any(shares.within(values, limits) for limits in regime)
        for axis in claim.space.axes:
            axis.check(values[axis.name])
            low, high = shares.outer(claim, axis)
            if axis in shares.live_axes(claim.space):
                assert low <= values[axis.name] <= high


def test_every_regime_lies_in_the_limits():
    """Outside goes at least as far as the regime does, but for what a claim's own limits say."""
    for claim in CLAIMS.values():
        for limits in claim.space.regime:
            for name, (low, high) in limits.items():
                least, most = shares.outer(claim, claim.space[name])
                assert least <= low <= high <= most, (claim.id, name)


def test_boxes_have_the_same_weight():
    claim = CLAIMS["centroid-secondary"]
    drawn = shares.points(claim, "inside", 100)
    counts = [sum(shares.within(v, limits) for v in drawn) for limits in shares.boxes(claim.space)]
    assert counts == [25, 25, 25, 25]


def test_the_axis_says_how_points_are_spaced():
    values = shares.points(CLAIMS["variance-order"], "outside", 100)
    middle = {"psi_p": math.sqrt(0.5 * 256), "centroid_separation": 2.5}
    for name, half in middle.items():
        assert 45 <= sum(v[name] < half for v in values) <= 55


def test_the_points_are_the_same_every_time():
    for region in shares.REGIONS:
        claim = CLAIMS["uneven-memorization"]
        many = shares.points(claim, region, 20)
        assert many == shares.points(claim, region, 20)
        assert many[:7] == shares.points(claim, region, 7)
        assert many != shares.points(claim, region, 20, seed=1)


def test_an_axis_that_changes_no_case_stays_at_its_default():
    space = CLAIMS["imbalance-reversal"].space
    assert [a.name for a in shares.live_axes(space)] == ["variance_ratio", "centroid_separation"]
    assert len(shares.live_axes(CLAIMS["variance-order"].space)) == 7


def test_resuming_gives_the_same_dataset(tmp_path, monkeypatch, cheap):
    keep = tmp_path / "kept.jsonl"
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
    (tmp_path / "kept.jsonl").write_text('{"format": "diffclaims map checkpoint 1", "config": {}}\n')
    with pytest.raises(DiffclaimsError, match="is no checkpoint of a shares"):
        shares.shares([CLAIMS[CHEAP]], 1, keep=tmp_path / "kept.jsonl")


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
    inside, outside = shares.summary(found)
    assert (inside.points, inside.measured, inside.held) == (2, 0, 0)
    assert math.isnan(inside.share)
    assert outside.measured == 2
    text = shares.report(found, [CLAIMS[CHEAP]])
    assert "none of 2 measured" in text
    assert "2 points inside not measured, one for: SolveFailed: no solution" in text
    assert list(json.loads(found.attrs["extremes"])[CHEAP]) == ["outside"]


def test_what_fails_inside_is_printed_as_code(cheap):
    broken = cheap.copy(deep=True)
    broken["verdict"].values[:] = ["holds", "fails", "holds", *["holds"] * 3]
    text = shares.report(broken, [CLAIMS[CHEAP]])
    assert f"{CHEAP}: fails inside its regime" in text
    assert "GaussianMixture([" in text
    share = shares.summary(broken)[0]
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
    assert main(["shares", "--points", "0"]) == 2
    assert "be 1 or more" in capsys.readouterr().err


def test_a_claim_without_a_regime_is_refused():
    claim = CLAIMS["spectrum"]
    bare = dataclasses.replace(claim, space=dataclasses.replace(claim.space, regime=()))
    with pytest.raises(InvalidInput, match="state a regime"):
        shares.points(bare, "inside")


def test_a_regime_that_leaves_no_room_outside_is_refused():
    claim = CLAIMS["imbalance-reversal"]
    full = {a.name: (a.low, a.high) for a in claim.space.axes}
    wide = dataclasses.replace(claim, space=dataclasses.replace(claim.space, regime=(full,)))
    with pytest.raises(InvalidInput, match="be at most 0"):
        shares.points(wide, "outside", 2)
