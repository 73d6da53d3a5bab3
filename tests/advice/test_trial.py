"""What is read off trainings with advised weights, on windows that are known; and a trial of a few steps."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from diffclaims.advice import trial
from diffclaims.cli import main
from diffclaims.storage import netcdf as storage

INF = np.inf


def test_a_window_ends_at_the_first_memorized_class_and_starts_at_the_last_learned():
    learned, memorized = (
        [[100, 200], [100, INF], [100, 200], [300, 400]],
        [[INF, 400], [200, 300], [INF, INF], [90, 200]],
    )
    found = trial.width(learned, memorized, 1000)
    np.testing.assert_allclose(found, [np.log(2), -INF, np.log(5), np.log(90 / 400)])


def test_depth_is_that_of_the_worst_class_at_the_best_snapshot():
    learned, gap = np.array([[0.1, 0.9, 1.0], [0.0, 0.85, 0.9]]), np.array([[0.0, 0.1, 0.5], [0.0, 0.0, 0.2]])
    assert trial.depth(learned, gap, (0.8, 0.25)) == pytest.approx(0.05)
    assert trial.depth(learned, gap + 0.3, (0.8, 0.25)) == pytest.approx(-0.15)


def test_windows_that_never_open_are_alike():
    after, before = np.array([-INF, 0.5, -INF, 1.0]), np.array([-INF, -INF, 0.2, 0.25])
    np.testing.assert_array_equal(trial.difference(after, before), [0, INF, -INF, 0.75])


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([1.0] * 8 + [0.0], "supported"),
        ([1.0] * 7 + [0.0] * 2, "undecided"),
        ([-1.0] * 8 + [0.0], "contradicted"),
        ([0.0] * 9, "undecided"),
        ([1.0] * 3 + [np.nan] * 6, "undecided"),
        ([INF] * 9, "supported"),
    ],
)
def test_ties_speak_for_neither(values, verdict):
    assert trial.Share.of(np.array(values)).verdict == verdict


def test_limits_of_a_median_hold_it_as_often_as_they_say():
    rng = np.random.default_rng(0)
    x = rng.exponential(size=(2000, 9))
    inside = [low <= np.log(2) <= high for _, low, high in map(trial.median, x)]
    assert 0.94 < np.mean(inside) < 0.98
    middle, low, high = trial.median(np.array([INF, 1.0, 2.0, np.nan]))
    assert (middle, low, high) == (2.0, -INF, INF)


def made(own, advised, n=((70, 20, 10), (50, 30, 20))):
    """A trial of one design, a seed for each value."""
    seeds = np.arange(len(own))
    widths = np.stack([own, advised], axis=-1)[None]
    counts = np.tile(np.array(n, dtype=float), (1, len(seeds), 1, 1))
    each = ("design", "seed", "arm")
    return xr.Dataset(
        {
            "width": (each, widths),
            "depth": (each, np.clip(widths, -1, 1) / 10),
            "n_train": ((*each, "place"), counts),
        },
        {"design": ["a"], "seed": seeds, "arm": ["own", "advised"]},
    )


def test_the_sentence_says_what_came_out():
    worse = trial.sentence(made([0.5] * 9, [-INF] * 9))
    assert "contradicted" in worse
    assert "wider in 0 of 9, narrower in 9" in worse
    assert "open where they were closed: undecided (0 of 0)" in worse
    better = trial.sentence(made([-INF] * 9, [0.2] * 9))
    assert "supported" in better
    assert "open where they were closed: supported (9 of 9)" in better
    assert "nearer to an open window by +0.05 [+0.05, +0.05]" in trial.sentence(made([0.5] * 9, [1.0] * 9))


def test_a_pair_without_a_change_opens_nothing():
    found = made([-INF] * 4, [-INF] * 4)
    found["n_train"][:, :2, 1] = found["n_train"][:, :2, 0].values
    share = trial.opened(found)
    assert (share.k, share.n, share.against) == (0, 2, 2)


def test_advice_that_changes_nothing_is_not_judged():
    found = made([0.5] * 9, [0.5] * 9, n=((70, 20, 10), (70, 20, 10)))
    assert np.isnan(trial.gain(found).values).all()
    assert trial.Share.of(trial.gain(found).values.ravel()).n == 0


def test_images_are_whole_and_enough():
    designs = pytest.importorskip("diffclaims.studies.trial_designs")
    assert designs.whole([0.7, 0.2, 0.1]).tolist() == [70, 20, 10]
    assert designs.whole([1 / 3, 1 / 3, 1 / 3]).tolist() == [34, 33, 33]
    assert designs.whole([0.985, 0.012, 0.003]).tolist() == [96, 2, 2]


@pytest.mark.slow
def test_the_rule_gives_the_designs():
    designs = pytest.importorskip("diffclaims.studies.trial_designs")
    assert tuple(d for d, *_ in designs.chosen()) == designs.DESIGNS


def test_a_trial_of_a_few_steps(tmp_path, capsys, monkeypatch):
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    from diffclaims.studies import trial as study

    monkeypatch.setattr(study, "DESIGNS", study.DESIGNS[:1])
    arguments = ["--first-seed", "9000", "--seeds", "1", "--steps", "12", "--results", str(tmp_path / "runs")]
    assert main(["trial", *arguments, "--out", str(tmp_path / "t.nc")]) == 0
    text = capsys.readouterr().out
    assert "Wider windows by advised weights: undecided" in text
    found = storage.read_dataset(tmp_path / "t.nc")
    assert found.attrs["schema"] == "trial"
    assert found["n_train"].sum("place").values.ravel().tolist() == [100.0] * 3
    assert found["class_name"].values.tolist() == [["0", "1", "3"]]
    # Again without a training: what is there is read, and says the same.
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "runs").rglob("raw.npz")}
    assert main(["trial", *arguments]) == 0
    assert capsys.readouterr().out == text
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "runs").rglob("raw.npz")} == before
