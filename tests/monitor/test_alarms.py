"""An alarm closes the window at once, and is withdrawn where later measurements do not confirm it."""

from __future__ import annotations

import numpy as np
import pytest

from diffclaims.monitor.alarms import began, standing_since
from diffclaims.monitor.window import window


@pytest.mark.parametrize(
    ("raised", "since"),
    [
        ("", None),
        ("0", None),
        ("1", 0),
        ("11", 0),
        ("10", None),
        ("100000", None),
        ("1100000", None),
        ("110", 0),
        ("1101", 0),
        ("0001", 3),
        ("0010", None),
        ("00110", 2),
        ("1100011", 5),
        ("1001", 3),
        ("101", 0),
        ("0011111", 2),
    ],
)
def test_since_when_an_alarm_stands(raised, since):
    assert began(np.array([c == "1" for c in raised], dtype=bool)) == since


def test_a_true_alarm_is_never_late():
    """What is memorized from some measurement on is said so at that one, and at each later."""
    for first in range(6):
        raised = np.arange(12) >= first
        assert all(began(raised[:n]) == (first if n > first else None) for n in range(13))


def test_a_time_lies_between_the_measurements_around_it():
    steps = np.array([0.0, 1, 3, 7, 15, 31])
    curve = np.array([0.9, 0.1, 0.1, 0.1, 0.5, 0.9])
    late = standing_since(steps, curve[:, None], 0.25)
    assert 7 < late[0] < 15
    assert standing_since(steps[:4], curve[:4, None], 0.25)[0] == np.inf
    assert standing_since(steps[:1], curve[:1, None], 0.25)[0] == 0
    assert np.isnan(standing_since(steps, np.full((6, 1), -np.inf), 0.25)[0])


def times(learned, memorizing):
    return {"a": {"learned_at": np.full(5, learned), "memorizing_at": np.full(5, memorizing)}}


def test_an_alarm_of_the_last_measurement_alone_is_told_as_that():
    unsure = window(times(10.0, 90.0), 80)
    assert not unsure.open
    assert unsure.reason.endswith("measure once more, for only the last measurement says so of a")
    assert "once more" not in window(times(10.0, 70.0), 80).reason
    assert window(times(10.0, np.inf), 80).open
