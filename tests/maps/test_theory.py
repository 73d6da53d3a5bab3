"""Maps of the theory, whose points are solved in blocks."""

import numpy as np
import pytest

from diffclaims.api.claim import find_claim
from diffclaims.errors import SolveFailed
from diffclaims.studies.maps import Plan, Range, run_map
from diffclaims.studies.maps import evaluate as module
from diffclaims.studies.maps.evaluate import TOGETHER, evaluate_point, evaluate_points, subject_of
from diffclaims.subjects.theory import Theory


def plan(claim, *texts, n, **more):
    axes = find_claim(claim).space
    return Plan(claim=claim, ranges=tuple(Range.parse(t, n, axes) for t in texts), **more)


def points_of(asked):
    values = [r.values() for r in asked.ranges]
    return [
        dict(zip(asked.names, (float(v[i]) for v, i in zip(values, index, strict=True)), strict=True))
        for index in np.ndindex(*(v.size for v in values))
    ]


@pytest.mark.parametrize(
    ("claim", "texts"),
    [
        ("variance-order", ("variance_ratio=1.1..8", "psi_n=0.5..16")),
        ("centroid-secondary", ("variance_ratio=1.02..3", "norm_ratio=1..3")),
        # Several experiments a point.
        ("bias-before-best", ("psi_n=0.5..64", "variance_ratio=1..8")),
    ],
)
def test_points_together_are_what_each_is_alone(claim, texts):
    asked = plan(claim, *texts, n=3)
    points, text = points_of(asked), asked.to_json()
    for found, values in zip(evaluate_points(text, points), points, strict=True):
        alone = evaluate_point(text, values)
        assert {k: found[k] for k in ("verdict", "effect")} == {k: alone[k] for k in ("verdict", "effect")}
        assert found["margin"] == pytest.approx(alone["margin"], abs=1e-5 * alone["uncertainty"])


def test_the_uncertainty_of_points_holds_under_refinement():
    asked = plan("centroid-secondary", "variance_ratio=1.02..3", "norm_ratio=1..3", n=3)
    fine = plan("centroid-secondary", "variance_ratio=1.02..3", "norm_ratio=1..3", n=3, accuracy=1e-6)
    points = points_of(asked)
    for found, exact in zip(*(evaluate_points(p.to_json(), points) for p in (asked, fine)), strict=True):
        assert abs(found["margin"] - exact["margin"]) <= found["uncertainty"]


def test_one_point_that_cannot_be_measured_spoils_no_other(monkeypatch):
    asked = plan("variance-order", "variance_ratio=1.1..8", n=3)
    points, text = points_of(asked), asked.to_json()
    whole = evaluate_points(text, points)
    several = Theory.several_learning_curves

    def one_fails(self, experiments):
        found = several(self, experiments)
        found[1] = SolveFailed("it was asked on a Sunday")
        return found

    monkeypatch.setattr(Theory, "several_learning_curves", one_fails)
    found = evaluate_points(text, points)
    assert found[1]["verdict"] == "not run"
    assert found[1]["reason"] == "it was asked on a Sunday"
    assert [found[0], found[2]] == [whole[0], whole[2]]


def test_what_was_not_foreseen_is_solved_when_it_is_asked_for(monkeypatch):
    asked = plan("variance-order", "variance_ratio=1.1..8", n=2)
    case, other = (asked.axes.point(values, {}) for values in points_of(asked))
    theory = subject_of(asked)
    known = module.Asked(theory, list(case.experiments.values()))
    curves = known.learning_curves(other.experiments["pair"])
    assert curves.equals(theory.learning_curves(other.experiments["pair"]))
    assert (
        known.learning_curves(case.experiments["pair"]).attrs["experiment_key"]
        == case.experiments["pair"].key
    )


class Interrupt(Exception):
    pass


def test_an_interrupted_map_has_the_same_numbers(tmp_path):
    # Two blocks and a part of one, and a boundary.
    asked = plan("centroid-secondary", "norm_ratio=1..3", n=2 * TOGETHER + 5, at={"variance_ratio": 1.5})
    whole = run_map(asked, tmp_path / "whole.nc")
    told = []

    def advance(done, total):
        told.append((done, total))
        if len(told) == 2:
            raise Interrupt

    out = tmp_path / "map.nc"
    with pytest.raises(Interrupt):
        run_map(asked, out, advance=advance)
    again = run_map(asked, out, advance=lambda *n: told.append(n))
    assert told[:2] == [(0, 2 * TOGETHER + 6), (TOGETHER, 2 * TOGETHER + 6)]
    assert told[2] == told[1]
    assert again.drop_attrs().identical(whole.drop_attrs())
    assert np.isfinite(again["boundary"].values).all()
