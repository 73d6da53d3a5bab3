"""The verdict rule on seeds of nothing."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from diffclaims.api.outcome import Effect, Outcome
from diffclaims.cli import main
from diffclaims.errors import InvalidInput
from diffclaims.storage import netcdf as storage
from diffclaims.storage import paths as locate
from diffclaims.storage.schema import validate
from diffclaims.studies import error_rates, proportion
from diffclaims.studies.error_rates import DISTRIBUTIONS, FILE, FIRST, LIMIT, _against, _counts, _decided

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def recorded():
    return validate(storage.read_dataset(locate.baselines_dir() / FILE), "error-rates")


def test_the_recorded_rule_is_wrong_in_less_than_one_percent(recorded):
    total = int(recorded.attrs["repetitions"])
    ours = recorded.sel(rule="sign")
    for name in ("one_look", "every_look", "claim"):
        assert proportion.interval(int(ours[name].max()), total)[1] <= LIMIT
    assert error_rates.worst_share(recorded) <= LIMIT


def test_the_rule_that_it_replaced_is_not(recorded):
    """The simulation can show a rule that is wrong."""
    total = int(recorded.attrs["repetitions"])
    old = recorded.sel(rule="student")
    assert int(old["one_look"].max()) > LIMIT * total
    assert int(old["every_look"].sel(distribution="skewed").max()) > LIMIT * total


@pytest.mark.parametrize("name", list(DISTRIBUTIONS))
def test_each_distribution_has_the_centre_that_it_states(name):
    draw, median, mean = DISTRIBUTIONS[name]
    values = draw(np.random.default_rng(3), (400, 1000)).ravel()
    assert np.mean(values <= median) == pytest.approx(0.5, abs=0.005)
    if name != "without a mean":
        assert values.mean() == pytest.approx(mean, abs=5 * values.std() / np.sqrt(values.size))


def test_the_simulated_rule_is_that_of_effects():
    """The vectorized rule says of each row what an effect with these values does."""
    draw, median, _ = DISTRIBUTIONS["skewed"]
    values = draw(np.random.default_rng(5), (200, 12)) - median + 0.5
    holds, fails = _decided(((values <= 0).cumsum(axis=1), (values >= 0).cumsum(axis=1)))
    for row, up, down in zip(values, holds, fails, strict=True):
        for n in (7, 8, 12):
            outcome = Effect.from_samples("x", row[:n]).outcome
            assert outcome is (
                Outcome.HOLDS if up[n - 1] else Outcome.FAILS if down[n - 1] else Outcome.INCONCLUSIVE
            )


def test_the_first_decision_counts():
    up = np.zeros((3, 5), dtype=bool)
    down = up.copy()
    up[0, FIRST] = down[0, FIRST + 1] = down[1, FIRST - 1] = True
    _, first = _counts((up, down))
    assert first.tolist() == [1, 1]


def test_one_look_at_eight_seeds_is_wrong_as_often_as_a_coin_says():
    rng = np.random.default_rng(1)
    at_one, _ = _counts(_decided(_against("normal", rng, 100_000, 8)))
    assert at_one[0, -1] == pytest.approx(100_000 * stats.binom.pmf(8, 8, 0.5), rel=0.2)


def test_censored_times_decide_less_often_than_whole_ones():
    rng = np.random.default_rng(1)
    whole, cut = (_counts(_decided(_against(n, rng, 50_000, 24)))[1] for n in ("normal", "censored"))
    assert cut.sum() < whole.sum()


def test_the_command_records_and_prints(tmp_path, capsys):
    assert main(["error-rates", "--repetitions", "2000", "--out", str(tmp_path / "e.nc")]) == 0
    out = capsys.readouterr().out
    assert "strongly skewed" in out
    assert "seeds that decide in 95 %" in out
    if importlib.util.find_spec("matplotlib"):
        assert main(["plot", str(tmp_path / "e.nc"), "--out", str(tmp_path / "e.png")]) == 0
    with pytest.raises(InvalidInput, match="be 1000 or more"):
        error_rates.error_rates(10)


def lines(recorded):
    """Rows of the two tables of the page."""
    total = int(recorded.attrs["repetitions"])
    worst = recorded[["one_look", "every_look"]].max("verdict")
    for name in recorded["distribution"].values:
        shown = []
        for variable in ("one_look", "every_look"):
            for rule in ("sign", "student"):
                counts = worst[variable].sel(distribution=name, rule=rule)
                count = int(counts.max())
                low, high = proportion.interval(max(count, 0), total)
                shown.append(
                    f"{100 * count / total:.2f} [{100 * low:.2f}, {100 * high:.2f}]" if count >= 0 else "-"
                )
        yield f"| {name} | {' | '.join(shown)} |"
    for size in recorded["size"].values:
        yield f"| {size:g} | {' | '.join(map(str, recorded['seeds_needed'].sel(size=size).values))} |"
    for share in recorded["correlation"].values:
        row = recorded["claim"].sel(correlation=share)
        shown = [f"{100 * int(row.sel(verdict=v)) / total:.2f}" for v in ("holds", "fails")]
        yield f"| {share:g} | {' | '.join(shown)} |"


def test_the_page_shows_what_was_recorded(recorded):
    page = (DOCS / "verdicts.md").read_text(encoding="utf-8")
    assert [line for line in lines(recorded) if line not in page] == []
