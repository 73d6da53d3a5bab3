"""Steps of practice against the flow."""

from __future__ import annotations

import numpy as np
import pytest

from diffclaims import finite
from diffclaims.errors import InvalidInput
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures

QUESTION = (
    GaussianMixture([0.4, 0.6], [1.4, 0.6]),
    RandomFeatures(psi_p=3, psi_n=2, diffusion_time=0.2),
)


def flow_at(run, **more):
    return finite.learning_curves(QUESTION, run.training_time.values, n_dims=16, seeds=2, **more)


def test_gradient_descent_follows_the_flow():
    run = finite.descend(QUESTION, 400, learning_rate=0.05, n_dims=16, seeds=2, records=[1, 20, 400])
    np.testing.assert_allclose(run.training_time, [0.05, 1.0, 20.0])
    np.testing.assert_allclose(run.test_loss, flow_at(run).test_loss, atol=2e-3)
    np.testing.assert_allclose(run.train_loss, flow_at(run).train_loss, atol=2e-3)


def test_sgd_follows_the_flow_more_closely_with_smaller_steps():
    off = []
    for rate, n in ((0.4, 50), (0.02, 1000)):
        run = finite.descend(
            QUESTION, n, optimizer="sgd", learning_rate=rate, batch_size=64, n_dims=16, seeds=2, records=[n]
        )
        off.append(float(np.abs(run.test_loss.values - flow_at(run).test_loss.values).max()))
    assert off[1] < 0.02
    assert off[1] < off[0] / 4


def test_adam_learns_and_counts_steps():
    run = finite.descend(QUESTION, 300, optimizer="adam", n_dims=16, seeds=2)
    assert run.attrs["training_time_is"] == "step"
    assert run.training_time.values[-1] == 300
    assert (run.train_loss.isel(training_time=-1) < 0.95).all()
    assert run.attrs["learning_rate"] == 1e-2


def test_default_step_is_stable_and_a_larger_one_is_refused():
    run = finite.descend(QUESTION, 50, n_dims=16, seeds=1)
    assert (run.train_loss.diff("training_time").sum("class") < 1e-9).all()
    with pytest.raises(InvalidInput, match="where gradient descent diverges"):
        finite.descend(QUESTION, 5, learning_rate=4.1 * run.attrs["learning_rate"], n_dims=16, seeds=1)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"n_steps": 0}, "n_steps = 0"),
        ({"optimizer": "lion"}, "optimizer = 'lion'"),
        ({"learning_rate": -1.0}, "learning_rate = -1.0"),
        ({"batch_size": 0}, "batch_size = 0"),
        ({"records": [5, 3]}, "records"),
        ({"records": [1.5]}, "records"),
    ],
)
def test_bad_input_says_what_to_do(arguments, match):
    with pytest.raises(InvalidInput, match=match):
        finite.descend(QUESTION, **{"n_steps": 10, "n_dims": 10, "seeds": 1, **arguments})
