import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffclaims.errors import SolveFailed
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.theory.off_axis import solve_off_axis
from diffclaims.theory.outcome import Diagnosis, SolverOutcome
from tests.theory.reference import CASES, equations, mixtures, models

Z = np.concatenate([np.geomspace(1e-2, 50, 12) * np.exp(1j * a) for a in (0.1, 0.8, 2.5)])


def published(eq, state):
    """Mismatch of the three saddle-point equations of arXiv:2505.17638, relative to their terms.

    Their a_t^2 is e^{-2t} a^2 and their b_t^2 is Delta a^2; E averages over the covariance's spectrum.
    """
    model, m, n = eq.model, eq.mixture, eq.neurons
    psi_p, psi_n = model.psi_p, model.psi_n
    a2, b2 = model.signal * n.a[0, 0] ** 2, model.noise * n.a[0, 0] ** 2
    v2, s2 = n.v2[0, 0], n.s2[0, 0]
    z, q = state.z, state.q[:, 0]
    r = (state.delta[:, 0] * psi_n / psi_p - v2 * q) / a2
    denominator = 1 + a2 * psi_p / psi_n * r + psi_p * v2 / psi_n * q
    s_hat = b2 * psi_p + 1 / q
    r_hat = psi_p * a2 / denominator
    inner = 1 / (s_hat[:, None] + m.variances[0] * r_hat[:, None])
    s = inner @ m.fractions
    mismatch_r = r / (inner @ (m.fractions * m.variances[0])) - 1
    terms = np.stack([psi_p * (s2 - z), psi_p * v2 / denominator, (1 - psi_p) / q, -s / q**2])
    return np.abs(mismatch_r).max(), (np.abs(terms.sum(axis=0)) / np.abs(terms).max(axis=0)).max()


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize(("psi_p", "psi_n"), [(8, 4), (2, 9), (64, 4)])
def test_one_class_satisfies_the_published_equations(psi_p, psi_n, activation):
    model = RandomFeatures(psi_p=psi_p, psi_n=psi_n, diffusion_time=0.01, activation=activation)
    eq = equations(GaussianMixture([1.0], [[0.5, 1.5]], (0.5, 0.5)), model)
    state, diagnosis = solve_off_axis(eq, Z)
    assert diagnosis.ok
    assert max(published(eq, state)) < 1e-9


def direct(eq, state):
    """Right-hand sides as the derivation writes them, one point and one neuron type at a time."""
    m, model, n = eq.mixture, eq.model, eq.neurons
    k = m.n_classes
    worst = 0.0
    for i, z in enumerate(state.z):
        delta = state.delta[i]
        y = model.psi_p * np.einsum("t,t,ta,tb->ab", n.weight, state.q[i], n.a, n.a)
        sigma = [np.diag(m.weights * (model.signal * s / (1 + delta) + model.noise)) for s in m.variances.T]
        om = [y @ np.linalg.inv(np.eye(k) + s @ y) for s in sigma]
        psi = [s @ np.linalg.inv(np.eye(k) + y @ s) for s in sigma]
        phi = sum(f * p for f, p in zip(m.fractions, psi, strict=True))
        zeta = (n.s2 + n.v2 / (1 + delta)) @ m.weights - z
        q = 1 / (zeta + np.einsum("ta,ab,tb->t", n.a, phi, n.a))
        new = model.signal * sum(
            f * m.variances[:, j] * np.diag(o) for j, (f, o) in enumerate(zip(m.fractions, om, strict=True))
        )
        new = (new + model.psi_p * (n.weight * q) @ n.v2) / model.psi_n
        worst = max(worst, np.abs(q / state.q[i] - 1).max(), np.abs(new / delta - 1).max())
    return worst


@settings(max_examples=8)
@given(mixtures(), models())
def test_many_classes_satisfy_the_equations_as_derived(mixture, model):
    eq = equations(mixture, model)
    state, diagnosis = solve_off_axis(eq, Z[::5])
    assert diagnosis.ok
    assert diagnosis.residual <= 1e-12
    assert diagnosis.steps > 0
    assert direct(eq, state) < 1e-9
    assert (state.q.imag >= 0).all()


@settings(max_examples=8)
@given(mixtures(), models(), st.integers(0, 1000))
def test_derivative_by_differences(mixture, model, seed):
    eq = equations(mixture, model)
    state, _ = solve_off_axis(eq, Z[3:4])
    rng = np.random.default_rng(seed)
    size = eq.rank + mixture.n_classes
    step = 1e-6 * (rng.normal(size=size) + 1j * rng.normal(size=size))
    step[: eq.rank] *= np.abs(state.y).max()
    step[eq.rank :] *= np.abs(state.delta).max()

    def image(sign):
        moved = eq.state(state.z, state.y + sign * step[: eq.rank], state.delta + sign * step[eq.rank :])
        return eq.image(moved)[0]

    numeric = (image(1) - image(-1)) / 2
    exact = eq.derivative(state)[0] @ step
    np.testing.assert_allclose(exact, numeric, atol=1e-6 * np.abs(numeric).max())


@pytest.mark.parametrize("name", CASES)
def test_far_away_it_is_minus_one_over_z(name):
    eq = equations(CASES[name].mixture, CASES[name].model)
    z = 1e6 * eq.highest() * np.array([1j, np.exp(0.3j)])
    state, _ = solve_off_axis(eq, z)
    np.testing.assert_allclose(state.q * z[:, None], -1.0, atol=1e-5)


def test_bounds_enclose_the_spectrum():
    eq = equations(CASES["centroids"].mixture, CASES["centroids"].model)
    for x in (0.999 * eq.lowest(), 1.001 * eq.highest()):
        state, _ = solve_off_axis(eq, np.array([x * (1 + 1e-8j)]))
        assert state.q.imag.max() < 1e-5 * np.abs(state.q).max()


def test_too_few_steps_are_reported():
    eq = equations(CASES["isotropic"].mixture, CASES["isotropic"].model)
    _, diagnosis = solve_off_axis(eq, np.array([1.0 + 1e-9j]), warm_up=0, max_rounds=0)
    assert diagnosis.outcome is SolverOutcome.MAX_STEPS
    assert not diagnosis.ok


def test_a_diagnosis_raises_its_sentence():
    Diagnosis(outcome=SolverOutcome.CONVERGED, residual=0.0, steps=1).require("it")
    with pytest.raises(SolveFailed, match=r"it: .* \(residual 2\.0e-01 after 7 steps\)"):
        Diagnosis(outcome=SolverOutcome.MAX_STEPS, residual=0.2, steps=7).require("it")
