import numpy as np
import pytest

from diffclaims.theory.axis import solve_on_axis
from diffclaims.theory.newton import newton
from diffclaims.theory.resolvent import Equations
from diffclaims.theory.spectrum import AXIS_RULE, spectrum
from tests.theory.hard import many_classes
from tests.theory.reference import CASES, equations


def between(name):
    """Equations, and eigenvalues below the support and next to its lower edge, inside."""
    mixture, model, *_ = CASES[name]
    lower = spectrum(mixture, model).bulk_edge.values[0, 0]
    return equations(mixture, model, rule=AXIS_RULE, n_normal=2), 0.9 * lower, 1.00001 * lower


@pytest.mark.parametrize("name", CASES)
def test_what_is_real_stays_real(name):
    eq, below, _ = between(name)
    right, _ = solve_on_axis(eq, np.array([below]))
    y, delta = 1.001 * right.y.real, 1.001 * right.delta.real
    state, size, steps = newton(eq, right.z.real, y, delta, tolerance=1e-10, max_steps=9)
    assert size[0] < 1e-10
    assert 0 < steps < 9
    assert state.q.dtype == state.psi.dtype == float
    np.testing.assert_allclose(state.q, right.q.real, rtol=1e-7)
    complex_steps = newton(eq, right.z, y + 0j, delta + 0j, tolerance=1e-10, max_steps=9)
    np.testing.assert_allclose(complex_steps[0].q, state.q, rtol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_points_that_lead_nowhere_are_given_up(name):
    eq, below, inside = between(name)
    right, _ = solve_on_axis(eq, np.array([below, inside]))
    # Inside, the solution is complex: from the real part there is none near to come to.
    start = right.z.real, right.y.real.copy(), right.delta.real.copy()
    before = [x.copy() for x in start]
    state, size, steps = newton(eq, *start, tolerance=1e-10, max_steps=100, patience=0)
    assert size[0] <= 1e-10 < size[1]
    assert steps < 5
    np.testing.assert_allclose(state.q[0], right.q[0].real, rtol=1e-7)
    assert newton(eq, *start, tolerance=1e-10, max_steps=100)[2] > 2 * steps
    for kept, was in zip(start, before, strict=True):
        np.testing.assert_array_equal(kept, was)


@pytest.mark.parametrize(("n_classes", "max_rank"), [(4, None), (4, 5), (7, None)])
def test_derivative_of_few_and_many_classes_and_with_directions_left_out(n_classes, max_rank):
    mixture, model = many_classes(n_classes)
    eq = Equations(mixture, model, equations(mixture, model).neurons, max_rank)
    assert eq.compressed is (max_rank is not None)
    z = np.array([0.5 + 0.5j])
    y, delta = eq.damped(z, *eq.start(z), 30)
    exact = eq.derivative(eq.state(z, y, delta))[0]
    for i in range(eq.rank + mixture.n_classes):
        step = np.zeros(exact.shape[0])
        step[i] = 1e-5
        ends = [
            eq.image(eq.state(z, y + sign * step[: eq.rank], delta + sign * step[eq.rank :]))[0]
            for sign in (1, -1)
        ]
        numeric = (ends[0] - ends[1]) / 2e-5
        np.testing.assert_allclose(exact[:, i], numeric, atol=1e-7 * np.abs(exact).max())
