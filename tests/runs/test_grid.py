"""Steps that trainings have in common, and values between two measurements."""

from __future__ import annotations

import numpy as np
import pytest

from diffclaims.errors import NotMeasured
from diffclaims.runs.grid import Grid, at, common

DENSE = np.array([0, 1, 2, 4, 8, 16, 32, 64, 128])


def test_what_all_have_is_kept():
    found = common([DENSE, DENSE], "x")
    assert found.steps.tolist() == DENSE.tolist()
    assert found.interpolated == 0


def test_a_step_between_near_measurements_is_kept_and_one_between_far_ones_is_not():
    near = np.array([0, 1, 2, 4, 7, 16, 32, 64, 128])
    found = common([DENSE, near], "x")
    assert found.steps.tolist() == [0, 1, 2, 4, 7, 8, 16, 32, 64, 128]
    assert (found.interpolated, found.of) == (2, 18)
    far = np.array([0, 1, 2, 4, 16, 32, 64, 128])
    assert 8 not in common([DENSE, far], "x").steps


def test_nothing_is_known_beyond_the_first_and_the_last():
    short = np.array([0, 2, 4, 8, 16, 32, 64])
    assert common([DENSE, short], "x").steps.tolist() == short.tolist()


@pytest.mark.parametrize("other", [[0, 1, 2, 4, 8], [0, 200, 400], [0]])
def test_too_few_are_refused(other):
    with pytest.raises(NotMeasured, match=r"x: its 2 trainings have \d steps in common"):
        common([DENSE, np.array(other)], "x")


def test_values_between_are_linear_in_the_logarithm_and_measured_ones_stay():
    measured = np.array([0, 1, 3, 10])
    values = np.stack([np.log1p(measured) * 0 + 5, np.log(np.maximum(measured, 1))], axis=1)
    values[0] = 99.0
    found = at(Grid(np.array([0.0, 1, 2, 3, 7, 10]), 2, 5), measured, values)
    np.testing.assert_allclose(found[0], 99)
    np.testing.assert_allclose(found[1:, 0], 5)
    np.testing.assert_allclose(found[1:, 1], np.log([1, 2, 3, 7, 10]))
