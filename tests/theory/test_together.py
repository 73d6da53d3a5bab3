"""Problems that are solved together: the numbers are those of each alone."""

import numpy as np
import pytest

from diffclaims.errors import InvalidInput, SolveFailed
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.theory import losses as module
from diffclaims.theory.curves import asking_curves, learning_curves
from diffclaims.theory.losses import Problem, losses
from diffclaims.theory.neurons import neurons
from diffclaims.theory.outcome import Diagnosis, SolverOutcome
from diffclaims.theory.resolvent import Equations
from diffclaims.theory.stack import Stack, kind
from diffclaims.theory.theta import ThetaRule
from diffclaims.theory.together import _groups, together

TIMES = np.geomspace(0.1, 1e4, 20)


def model(psi_n=4.0, psi_p=8.0, diffusion_time=0.05):
    return RandomFeatures(psi_p=psi_p, psi_n=psi_n, diffusion_time=diffusion_time)


def two(weight, ratio, norm=0.0):
    return GaussianMixture([weight, 1 - weight], [ratio, 1.0], centroid_gram=[[norm, 0.0], [0.0, 2 * norm]])


MODELS = [model(), model(psi_n=0.7), model(psi_p=20.0, diffusion_time=0.3)]
STACKS = {
    "one type": [(two(0.5, 2.0), MODELS[0]), (two(0.1, 1.3), MODELS[1]), (two(0.9, 4.0), MODELS[2])],
    # The last has more neuron types than the others.
    "centroids": [
        (two(0.5, 2.0, 1.0), MODELS[0]), (two(0.1, 1.3, 0.2), MODELS[1]), (two(0.3, 0.5, 40.0), MODELS[2])
    ],
    "one class": [(GaussianMixture([1.0], [v], centroid_gram=[[c]]), m)
                  for v, c, m in zip((0.5, 1.0, 3.0), (1.0, 0.5, 2.0), MODELS, strict=True)],
    "three classes, two types of directions": [
        (GaussianMixture([0.2, 0.3, 0.5], [[1.0, 0.2], [v, 1.0], [0.3, 2.0]], [0.3, 0.7], np.eye(3) * v), m)
        for v, m in zip((0.5, 1.0, 2.0), MODELS, strict=True)
    ],
}  # fmt: skip


def problems(name, filter_error=1e-9, coarser=(None, None, None), level=0):
    return [
        Problem(
            Equations(mixture, model, neurons(mixture, model, rule=ThetaRule(per_width=0.75).refined(level))),
            TIMES * (1 + i / 3),
            filter_error,
            compression=1e-9,
            coarser=before,
        )
        for i, ((mixture, model), before) in enumerate(zip(STACKS[name], coarser, strict=True))
    ]


@pytest.mark.parametrize("name", STACKS)
def test_losses_are_those_of_each_alone(name):
    several = problems(name)
    assert len({kind(one.equations) for one in several}) == 1
    found = losses(several)
    alone = [losses([one])[0] for one in several]
    for got, expected in zip(found, alone, strict=True):
        np.testing.assert_allclose(got.test, expected.test, rtol=0, atol=1e-8)
        np.testing.assert_allclose(got.train, expected.train, rtol=0, atol=1e-8)
    # From a solution at another resolution as well, wherever it was found.
    finer = problems(name, 1e-10, [found[0], alone[1], found[2]], level=1)
    from_known = losses(finer)
    for got, one in zip(from_known, finer, strict=True):
        expected = losses([one._replace(coarser=None)])[0]
        np.testing.assert_allclose(got.test, expected.test, rtol=0, atol=1e-8)
        assert got.diagnosis.steps < expected.diagnosis.steps


def test_a_problem_that_is_done_is_left_alone():
    several = problems("centroids")
    stack = Stack([one.equations for one in several], 5)
    bad = np.zeros(15, dtype=bool)
    bad[12] = True
    index, these = stack.unfinished(bad)
    assert index.tolist() == [10, 11, 12, 13, 14]
    z = np.exp(1.9j) * np.geomspace(0.1, 10, 5)
    start = these.damped(z, *these.start(z), 3)
    own = several[2].equations
    expected = own.damped(z, *own.start(z), 3)
    for got, value in zip(start, expected, strict=True):
        np.testing.assert_allclose(got, value, rtol=1e-12)
    assert stack.unfinished(np.ones(15, dtype=bool))[1] is stack


def test_what_is_not_solved_together_is_solved_alone(monkeypatch):
    several = problems("one type")
    expected = [losses([one])[0] for one in several]
    solve = module.solve_off_axis

    def fails(equations, *args, **options):
        state, diagnosis = solve(equations, *args, **options)
        if isinstance(equations, Stack):
            diagnosis = Diagnosis(outcome=SolverOutcome.MAX_STEPS, residual=1.0, steps=1)
        return state, diagnosis

    monkeypatch.setattr(module, "solve_off_axis", fails)
    for got, one in zip(losses(several), expected, strict=True):
        np.testing.assert_array_equal(got.test, one.test)
        assert got.diagnosis.ok


def test_curves_and_errors_come_back_in_order():
    far = GaussianMixture(np.full(5, 0.2), np.ones(5), centroid_gram=30 * np.eye(5))
    asked = [
        asking_curves(*STACKS["centroids"][0], TIMES, accuracy=1e-4),
        asking_curves(far, model(), TIMES, accuracy=1e-9),
        asking_curves(*STACKS["one type"][0], TIMES, accuracy=1e-4),
        asking_curves(*STACKS["centroids"][1], [3.0, 1.0]),
        asking_curves(*STACKS["centroids"][1], TIMES, accuracy=1e-4),
    ]
    one, refused, other, wrong, last = together(asked)
    assert isinstance(refused, SolveFailed)
    assert isinstance(wrong, InvalidInput)
    for got, (mixture, its) in (
        (one, STACKS["centroids"][0]), (other, STACKS["one type"][0]), (last, STACKS["centroids"][1])
    ):  # fmt: skip
        expected = learning_curves(mixture, its, TIMES, accuracy=1e-8)
        assert got.attrs["accuracy"] <= 1e-4
        moved = np.abs(got["test_loss"] - expected["test_loss"]).max()
        assert moved <= got.attrs["accuracy"]


def test_only_problems_of_a_kind_go_together():
    waiting = dict(enumerate([*problems("one type"), *problems("centroids"), *problems("one class")]))
    assert sorted(map(sorted, _groups(waiting))) == [[0, 1, 2], [3, 4], [5], [6, 7, 8]]
    compressed = Equations(*STACKS["three classes, two types of directions"][0], neurons(
        *STACKS["three classes, two types of directions"][0]), max_rank=2)  # fmt: skip
    assert kind(compressed) is None
