"""What pairs of points share: sums over direction types, averages over neuron types; of several problems, of each."""

import numpy as np
import pytest

from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.theory.contractions import Contractions, matmul
from diffclaims.theory.kernels import loss_kernels
from diffclaims.theory.off_axis import solve_off_axis
from diffclaims.theory.products import TypeProducts
from diffclaims.theory.resolvent import Equations
from diffclaims.theory.small import upper_triangle
from diffclaims.theory.stack import Stack
from diffclaims.theory.theta import ThetaRule
from tests.theory.reference import equations

Z = np.geomspace(0.1, 10, 5) * np.exp(1j)


def gaussian(rng, *shape):
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)


def symmetric(rng, *shape):
    matrix = gaussian(rng, *shape)
    return matrix + np.swapaxes(matrix, -1, -2)


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("n_types", [1, 3])
@pytest.mark.parametrize("elementary", [True, False])
def test_sums_over_direction_types(count, n_types, elementary):
    rng = np.random.default_rng(count)
    i, j = upper_triangle(count)
    basis = np.zeros((i.size, count, count))
    basis[np.arange(i.size), i, j] = basis[np.arange(i.size), j, i] = 1.0
    along = Contractions(basis, elementary=elementary)
    one, two = (symmetric(rng, n, n_types, count, count) for n in (2, 3))
    expected = np.einsum("xab,njbc,ycd,mjda->xynm", basis, one, basis, two)
    np.testing.assert_allclose(along.between(one, two), expected, atol=1e-12)
    one, two = (gaussian(rng, n, n_types, count, 5) for n in (2, 3))
    expected = np.einsum("njac,xab,mjbc->xcnm", one, basis, two)
    np.testing.assert_allclose(along.columns(one, two), expected, atol=1e-12)
    np.testing.assert_allclose(along.entries(one, two), np.einsum("njab,mjab->abnm", one, two), atol=1e-12)


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("basis", ["elementary", "any", "of each problem"])
def test_sums_of_several_problems_are_those_of_each(count, basis):
    rng = np.random.default_rng(count)
    i, j = upper_triangle(count)
    matrices = np.zeros((i.size, count, count))
    matrices[np.arange(i.size), i, j] = matrices[np.arange(i.size), j, i] = 1.0
    if basis == "of each problem":
        matrices = matrices[:, None] * np.arange(1.0, 4.0)[:, None, None]
    along = Contractions(matrices, elementary=basis == "elementary")
    one, two = (symmetric(rng, 3, n, 2, count, count) for n in (2, 4))
    for name in ("between", "columns", "entries"):
        got = getattr(along, name)(one, two)
        for problem in range(3):
            own = matrices[:, problem] if basis == "of each problem" else matrices
            alone = Contractions(own, elementary=along.elementary)
            expected = getattr(alone, name)(one[problem], two[problem])
            np.testing.assert_allclose(got[:, :, problem], expected, atol=1e-12)


@pytest.mark.parametrize("size", [1, 3, 9])
@pytest.mark.parametrize("gathered", [True, False])
def test_matrices_are_multiplied_wherever_they_lie(size, gathered):
    rng = np.random.default_rng(size)
    left, right = gaussian(rng, 7, size, 2, 3), gaussian(rng, size, 4, 2, 3)
    if gathered:
        left, right = (
            np.moveaxis(np.ascontiguousarray(np.moveaxis(m, (0, 1), (2, 3))), (2, 3), (0, 1))
            for m in (left, right)
        )
    np.testing.assert_allclose(matmul(left, right), np.einsum("abnm,bcnm->acnm", left, right), atol=1e-12)


@pytest.mark.parametrize(("count", "max_rank"), [(2, None), (3, None), (4, 6)])
def test_averages_of_two_resolvents_and_two_functions(count, max_rank):
    span = np.random.default_rng(count).normal(size=(count, 2))
    mixture = GaussianMixture(np.full(count, 1 / count), np.linspace(0.5, 2, count), (1.0,), span @ span.T)
    types = equations(mixture, RandomFeatures(psi_p=3, psi_n=2, diffusion_time=0.1)).neurons
    eq = Equations(mixture, RandomFeatures(psi_p=3, psi_n=2, diffusion_time=0.1), types, max_rank)
    state, _ = solve_off_axis(eq, Z)
    got = TypeProducts.of(eq, state, 1e-12).at(np.arange(2), np.array([1, 4, 5, 9]))
    one, two = state.q[:2], np.concatenate([state.q, state.q.conj()])[[1, 4, 5, 9]]
    p, v2, s2 = eq.p, types.v2, types.s2
    for found, f, g in zip(got, (p, p, v2, s2, s2), (p, v2, v2, p, v2), strict=True):
        expected = 3 * np.einsum("t,nt,mt,tf,tg->fgnm", types.weight, one, two, f, g, optimize=True)
        np.testing.assert_allclose(found, expected, atol=1e-10 * np.abs(expected).max())


@pytest.mark.parametrize(("count", "centroids"), [(1, 1.0), (2, 0.0), (2, 1.0), (3, 1.0), (4, 1.0)])
def test_kernels_of_several_problems_are_those_of_each(count, centroids):
    members = []
    for scale, psi_n in ((0.3, 0.7), (1.0, 2.0), (2.0, 8.0)):
        variances = scale * np.stack([np.linspace(0.5, 2, count), np.linspace(1, 0.2, count)], axis=1)
        gram = scale * centroids * np.eye(count) if count > 1 else [[scale]]
        mixture = GaussianMixture(np.full(count, 1 / count), variances, (0.3, 0.7), gram)
        rule = ThetaRule(log2_points=6)
        model = RandomFeatures(psi_p=3 * scale, psi_n=psi_n, diffusion_time=0.1)
        members.append(equations(mixture, model, rule=rule))
    states = [solve_off_axis(one, Z)[0] for one in members]
    stack = Stack(members, Z.size)
    state = stack.state(
        *(np.concatenate([getattr(one, name) for one in states]) for name in ("z", "y", "delta"))
    )
    got = loss_kernels(stack, state)
    for problem, (one, its) in enumerate(zip(members, states, strict=True)):
        expected = loss_kernels(one, its)
        for name in ("test", "train"):
            value = getattr(expected, name)
            found = getattr(got, name)[:, problem]
            np.testing.assert_allclose(found, value, rtol=0, atol=1e-12 * np.abs(value).max())
