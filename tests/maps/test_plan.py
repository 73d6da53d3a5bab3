"""What may be asked of a map, and what is refused."""

import numpy as np
import pytest

from diffclaims import InvalidInput, load_claims
from diffclaims.api.claim import find_claim
from diffclaims.studies.maps import Plan, Range
from diffclaims.studies.maps.plan import parse_at


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rato=1..4", "did you mean 'ratio'\\? Available: ratio .*; scale .*; offset"),
        ("ratio=4..1", "rise from LOW to HIGH"),
        ("ratio=1", "have the form NAME=LOW..HIGH"),
        ("ratio=a..b", "have the form NAME=LOW..HIGH"),
        ("ratio=1..4000", "lie in 0.01..100"),
        ("ratio=1..nan", "rise|lie in"),
        ("ratio=1..4:sqrt", "be log or linear"),
        ("offset=-1..1:log", "start above 0 on a log scale"),
    ],
)
def test_bad_ranges_are_refused(plan, text, message):
    with pytest.raises(InvalidInput, match=message):
        plan(text)


@pytest.mark.parametrize(
    ("texts", "more", "message"),
    [
        (["ratio=1..4", "ratio=1..2"], {}, "different ones"),
        (["ratio=1..4"], {"along": "scale"}, "be one of the axes"),
        (["ratio=1..4"], {"at": {"ratio": 2.0}}, "not be an axis of the map"),
        (["ratio=1..4"], {"at": {"scale": 20.0}}, "lie in 0..10"),
        (["ratio=1..4"], {"at": {"scale": "far"}}, "be a number"),
        (["ratio=1..4"], {"at": {"depth": 1.0}}, "be an axis of this claim"),
        (["ratio=1..4"], {"at": {"level": "most"}}, "be one of \\['half', 'third'\\]"),
        (["ratio=1..4"], {"points": -1}, "be 1 or more"),
        (["ratio=1..4"], {"accuracy": 2.0}, "between 0 and 1"),
        (["ratio=1..4"], {"n": 1}, "be 2 or more"),
    ],
)
def test_bad_plans_are_refused(plan, texts, more, message):
    with pytest.raises(InvalidInput, match=message):
        plan(*texts, **more)


def test_values_are_equidistant_on_their_own_scale(plan):
    values = plan("ratio=0.5..8").line.values()
    np.testing.assert_allclose(values, [0.5, 1, 2, 4, 8])
    assert values[0] == 0.5
    assert values[-1] == 8
    np.testing.assert_allclose(plan("ratio=1..5:linear").line.values(), [1, 2, 3, 4, 5])


def test_quasi_random_points_lie_within_and_are_reproducible(plan):
    one = plan("ratio=0.5..8", "offset=-1..2", points=50)
    points = one.scattered()
    assert points.shape == (50, 2)
    assert points[:, 0].min() >= 0.5
    assert points[:, 0].max() <= 8
    assert points[:, 1].min() >= -1
    assert points[:, 1].max() <= 2
    # Half of them below the middle of each axis, on its own scale.
    assert abs((points[:, 0] < 2).sum() - 25) <= 2
    assert abs((points[:, 1] < 0.5).sum() - 25) <= 2
    np.testing.assert_array_equal(points, Plan.from_json(one.to_json()).scattered())
    assert not np.array_equal(points, plan("ratio=0.5..8", "offset=-1..2", points=50, seed=1).scattered())


def test_a_plan_survives_json(plan):
    one = plan("ratio=0.5..8", "offset=-1..2", at={"scale": 2.0, "level": "third"}, along="ratio", points=3)
    assert Plan.from_json(one.to_json()) == one


def test_fixed_values_are_read_from_words():
    assert parse_at(["psi_n=8", "milestone=gen"]) == {"psi_n": 8.0, "milestone": "gen"}
    for words in (["psi_n"], ["=1"], ["a="], ["a=1", "a=2"]):
        with pytest.raises(InvalidInput, match="NAME=VALUE"):
            parse_at(words)


def test_an_unknown_claim_lists_all():
    with pytest.raises(InvalidInput, match=r"be one of .*variance-order"):
        find_claim("variance")


@pytest.mark.parametrize("claim", load_claims(), ids=lambda c: c.id)
def test_every_claim_has_axes_whose_defaults_make_a_case(claim):
    axes = claim.space
    assert axes is not None
    case = axes.point({}, {})
    assert case.experiments
    for axis in axes.axes:
        assert axis.low <= axis.default <= axis.high
        low = axis.low if axis.low > 0 or axis.scale == "linear" else 1e-3
        for value in (low, axis.high):
            assert axes.point({axis.name: value}, {}).experiments
    for name, allowed in axes.options.items():
        assert axes.point({}, {name: allowed[-1]}).params[name] == allowed[-1]


def test_a_range_needs_known_axes(plan):
    assert isinstance(plan("ratio=1..4").ranges[0], Range)
