"""Gaussian mixtures: validation, derived quantities, written form."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffclaims.errors import InvalidInput
from diffclaims.problem.mixture import GaussianMixture


def test_a_vector_of_variances_is_one_direction_type():
    mixture = GaussianMixture([0.5, 0.5], [2.0, 1.0])
    assert mixture.variances.shape == (2, 1)
    assert (mixture.n_classes, mixture.n_types) == (2, 1)
    assert mixture.is_isotropic
    assert not mixture.centroid_gram.any()


def test_derived_quantities():
    mixture = GaussianMixture(
        [0.3, 0.7], [[2.8, 0.2], [0.1, 0.9]], [0.5, 0.5], centroid_gram=[[1.0, 0.3], [0.3, 4.0]]
    )
    np.testing.assert_allclose(mixture.class_variance, [1.5, 0.5])
    np.testing.assert_allclose(mixture.effective_dimension, [2.25 / 3.94, 0.25 / 0.41])
    np.testing.assert_allclose(mixture.centroid_norms, [1, 2])
    assert not mixture.is_isotropic


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=6), st.floats(0.1, 100))
def test_an_isotropic_class_has_full_effective_dimension_at_any_scale(variances, scale):
    weights = np.full(len(variances), 1 / len(variances))
    mixture = GaussianMixture(weights, np.array(variances) * scale)
    np.testing.assert_allclose(mixture.effective_dimension, 1)
    np.testing.assert_allclose(mixture.class_variance, np.array(variances) * scale)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5, 0.4], [1, 1]), r"weights = .* must sum to 1 \(their sum is 0.9\); divide them by 0.9"),
        (([0.5, 0.5, 0.0], [1, 1, 1]), "weights must be positive"),
        (([[0.5, 0.5]], [1, 1]), "weights must be one-dimensional"),
        (([], []), "hold at least one number"),
        ((["a"], [1]), "array of real numbers"),
        (([0.5, np.nan], [1, 1]), "weights must be finite"),
        ((np.ma.masked_equal([0.5, 0.5, 0.2], 0.2), [1, 1]), "weights must have none masked"),
        (([0.5, 0.5], np.ma.masked_equal([1.0, 9.0], 9)), "variances must have none masked"),
        (([0.5, 0.5], [1, 1, 1]), r"have shape \(2, 1\)"),
        (([0.5, 0.5], [1, 1], [0.5, 0.5]), r"have shape \(2, 2\)"),
        (([0.5, 0.5], [1, -1]), "variances .* be >= 0"),
        (([0.5, 0.5], [1, 0]), "positive in at least one direction type"),
        (([1.0], [[1, 1]], [0.5, 0.6]), "fractions must sum to 1"),
        (([0.5, 0.5], [1, 1], [1.0], np.eye(3)), r"centroid_gram must have shape \(2, 2\)"),
        (([0.5, 0.5], [1, 1], [1.0], [[1, 0.5], [0, 1]]), "be symmetric"),
        (([0.5, 0.5], [1, 1], [1.0], [[1, 2], [2, 1]]), "positive semi-definite .* -1"),
    ],
)
def test_bad_input_names_value_limit_and_fix(arguments, message):
    with pytest.raises(InvalidInput, match=message):
        GaussianMixture(*arguments)


def test_a_mixture_cannot_be_changed():
    weights = np.array([0.5, 0.5])
    mixture = GaussianMixture(weights, [1.0, 2.0])
    weights[0] = 9
    assert mixture.weights[0] == 0.5
    with pytest.raises(ValueError, match="read-only"):
        mixture.weights[0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        mixture.weights = weights


def test_the_written_form_gives_the_same_mixture():
    mixture = GaussianMixture([0.25, 0.75], [[1 / 3, 2], [0.1, 0.7]], [0.3, 0.7], [[1, 0.1], [0.1, 2]])
    again = GaussianMixture.from_dict(json.loads(json.dumps(mixture.to_dict())))
    assert again == mixture
    assert hash(again) == hash(mixture)
    assert again != GaussianMixture([0.25, 0.75], [1.0, 2.0])
    assert mixture != "a mixture"


def test_repr_can_be_pasted():
    mixture = GaussianMixture([0.25, 0.75], [1.0, 2.0], centroid_gram=[[1, 0], [0, 1]])
    assert eval(repr(mixture)) == mixture
