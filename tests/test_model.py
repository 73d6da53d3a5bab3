"""The random-features model: validation and derived rates."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erf

from diffclaims.errors import InvalidInput
from diffclaims.problem.model import RandomFeatures


def model(**changes):
    return RandomFeatures(**({"psi_p": 8.0, "psi_n": 4.0, "diffusion_time": 0.1} | changes))


def test_rates():
    one = model()
    assert one.signal == pytest.approx(np.exp(-0.2))
    assert one.signal + one.noise == pytest.approx(1)
    assert one.kappa == pytest.approx(2 * (1 - np.exp(-0.2)) / 8)


def test_the_noise_is_precise_at_small_times():
    assert model(diffusion_time=1e-12).noise == pytest.approx(2e-12, rel=1e-9)


@pytest.mark.parametrize(
    ("name", "function"), [("tanh", np.tanh), ("erf", erf), ("relu", lambda x: np.maximum(x, 0))]
)
def test_activations(name, function):
    x = np.linspace(-2, 2, 9)
    np.testing.assert_array_equal(model(activation=name).act(x), function(x))
    np.testing.assert_array_equal(model(activation=function).act(x), function(x))


@pytest.mark.parametrize("name", ["psi_p", "psi_n", "diffusion_time"])
@pytest.mark.parametrize("value", [0, -1, np.inf, np.nan, "many", None, True])
def test_sizes_and_times_are_positive_numbers(name, value):
    with pytest.raises(InvalidInput, match=f"{name} must be a finite number above 0"):
        model(**{name: value})


def fails(x):
    raise RuntimeError("no")


@pytest.mark.parametrize(
    ("activation", "message"),
    [
        ("sigmoid", r"be one of \['erf', 'relu', 'tanh'\]"),
        (lambda x: float(x[0, 0]), "return finite numbers of its argument's shape"),
        (lambda x: x * np.nan, "return finite numbers"),
        (fails, "it raised RuntimeError"),
    ],
)
def test_bad_activations(activation, message):
    with pytest.raises(InvalidInput, match=message):
        model(activation=activation)


def test_the_written_form():
    assert RandomFeatures(**model().to_dict()) == model()
    assert model(activation=np.square).to_dict()["activation"].endswith("square")
