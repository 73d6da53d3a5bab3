"""Two trainings on disjoint halves, each with the other's samples held out."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from diffclaims import InvalidInput, Monitor, denoisers  # noqa: E402
from tests.denoisers import planted  # noqa: E402

MIXTURE = planted.Mixture()
ONE, OTHER = MIXTURE.draw(90, seed=1), MIXTURE.draw(90, seed=2)


def pair(folder, first, second, **options):
    mine = Monitor(folder / "a", train=ONE, held_out=OTHER, budget=1, half=folder / "b")
    other = Monitor(folder / "b", train=OTHER, held_out=ONE, budget=1)
    for step in (0, 100):
        mine.measure(step, denoisers.from_x0(first), samples=False)
        other.measure(step, denoisers.from_x0(second), samples=False)
    return mine


def leaning(data, share):
    by_heart = planted.Empirical(*data)
    return lambda x, s, y=None: share * by_heart(x, s, y) + (1 - share) * MIXTURE(x, s, y)


def test_a_slight_lean_towards_training_samples_is_seen(tmp_path):
    status = pair(tmp_path, leaning(ONE, 0.05), leaning(OTHER, 0.05)).status()
    assert status.half_biased.all()
    assert (status.half_gap_low > 0).all()
    assert not status.state.isin(["memorizing", "memorized"]).any()


def test_two_trainings_that_agree_show_none(tmp_path):
    status = pair(tmp_path, MIXTURE, MIXTURE).status()
    assert not status.half_biased.any()
    assert status.attrs["half_step"] == 100


def test_what_cannot_be_compared_is_said(tmp_path):
    mine = pair(tmp_path, MIXTURE, MIXTURE)
    mine.measure(1000, denoisers.from_x0(MIXTURE))
    assert "half: the other training has nothing measured near step 1000" in mine.status().attrs["missing"]
    other = Monitor(
        tmp_path / "c", train=ONE, held_out=MIXTURE.draw(90, seed=3), budget=1, half=tmp_path / "b"
    )
    other.measure(100, denoisers.from_x0(MIXTURE))
    with pytest.raises(InvalidInput, match=r"(half = '<other samples>'|levels of half)"):
        other.status()
