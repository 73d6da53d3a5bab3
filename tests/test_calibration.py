"""Calibration: what is counted, and that the recorded rates of false "holds" are low enough."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

from diffclaims import cli
from diffclaims.api.claim import load_claims
from diffclaims.api.verdict import Effect
from diffclaims.errors import InvalidInput
from diffclaims.storage import netcdf as storage
from diffclaims.studies import mutants
from diffclaims.studies.calibrate import (
    LIMIT,
    POWER_SEEDS,
    SeededModel,
    among,
    calibrate,
    false_holds,
    interval,
    nullable,
    records,
    render,
    repetitions,
)
from diffclaims.subjects.contract import check_subject

CLAIMS = {claim.id: claim for claim in load_claims()}
NULLS = nullable()
RECORDS = records()


def small(seeds):
    return SeededModel(seeds=seeds, n_dims=8, speciation_dims=6, n_points=4)


def recorded(claim, **changes):
    """A record with other numbers."""
    dataset = RECORDS[claim].copy(deep=True)
    for name, values in changes.items():
        dataset[name].values[...] = values
    return dataset


def test_the_pool_keeps_the_contract_of_a_subject():
    check_subject(small((0, 1)))


@pytest.mark.parametrize("claim", ["variance-order", "minority-speciation"])
def test_a_repetition_is_what_judging_its_seeds_alone_gives(claim):
    case = CLAIMS[claim].null_case()
    verdicts = [v for _, v in repetitions(CLAIMS[claim], case, small, (3,), 6)]
    assert len(verdicts) == 2
    for start, verdict in zip((0, 3), verdicts, strict=True):
        subject = small(tuple(range(start, start + 3)))
        alone = CLAIMS[claim].judge(case, CLAIMS[claim].measure(subject, case))
        assert [(e.name, e.value, e.stderr, e.outcome) for e in verdict.effects] == [
            (e.name, e.value, e.stderr, e.outcome) for e in alone
        ]


def test_no_seed_is_in_two_repetitions_of_one_size():
    asked: list[tuple[int, ...]] = []

    class Stub:
        cases = ()

        def measure(self, subject, case):
            asked.append(subject.seeds)
            return {}

        def judge(self, case, data):
            return [Effect.from_samples("seed", [float(s) for s in asked[-1]])]

    dealt = [(n, v.effects[0].samples) for n, v in repetitions(Stub(), None, small, (2, 4), 1000)]
    for n in (2, 4):
        seeds = [s for m, values in dealt if m == n for s in values]
        assert seeds == [float(s) for s in range(1000)]
    assert len(asked) > 1


def test_an_effect_without_values_by_seed_cannot_be_dealt_out():
    with pytest.raises(InvalidInput, match="must have values by seed"):
        among(Effect(name="ln 2", value=0.7), slice(0, 2))


def test_the_null_of_imbalance_differs_from_the_claim_in_the_variances_alone():
    claim = CLAIMS["imbalance-reversal"]
    null, true = claim.null_case(), claim.case(claim.null.power)
    assert list(null.experiments) == list(true.experiments)
    for name, e in null.experiments.items():
        assert np.ptp(e.mixture.class_variance) == 0
        wanted = true.experiments[name].mixture.to_dict() | {"variances": e.mixture.variances.tolist()}
        assert e.mixture.to_dict() == wanted


def test_a_small_calibration_counts_every_repetition():
    found = calibrate(CLAIMS["variance-order"], n_repetitions=3, n_seeds=2, power_total=24, n_dims=8)
    assert found.outcome.shape == (3,)
    assert found.effect_outcome.dims == ("effect", "repetition")
    assert found.repetitions.values.tolist() == [24 // n for n in POWER_SEEDS]
    assert (found.holds <= found.repetitions).all()
    assert found.attrs["null_case"] == "equal-variances"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_seeds": 1}, "one seed has no standard error"),
        ({"n_repetitions": 0}, "must be 1 or more"),
        ({"power_total": 4}, "must be 8 or more"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(wrong, message):
    with pytest.raises(InvalidInput, match=message):
        calibrate(CLAIMS["variance-order"], **wrong)


def test_a_claim_without_a_null_is_refused():
    with pytest.raises(InvalidInput, match="must state a null"):
        calibrate(CLAIMS["two-phases"])


def test_the_interval_is_exact():
    # Clopper-Pearson: with no count, 1 - (1 - coverage)/2 to the power 1/n.
    low, high = interval(0, 500)
    assert low == 0
    assert high == pytest.approx(1 - 0.025 ** (1 / 500), rel=1e-9)


def test_too_many_false_holds_are_said(monkeypatch, capsys, tmp_path):
    often = recorded("variance-order", outcome=1)
    assert false_holds(often) == (500, 500)
    assert "ABOVE" in render({"variance-order": often}, width=200)
    monkeypatch.setattr("diffclaims.studies.calibrate.calibrate", lambda claim, **_: often)
    words = ["calibrate", "--claim", "variance-order", "--out", str(tmp_path)]
    assert cli.main(words) == 1
    xr.testing.assert_identical(storage.read_dataset(tmp_path / "variance-order.nc"), often)


def test_the_command_names_the_claims_that_it_knows(capsys):
    assert cli.main(["calibrate", "--claim", "two-phases"]) == 2
    assert "variance-order" in capsys.readouterr().err


def test_mutants_and_calibration_come_from_one_command(capsys):
    words = ["mutants", "--claim", "variance-order", "--mutant", "energies-pooled", "--calibration"]
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    assert "energies-pooled" in out
    for claim in RECORDS:
        assert claim in out


def test_without_records_the_command_says_how_to_make_them(monkeypatch):
    monkeypatch.setattr("diffclaims.studies.calibrate.records", dict)
    assert "diffclaims calibrate makes it" in mutants.calibration_text(100)


@pytest.mark.parametrize("claim", NULLS)
def test_recorded_false_holds_are_at_most_one_percent_of_500(claim):
    count, total = false_holds(RECORDS[claim])
    assert total >= 500
    assert count <= LIMIT * total


@pytest.mark.parametrize("claim", NULLS)
def test_no_effect_that_is_zero_holds_alone_in_more_than_one_percent(claim):
    null = [NULLS[claim].null.effects in str(name) for name in RECORDS[claim].effect.values]
    assert any(null)
    held = (RECORDS[claim].effect_outcome.values[null] == 1).sum(axis=1)
    assert held.max() <= LIMIT * RECORDS[claim].sizes["repetition"]


@pytest.mark.parametrize("claim", NULLS)
def test_a_record_is_of_the_cases_as_they_are_now(claim):
    one = CLAIMS[claim]
    for kind, case in (("null", one.null_case()), ("power", one.case(one.null.power))):
        stored = json.loads(RECORDS[claim].attrs[f"{kind}_experiments"])
        assert stored == {name: json.loads(e.to_json()) for name, e in case.experiments.items()}


@pytest.mark.parametrize("claim", NULLS)
def test_a_recorded_outcome_is_that_of_its_effects(claim):
    effects, outcome = RECORDS[claim].effect_outcome.values, RECORDS[claim].outcome.values
    np.testing.assert_array_equal((effects == 1).all(axis=0), outcome == 1)
    np.testing.assert_array_equal((effects == -1).any(axis=0), outcome == -1)
    assert {int(o) for o in outcome} <= {-1, 0, 1}
