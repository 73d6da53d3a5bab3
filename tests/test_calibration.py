"""Calibration: what a pool of seeds says of power and of nulls, and that the page shows what was recorded."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy.special import ndtr

from diffclaims import cli
from diffclaims.api.claim import load_claims
from diffclaims.api.outcome import Effect, Outcome
from diffclaims.api.verdict import Verdict
from diffclaims.errors import InvalidInput
from diffclaims.storage import netcdf as storage
from diffclaims.storage.recordings import record as keep
from diffclaims.studies import calibrate as calibration
from diffclaims.studies import mutants
from diffclaims.studies.calibrate import Pool, calibrate, cases_of
from diffclaims.studies.pools import join, records, split
from diffclaims.studies.power import Judged
from diffclaims.studies.power_tables import LIMIT, null_rows, power_rows, render, too_often
from diffclaims.studies.proportion import interval
from diffclaims.subjects.finite import SUBJECT, FiniteSubject

DOCS = Path(__file__).parents[1] / "docs"

CLAIMS = {claim.id: claim for claim in load_claims()}
RECORDS = records()
SMALL = FiniteSubject(
    n_dims=10, speciation_dims=6, seeds=8, speciation_seeds=8, n_points=10, n_steps=6, n_times=30
)


def pool(samples, role="regime", accuracy=0.0):
    """A case with these values, (effect, seed)."""
    samples = np.asarray(samples, dtype=np.float64)
    rows = len(samples)
    return xr.Dataset(
        {
            "samples": (("effect", "seed"), samples),
            "threshold": ("effect", np.zeros(rows)),
            "accuracy": ("effect", np.full(rows, accuracy)),
            "seconds": ((), 1.0),
        },
        coords={"effect": [f"e{i}" for i in range(rows)]},
        attrs={"role": role, "about": "{}"},
    )


def verdicts(samples, n_seeds, n=1500, seed=0):
    """Outcomes of repetitions drawn from a pool with replacement."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        chosen = rng.integers(0, samples.shape[1], n_seeds)
        yield Verdict([Effect.from_samples(f"e{i}", row[chosen]) for i, row in enumerate(samples)]).outcome


def normal(means, n=60, seed=1):
    rng = np.random.default_rng(seed)
    common = rng.standard_normal(n)
    return np.array([m + 0.7 * common + 0.7 * rng.standard_normal(n) for m in means])


@pytest.mark.parametrize("means", [(2.0, 3.0), (1.5, 2.0, 5.0)])
def test_the_power_of_eight_is_how_often_the_rule_decides(means):
    samples = normal(means)
    judged = Judged(pool(samples))
    share = np.mean([o is Outcome.HOLDS for o in verdicts(samples, 8)])
    assert judged.truth is Outcome.HOLDS
    assert judged.power().value == pytest.approx(share, abs=0.04)


@pytest.mark.parametrize(
    ("means", "n_seeds"), [((1.0, 2.0), 16), ((-3.0, 2.0), 12), ((-2.0, -1.8), 8), ((-1, 3), 24)]
)
def test_else_the_power_is_a_bound_from_below(means, n_seeds):
    samples = normal(means)
    judged = Judged(pool(samples))
    assert judged.truth is (Outcome.HOLDS if min(means) > 0 else Outcome.FAILS)
    share = np.mean([o is judged.truth for o in verdicts(samples, n_seeds)])
    assert judged.power(n_seeds).value <= share + 0.03


def test_one_effect_of_seven_cannot_fail_a_claim_with_eight_seeds():
    judged = Judged(pool(normal([-9.0, *[5.0] * 6])))
    assert judged.power(8).value == judged.power(8).high == 0
    # The evidence of one must be seven times that of one alone.
    assert judged.needed == 11
    assert judged.weakest == 0
    assert Judged(pool(normal([-9.0]))).power(8).value == 1


def test_the_interval_of_a_pool_that_agrees_is_that_of_its_seeds():
    rate = Judged(pool(np.ones((2, 24)))).power()
    # Clopper-Pearson: with all of n, (1 - coverage)/2 to the power 1/n.
    assert (rate.value, rate.high) == (1, 1)
    assert rate.low == pytest.approx(0.025 ** (8 / 24))
    assert interval(0, 500)[1] == pytest.approx(1 - 0.025 ** (1 / 500), rel=1e-9)


def test_normal_power_is_that_of_normal_effects():
    samples = normal([2.5], n=4000)
    truth = ndtr(2.5 / np.hypot(0.7, 0.7)) ** 8
    rate = Judged(pool(samples)).normal_power()
    assert rate.value == pytest.approx(truth, abs=0.02)
    assert rate.low < truth < rate.high
    never = Judged(pool(np.vstack([samples, np.full((1, 4000), np.inf)]))).normal_power()
    assert never.value == pytest.approx(rate.value)


def test_the_normal_interval_covers():
    truth, inside = ndtr(2.0) ** 8, 0
    for seed in range(200):
        x = np.random.default_rng(seed).standard_normal((1, 24)) + 2.0
        rate = Judged(pool(x)).normal_power()
        inside += rate.low <= truth <= rate.high
    assert inside >= 180


def stretched(n=24, seed=3):
    """Effects that scatter normally but for a factor of each seed's own, and what they are without it."""
    rng = np.random.default_rng(seed)
    plain = 3.0 + rng.standard_normal((2, n))
    return plain * np.exp(1.2 * rng.standard_normal(n)), plain


def test_a_factor_of_a_seed_hides_the_power_and_the_scale_of_the_claim_shows_it():
    samples, plain = stretched(4000)
    truth = ndtr(3.0) ** (2 * 8)
    one = pool(samples)
    assert Judged(one).normal_power().high < 0.5 * truth
    rate = Judged(one.assign(gauge=(("effect", "seed"), plain))).normal_power()
    assert rate.value == pytest.approx(truth, abs=0.01)
    assert Judged(one).power() == Judged(one.assign(gauge=(("effect", "seed"), plain))).power()


def test_the_scale_of_a_claim_is_kept_by_case():
    samples, plain = stretched()
    few, many = (pool(samples[:, :n]).assign(gauge=(("effect", "seed"), plain[:, :n])) for n in (8, 24))
    parts = split(join(CLAIMS["minority-speciation"], {"few": few, "many": many}, "x"))
    np.testing.assert_array_equal(parts["few"]["gauge"], plain[:, :8])
    assert Judged(parts["many"]).normal_power() == Judged(many).normal_power()


def test_a_scale_with_other_signs_is_refused():
    claim = CLAIMS["minority-speciation"]
    case = claim.case("farther-centroids")

    def turned(case, data):
        assert claim.gauge is not None
        return [-x for x in claim.gauge(case, data)]

    wrong = dataclasses.replace(claim, gauge=turned)
    with pytest.raises(InvalidInput, match=r"gauge of minority-speciation.*signs of the effects"):
        calibration.measure(wrong, "regime", case, Pool(SMALL))
    found = calibration.measure(claim, "regime", case, Pool(SMALL))
    assert found is not None
    margins = found["samples"] - found["threshold"]
    assert (np.sign(found["gauge"]) == np.sign(margins)).all()


def test_values_within_the_accuracy_are_against():
    assert Judged(pool(np.full((1, 8), 0.1), accuracy=0.2)).power().value == 0


def test_what_is_false_where_nothing_differs():
    samples = np.vstack([np.tile([1.0, -1.0], 20), np.full(40, 5.0)])
    judged = Judged(pool(samples, "null"))
    assert judged.false(1, "e0").value == pytest.approx(0.5**8)
    # The other effect is real: half of the evidence is missing.
    assert judged.false(-1, "e0").value == 0
    assert Judged(pool(samples[:1], "null")).false(-1).value == pytest.approx(0.5**8)


@pytest.fixture(scope="module")
def small():
    saved = []
    found = calibrate(CLAIMS["variance-order"], subject=SMALL, save=saved.append)
    return found, saved


def test_every_case_of_the_regime_and_the_null_is_measured(small):
    found, saved = small
    named = [
        case.name if role == "regime" else f"{case.name} (null)"
        for role, case in cases_of(CLAIMS["variance-order"])
    ]
    assert found["case"].values.tolist() == named
    assert [d.sizes["case"] for d in saved] == list(range(1, len(named) + 1))
    assert found["samples"].dtype == np.float32
    assert (found["seconds"] > 0).all()


def test_a_pool_holds_the_effects_of_its_seeds(small):
    claim = CLAIMS["variance-order"]
    alone = claim.run(SMALL, claim.case("ratio-2")).verdict.effects
    data = split(small[0])["ratio-2"]
    assert data["effect"].values.tolist() == [e.name for e in alone]
    np.testing.assert_allclose(data["samples"], [e.samples for e in alone], rtol=1e-6)


def test_cases_that_were_measured_are_not_measured_again(small, monkeypatch):
    monkeypatch.setattr(calibration, "measure", lambda *a, **k: pytest.fail("measured again"))
    again = calibrate(CLAIMS["variance-order"], subject=SMALL, kept=small[0])
    xr.testing.assert_equal(again, small[0])
    with pytest.raises(pytest.fail.Exception, match="measured again"):
        calibrate(CLAIMS["variance-order"], subject=dataclasses.replace(SMALL, n_dims=11), kept=small[0])


def test_one_case_gets_a_pool_of_its_own_and_the_others_stay(small):
    claim, saved = CLAIMS["variance-order"], []
    more = dataclasses.replace(SMALL, seeds=SMALL.seeds + 1)
    again = split(calibrate(claim, subject=more, kept=small[0], cases=["ratio-2"], save=saved.append))
    before = split(small[0])
    assert list(again) == list(before)
    assert again["ratio-2"].sizes["seed"] == before["ratio-2"].sizes["seed"] + 1
    for name in before.keys() - {"ratio-2"}:
        xr.testing.assert_equal(again[name], before[name])
    assert [list(split(record)) for record in saved] == [list(before)]
    with pytest.raises(InvalidInput, match=r"case.*ratio-3.*be one of ratio-1.25, ratio-2"):
        calibrate(claim, subject=more, kept=small[0], cases=["ratio-3"])


def test_a_case_is_one_of_a_claim(capsys):
    assert cli.main(["calibrate", "--case", "ratio-2"]) == 2
    assert "--claim" in capsys.readouterr().err


def test_cases_of_few_seeds_stay_apart():
    few, many = (pool(np.ones((2, n))) for n in (8, 12))
    joined = join(CLAIMS["variance-order"], {"few": few, "many": many}, "x")
    parts = split(joined)
    assert (parts["few"].sizes["seed"], parts["many"].sizes["seed"]) == (8, 12)


def test_recordings_of_the_same_settings_are_the_pool(tmp_path):
    case = CLAIMS["centroid-secondary"].case("equal-variance-norms-1-4")
    (experiment,) = case.experiments.values()
    keep(tmp_path, experiment, SMALL.learning_curves(experiment))
    same = Pool(SMALL, tmp_path)
    same.learning_curves(experiment)
    other = Pool(dataclasses.replace(SMALL, reduced=False), tmp_path)
    other.learning_curves(experiment)
    assert (same.played, same.measured) == (1, 0)
    assert (other.played, other.measured) == (0, 1)


def test_what_cases_share_is_measured_once_and_counts_in_each(monkeypatch):
    claim = CLAIMS["minority-speciation"]
    asked = []
    plain = FiniteSubject.speciation

    def counted(self, experiment, times):
        asked.append(experiment.key)
        return plain(self, experiment, times)

    monkeypatch.setattr(FiniteSubject, "speciation", counted)
    # As many samples as leave one to the rarest class.
    shared = Pool(dataclasses.replace(SMALL, speciation_dims=25))
    parts = [
        calibration.measure(claim, "regime", claim.case(f"equal-covariance-{which}"), shared)
        for which in ("strong", "mild", "rarer")
    ]
    assert len(asked) == len(set(asked)) == 4
    seconds = [float(p["seconds"]) for p in parts]
    assert seconds[2] == pytest.approx(seconds[0] + seconds[1])
    assert [json.loads(p.attrs["about"])["measured"] for p in parts] == [2, 2, 4]


def test_too_few_seeds_and_claims_that_finite_does_not_answer_are_refused():
    with pytest.raises(InvalidInput, match=r"seeds = 7.*8 or more"):
        calibrate(CLAIMS["variance-order"], subject=dataclasses.replace(SMALL, seeds=7))
    with pytest.raises(InvalidInput, match="a case that finite answers"):
        calibrate(CLAIMS["spectrum"], subject=SMALL)


def test_a_null_that_is_decided_too_often_is_said(small, monkeypatch, capsys, tmp_path):
    often = small[0].isel(seed=np.tile(np.arange(8), 12)).assign_coords(seed=np.arange(96)).copy(deep=True)
    often["samples"].values[...] = 1.0
    assert too_often({"variance-order": often}) == ["variance-order"]
    monkeypatch.setattr(calibration, "calibrate", lambda claim, **_: often)
    assert cli.main(["calibrate", "--claim", "variance-order", "--out", str(tmp_path)]) == 1
    assert (tmp_path / "variance-order.nc").is_file()


def test_mutants_and_calibration_come_from_one_command(capsys):
    words = ["mutants", "--claim", "variance-order", "--mutant", "energies-pooled", "--calibration"]
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    assert "energies-pooled" in out
    for claim in RECORDS:
        assert claim in out


def test_without_records_the_command_says_how_to_make_them(monkeypatch):
    monkeypatch.setattr("diffclaims.studies.pools.records", dict)
    assert "diffclaims calibrate makes it" in mutants.calibration_text(100)


def test_every_claim_that_finite_answers_is_recorded():
    assert list(RECORDS) == [name for name, c in CLAIMS.items() if c.measures <= SUBJECT.tags.measures]
    assert "truth" in render(RECORDS)


@pytest.mark.parametrize("claim", RECORDS)
def test_a_record_is_of_the_cases_as_they_are_now(claim):
    experiments = {
        case.name if role == "regime" else f"{case.name} (null)": {
            name: json.loads(e.to_json()) for name, e in case.experiments.items()
        }
        for role, case in cases_of(CLAIMS[claim])
    }
    about = json.loads(RECORDS[claim].attrs["about"])
    assert {name: a["experiments"] for name, a in about.items()} == {
        name: experiments[name] for name in about
    }
    assert "fails" not in {a["size"] for a in about.values()}


@pytest.mark.parametrize("claim", RECORDS)
def test_a_record_is_of_the_subject_as_it_is_now(claim):
    """All but the number of seeds."""
    number = ("seeds", "speciation_seeds")
    now = {k: v for k, v in calibration.settings(CLAIMS[claim], SUBJECT).items() if k not in number}
    for about in json.loads(RECORDS[claim].attrs["about"]).values():
        assert {k: about["settings"].get(k) for k in now} == now


def test_no_recorded_null_is_surely_decided_too_often():
    assert too_often(RECORDS) == []
    assert LIMIT == 0.01


def lines(found):
    """Rows of the two tables of the page."""
    for rows in (power_rows(found), null_rows(found)):
        for row in rows:
            claim, case, *rest = row
            yield f"| `{claim}` | `{case}` | {' | '.join(rest)} |"


def test_the_page_shows_what_was_recorded():
    page = (DOCS / "verdicts.md").read_text(encoding="utf-8")
    assert [line for line in lines(RECORDS) if line not in page] == []


def test_a_record_survives_writing(small, tmp_path):
    storage.write(tmp_path / "a.nc", small[0])
    xr.testing.assert_equal(storage.read_dataset(tmp_path / "a.nc"), small[0])
