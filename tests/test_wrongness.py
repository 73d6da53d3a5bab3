"""The smallest wrongness that each claim sees."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from diffclaims import Experiment, GaussianMixture, RandomFeatures, load_claims
from diffclaims.errors import InvalidInput
from diffclaims.storage import netcdf as storage
from diffclaims.storage import paths as locate
from diffclaims.storage.schema import validate
from diffclaims.studies.families import FAMILIES
from diffclaims.studies.mutations import Mutant
from diffclaims.studies.wrongness import FILE, cell, seen_by, smallest, wrongness
from diffclaims.subjects.memo import Memo
from diffclaims.subjects.theory import SUBJECT
from diffclaims.times.learning import learning_times

DOCS = Path(__file__).parents[1] / "docs"

CLAIMS = {c.id: c for c in load_claims()}
PAIR = Experiment(
    mixture=GaussianMixture([0.3, 0.7], [2.0, 1.0], centroid_gram=[[1.0, 0.0], [0.0, 4.0]]),
    model=RandomFeatures(psi_p=8, psi_n=16, diffusion_time=0.05),
)
MEMO = Memo(SUBJECT)


@pytest.fixture(scope="module")
def recorded():
    return validate(storage.read_dataset(locate.baselines_dir() / FILE), "wrongness")


def _answers(subject):
    times = np.geomspace(0.1, 4.0, 6)
    return subject.learning_curves(PAIR), subject.speciation(PAIR, times), subject.spectrum(PAIR)


@pytest.mark.parametrize("name", list(FAMILIES))
def test_each_family_spoils_what_it_says_and_nothing_else(name):
    mutation = FAMILIES[name].make(1.0)
    wrong = _answers(Mutant(MEMO, name, mutation))
    for kind, a, b in zip(("curves", "speciation", "spectrum"), _answers(MEMO), wrong, strict=True):
        same = a.drop_attrs().equals(b.drop_attrs())
        # What is spoiled differs in at least one kind; a perfect score knows no sizes.
        assert same or kind in mutation.kinds
    assert any(not a.drop_attrs().equals(b.drop_attrs()) for a, b in zip(_answers(MEMO), wrong, strict=True))


def test_classes_are_brought_nearer_by_the_share_that_is_said():
    half = Mutant(MEMO, "alike", FAMILIES["times-alike"].make(0.5)).learning_curves(PAIR)
    apart = [np.log(learning_times(c)["tau_gen"].values) for c in (MEMO.learning_curves(PAIR), half)]
    assert np.ptp(apart[1]) == pytest.approx(np.ptp(apart[0]) / 2, rel=0.02)


@pytest.mark.parametrize(
    ("claim", "family", "by"),
    [
        ("variance-order", "times-alike", {"size", "identity"}),
        ("variance-order", "train-permuted", {"size", "identity"}),
        ("minority-speciation", "speciation-weights", {"identity"}),
        ("minority-speciation", "speciation-centroids", {"size", "identity"}),
    ],
)
def test_half_a_wrong_subject_is_seen(claim, family, by):
    mutant = Mutant(MEMO, family, FAMILIES[family].make(0.5))
    assert seen_by(CLAIMS[claim], mutant, MEMO) in by


def test_the_honest_subject_passes_every_claim():
    """What sees everything shows nothing."""
    for name in ("variance-order", "minority-speciation", "bias-before-best"):
        assert seen_by(CLAIMS[name], MEMO, MEMO) == ""


def test_the_search_ends_at_the_first_size_that_passes():
    lines = []
    least, passes, by = smallest(CLAIMS["variance-order"], "weights-balanced", MEMO, lines.append)
    assert (math.isnan(least), passes, by) == (True, 1.0, "")
    assert lines == ["variance-order, weights-balanced 1: passes"]


def test_an_unknown_family_is_refused():
    with pytest.raises(InvalidInput, match="'no-such'"):
        wrongness([CLAIMS["variance-order"]], ["no-such"], SUBJECT)


def test_every_family_is_seen_by_a_claim_at_a_tenth(recorded):
    assert list(recorded["family"].values) == list(FAMILIES)
    assert list(recorded["claim"].values) == list(CLAIMS)
    for family in recorded["family"].values:
        least = np.nanmin(recorded["smallest"].sel(family=family).values)
        assert least <= 0.1, family


def lines(recorded):
    """Rows of the table of the page."""
    for name in recorded["family"].values:
        family = FAMILIES[str(name)]
        cells = [cell(recorded, str(c), str(name)).replace(" or less", "-") for c in recorded["claim"].values]
        yield f"| {family.kind}: {family.says} | " + " | ".join(cells) + " |"


def test_the_page_shows_what_was_recorded(recorded):
    page = (DOCS / "verdicts.md").read_text(encoding="utf-8")
    assert [line for line in lines(recorded) if line not in page] == []
