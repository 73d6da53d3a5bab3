"""A state of one neuron type is that of the same type counted twice, whose matrices are made in another way."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.theory.neurons import Neurons, neurons
from diffclaims.theory.resolvent import Equations
from diffclaims.theory.state import ByMatrix, ByVector

MIXTURE = GaussianMixture([0.3, 0.7], [[2.8, 0.2], [0.1, 0.9]], fractions=[0.5, 0.5])
MODEL = RandomFeatures(psi_p=8.0, psi_n=4.0, diffusion_time=0.05)
Z = np.array([1.0 + 1j, 0.3 + 0.2j, 2.0 + 0.01j])


@pytest.fixture
def states():
    one = neurons(MIXTURE, MODEL)
    assert one.n_types == 1
    twice = Neurons(
        np.array([0.5, 0.5]),
        *(np.repeat(getattr(one, f.name), 2, axis=0) for f in dataclasses.fields(one)[1:]),
    )
    single, double = Equations(MIXTURE, MODEL, one), Equations(MIXTURE, MODEL, twice)
    y, delta = single.damped(Z, *single.start(Z), 3)
    a = one.a[0]
    coordinates = y * np.array([a[0] * a[0], a[0] * a[1], a[1] * a[1]])
    return single.state(Z, y, delta), double.state(Z, coordinates, delta)


def test_matrices_of_both_forms_agree(states):
    by_vector, by_matrix = states
    assert isinstance(by_vector.form, ByVector)
    assert isinstance(by_matrix.form, ByMatrix)
    for a, b in zip(by_vector.matrices, by_matrix.matrices, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(by_vector.diagonal, by_matrix.diagonal, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(by_vector.q, by_matrix.q[:, :1], rtol=1e-12)


def arrays(state):
    return [*state._arrays, *state.form, *state.matrices, state.diagonal]


@pytest.mark.parametrize("which", [0, 1])
def test_some_points_of_a_state_are_the_state_of_some_points(states, which):
    state = states[which]
    part = state.take(np.array([2, 0]))
    for a, b in zip(arrays(part), arrays(state), strict=True):
        np.testing.assert_array_equal(a, b[[2, 0]])
    # Put elsewhere, and the matrices follow.
    moved = state.put(np.array([1]), part.take(np.array([0])))
    for a, b in zip(arrays(moved), arrays(state), strict=True):
        np.testing.assert_array_equal(a, b[[0, 2, 2]])
    for a, b in zip(arrays(state.with_conjugate()), arrays(state), strict=True):
        np.testing.assert_array_equal(a[3:], np.conj(b))
