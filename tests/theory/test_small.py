import numpy as np
import pytest

from diffclaims.theory.small import UNROLL, inverted, solve, solve_rows


@pytest.mark.parametrize("size", [1, 2, 3, UNROLL, UNROLL + 1, 9])
@pytest.mark.parametrize("columns", [1, 3])
def test_solves_every_grid_point(size, columns):
    rng = np.random.default_rng(size)
    matrix = np.eye(size)[:, :, None, None] - 0.3 * (
        rng.normal(size=(size, size, 4, 5)) + 1j * rng.normal(size=(size, size, 4, 5))
    ) / np.sqrt(size)
    right = rng.normal(size=(size, columns, 4, 5)) + 1j * rng.normal(size=(size, columns, 4, 5))
    kept = matrix.copy(), right.copy()
    found = solve(matrix, right)
    assert found.shape == right.shape
    np.testing.assert_allclose(np.einsum("abnm,bcnm->acnm", matrix, found), right, atol=1e-12)
    np.testing.assert_array_equal(matrix, kept[0])
    np.testing.assert_array_equal(right, kept[1])


@pytest.mark.parametrize("size", [1, 2, UNROLL, UNROLL + 1])
def test_solves_with_the_grid_first(size):
    rng = np.random.default_rng(size)
    matrix = np.eye(size) + 0.3 * rng.normal(size=(7, size, size)) / np.sqrt(size)
    right = rng.normal(size=(7, size)) + 1j * rng.normal(size=(7, size))
    np.testing.assert_allclose(np.einsum("nij,nj->ni", matrix, solve_rows(matrix, right)), right, atol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 3, 9])
def test_inverts_every_matrix(size):
    rng = np.random.default_rng(size)
    matrix = np.eye(size) + 0.3j * rng.normal(size=(4, 5, size, size)) + rng.normal(size=(4, 5, size, size))
    np.testing.assert_allclose(
        inverted(matrix) @ matrix, np.broadcast_to(np.eye(size), matrix.shape), atol=1e-12
    )
