import sys

import numpy as np
import pytest
from hypothesis import given, settings

from diffclaims.errors import InvalidInput, SolveFailed
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.storage.schema import validate
from diffclaims.theory import axis, bulks
from diffclaims.theory import edges as edges_module
from diffclaims.theory.axis import solve_on_axis
from diffclaims.theory.densities import Known
from diffclaims.theory.off_axis import solve_off_axis
from diffclaims.theory.spectrum import densities, mean_eigenvalue, spectrum
from tests.theory.hard import drawn
from tests.theory.reference import CASES, equations, mixtures, sampled

INTEGRALS = (
    "bulk_mass",
    "bulk_mean",
    "bulk_population_energy",
    "bulk_training_energy",
    "bulk_training_log",
)
ONE = GaussianMixture([1.0], [[0.5, 1.5]], (0.5, 0.5))
PLAIN = {
    "one class": (ONE, RandomFeatures(psi_p=8, psi_n=4, diffusion_time=0.01)),
    "one class, no atom": (ONE, RandomFeatures(psi_p=3, psi_n=4, diffusion_time=0.05)),
    "isotropic": CASES["isotropic"][:2],
    "two direction types": CASES["two direction types"][:2],
    "relu": (ONE, RandomFeatures(psi_p=6, psi_n=2, diffusion_time=0.1, activation="relu")),
}


def moments(mixture, model):
    """First two moments of the spectrum with one neuron type, from Wick's theorem.

    U = M + fluctuation with M = W T W^T/d + c, T_j = sum_k pi_k a_k^2 (e2 s_kj + Delta); the fluctuation of
    n sample covariances S_k adds sum_k pi_k (Tr S_k)^2 / (n p) to tr U^2/p.
    """
    eq = equations(mixture, model)
    a2, v2, s2 = eq.neurons.a[0] ** 2, eq.neurons.v2[0], eq.neurons.s2[0]
    t = (mixture.weights * a2) @ (model.signal * mixture.variances + model.noise)
    c = mixture.weights @ (v2 + s2)
    first, square = mixture.fractions @ t, mixture.fractions @ t**2
    energy = a2 * model.signal * mixture.class_variance + v2
    noise = model.psi_p / model.psi_n * (mixture.weights @ energy**2)
    return first + c, first**2 + model.psi_p * square + 2 * c * first + c**2 + noise


def second_moment(found, mixture, model):
    eq = equations(mixture, model)
    total = float(found.atom_mass * found.atom_eigenvalue**2)
    x, w = np.polynomial.legendre.leggauss(128)
    for lo, hi in found.bulk_edge.values:
        angle = np.pi * (x + 1) / 2
        at = lo * (hi / lo) ** ((1 - np.cos(angle)) / 2)
        weight = at * np.log(hi / lo) * np.pi / 4 * w * np.sin(angle)
        total += densities(eq, at).density @ (weight * at**2)
    return total


@pytest.mark.parametrize("name", PLAIN)
def test_mass_and_two_moments(name):
    mixture, model = PLAIN[name]
    found = spectrum(mixture, model)
    validate(found, "spectrum")
    first, second = moments(mixture, model)
    # Bulks that almost touch are the hardest; the densities themselves are exact.
    assert found.attrs["mass"] == pytest.approx(1.0, abs=5e-5)
    assert found.attrs["first_moment"] == pytest.approx(first, rel=1e-5)
    assert mean_eigenvalue(equations(mixture, model)) == pytest.approx(first, rel=1e-12)
    assert second_moment(found, mixture, model) == pytest.approx(second, rel=1e-5)


#: Two whose memorization bulks nearly part, one with several types of neurons, and drawn ones of both kinds.
REFINED = {
    "majority of higher variance": (
        GaussianMixture([0.9, 0.1], [2.0, 1.0]),
        RandomFeatures(psi_p=64, psi_n=8, diffusion_time=0.01),
    ),
    "more variance, fewer directions": (
        GaussianMixture([0.5, 0.5], [[4.0, 0.1], [0.6, 0.6]], (0.2, 0.8)),
        RandomFeatures(psi_p=64, psi_n=8, diffusion_time=0.01),
    ),
    "centroids": CASES["centroids"][:2],
} | {f"drawn, {i}": drawn()[i] for i in (2, 5, 6, 7, 8)}


@pytest.mark.parametrize("name", REFINED)
def test_no_integral_moves_by_more_than_the_accuracy(name, monkeypatch):
    found = spectrum(*REFINED[name], throw=False)
    # Some nodes more, for what they say of themselves; and eight times as many at least.
    module = sys.modules["diffclaims.theory.spectrum"]
    monkeypatch.setattr(module, "QUADRATURE", (1e-9, 1e-5))
    monkeypatch.setattr(module, "MISSING", 1e-3)
    monkeypatch.setattr(bulks, "FEWEST", 512)
    finer = spectrum(*REFINED[name], throw=False)
    moved = max(float(abs(found[v] - finer[v]).max()) for v in INTEGRALS)
    assert 0 < moved < found.attrs["accuracy"] < 2e-3
    if found.attrs["neuron_types"] == 1:
        assert found.attrs["accuracy"] < 2e-8


def test_too_few_nodes_are_told(monkeypatch):
    finer = spectrum(*REFINED["majority of higher variance"])
    monkeypatch.setattr(bulks, "MOST", 32)
    found = spectrum(*REFINED["majority of higher variance"])
    moved = max(float(abs(found[v] - finer[v]).max()) for v in INTEGRALS)
    assert 1e-5 < moved < found.attrs["accuracy"]


def test_a_gap_that_the_scan_misses_is_found_by_nodes():
    module = sys.modules["diffclaims.theory.spectrum"]
    mixture, model = PLAIN["one class"]
    right = spectrum(mixture, model)
    eq, edges, known = equations(mixture, model, n_normal=2), right.bulk_edge.values, Known()
    # The two upper bulks, with a point in each and none between.
    at = np.array([0.9 * edges[1, 0], edges[1].mean(), edges[2].mean(), 1.1 * edges[2, 1]])
    densities(eq, at, known=known)
    found, _, integrals = module._found(eq, 1e-3, 0.0, known, at)
    np.testing.assert_allclose(found, edges[1:], rtol=1e-8)
    np.testing.assert_allclose(integrals.mass, right.bulk_mass[1:], rtol=1e-8)


def test_mass_and_mean_with_centroids():
    mixture, model = CASES["centroids"][:2]
    found = spectrum(mixture, model)
    assert found.attrs["mass"] == pytest.approx(1.0, abs=1e-3)
    assert found.attrs["first_moment"] == pytest.approx(mean_eigenvalue(equations(mixture, model)), rel=2e-3)


SAMPLED = {
    "isotropic": (
        GaussianMixture([0.5, 0.5], [1.5, 0.5]),
        RandomFeatures(psi_p=4, psi_n=2, diffusion_time=0.05),
    ),
    "two direction types": (
        GaussianMixture([0.25, 0.75], [[2.8, 0.2], [0.1, 0.9]], (0.5, 0.5)),
        RandomFeatures(psi_p=4, psi_n=2, diffusion_time=0.05),
    ),
    "centroids": (
        GaussianMixture([0.25, 0.75], [1.2, 0.6], (1.0,), [[1.0, 0.3], [0.3, 2.0]]),
        RandomFeatures(psi_p=2, psi_n=2, diffusion_time=0.1),
    ),
    "relu": (
        GaussianMixture([0.5, 0.5], [1.5, 0.5]),
        RandomFeatures(psi_p=2, psi_n=2, diffusion_time=0.1, activation="relu"),
    ),
}


@pytest.mark.parametrize("name", SAMPLED)
def test_histograms_of_a_sampled_matrix(name):
    mixture, model = SAMPLED[name]
    eigenvalues, population, training, diagonal = sampled(mixture, model, 200, np.random.default_rng(0))
    eq = equations(mixture, model)
    assert diagonal.mean() == pytest.approx(mean_eigenvalue(eq), rel=0.02)
    bins = np.geomspace(0.9 * eigenvalues[0], 1.1 * eigenvalues[-1], 14)
    grid = np.linspace(0, 1, 61)
    nodes = (bins[:-1, None] * (bins[1:] / bins[:-1])[:, None] ** grid).ravel()
    nodes = np.unique(nodes)
    found = densities(eq, nodes)

    def cumulative(density):
        steps = np.diff(nodes) * (density[..., 1:] + density[..., :-1]) / 2
        total = np.concatenate([np.zeros((*steps.shape[:-1], 1)), np.cumsum(steps, axis=-1)], axis=-1)
        return np.stack([np.interp(bins, nodes, row) for row in np.atleast_2d(total)])

    def histogram(weights):
        return np.stack([np.interp(bins, eigenvalues, np.cumsum(row)) for row in np.atleast_2d(weights)])

    p = eigenvalues.size
    mass = histogram(np.full(p, 1 / p))[0]
    spectral = cumulative(found.density)[0]
    if eq.neurons.n_types == 1:
        # The peak at the noise floor is exact at any size: a count of modes, not a density.
        at_floor = np.abs(eigenvalues / eq.lowest() - 1) < 1e-6
        assert at_floor.sum() == max(0, p - round((1 + model.psi_n) * 200))
        spectral = spectral + at_floor.mean() * (bins > eq.lowest())
    np.testing.assert_allclose(spectral, mass, atol=0.01)
    for density, weights in ((found.population, population), (found.training, training)):
        total = weights.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(cumulative(density) / total, histogram(weights) / total, atol=0.03)


# ---------------------------------------------------------------- the axis itself


def test_nothing_is_smoothed():
    mixture, model = PLAIN["one class"]
    found = spectrum(mixture, model)
    edges = found.bulk_edge.values
    assert edges.shape == (3, 2)
    gaps = [
        np.geomspace(a * (1 + 1e-4), b * (1 - 1e-4), 25)
        for a, b in zip(edges[:-1, 1], edges[1:, 0], strict=True)
    ]
    below = np.geomspace(1e-4, edges[0, 0] * (1 - 1e-4), 20)
    above = np.geomspace(edges[2, 1] * (1 + 1e-4), 1e3, 20)
    outside = densities(equations(mixture, model, n_normal=2), np.concatenate([below, *gaps, above]))
    # Zero, not small.
    assert not outside.density.any()
    assert not outside.population.any()
    assert not outside.training.any()


@pytest.mark.parametrize("name", PLAIN)
def test_edges_are_where_the_density_ends(name):
    mixture, model = PLAIN[name]
    eq = equations(mixture, model)
    found = spectrum(mixture, model).bulk_edge
    edges, stated = found.values, found.attrs["accuracy_relative"]
    assert 0 < stated < 1e-7
    # What the fit of the density leaves, five times over; a bracket of the scan is a million times as wide.
    outward = np.array([-1.0, 1.0]) * 5e-9 * edges
    assert (densities(eq, (edges + outward).ravel(), throw=False).density == 0).all()
    assert (densities(eq, (edges - outward).ravel(), throw=False).density > 0).all()


def test_the_end_of_a_density_follows_from_four_points():
    x = np.array([0.5, 1.1, 1.2, 1.4, 1.7, 2.5])
    density = np.sqrt(np.maximum(x - 1, 0)) * (1 + 0.1 * x)
    at, moved, count = edges_module._end(x, density, np.arange(1, 5))
    assert count == 4
    assert abs(at - 1) < 3e-4
    assert abs(at - 1) < moved < 1e-2
    # Points count as far as the density grows from its edge.
    density[4] = 0.9 * density[3]
    at, moved, count = edges_module._end(x, density, np.arange(1, 5))
    assert count == 3
    assert abs(at - 1) < moved
    assert edges_module._end(x, density, np.arange(3, 6))[1:] == (np.inf, 1)


@pytest.mark.parametrize(
    ("bulk", "side", "inward"), [(0, 1, -1), (1, 0, 1), (1, 1, -1), (2, 0, 1), (2, 1, -1)]
)
def test_edges_are_square_roots(bulk, side, inward):
    mixture, model = PLAIN["one class"]
    lo, hi = spectrum(mixture, model).bulk_edge.values[bulk]
    edge = (lo, hi)[side]
    steps = (hi - lo) * np.array([1e-5, 4e-5, 16e-5])
    at = edge + inward * steps
    order = np.argsort(at)
    density = np.empty(3)
    density[order] = densities(equations(mixture, model, n_normal=2), at[order]).density
    np.testing.assert_allclose(density[1:] / density[:-1], 2.0, rtol=0.02)


def test_the_limit_from_above():
    eq = equations(*PLAIN["isotropic"])
    inside = spectrum(*PLAIN["isotropic"]).bulk_edge.values.mean(axis=1)
    on, diagnosis = solve_on_axis(eq, inside)
    assert diagnosis.ok
    assert diagnosis.residual < 1e-10
    for height in (1e-5, 1e-6):
        above, _ = solve_off_axis(eq, inside * (1 + 1j * height), warm_up=400)
        distance = np.abs(above.q / on.q - 1).max()
        assert distance < 20 * height


@settings(max_examples=3)
@given(mixtures(centroids=False))
def test_class_energies_add_up_to_the_trace(mixture):
    # Tr U R = sum_k pi_k n [delta_k/(1 + delta_k)] + noise part: the first moment, class by class.
    model = RandomFeatures(psi_p=3, psi_n=4, diffusion_time=0.1)
    found = spectrum(mixture, model)
    eq = equations(mixture, model)
    expected = (
        model.psi_p
        / model.psi_n
        * (eq.neurons.a[0] ** 2 * model.signal * mixture.class_variance + eq.neurons.v2[0])
    )
    # Both energies integrate to the class's total, (1/n) Tr S_k.
    for name in ("bulk_population_energy", "bulk_training_energy"):
        np.testing.assert_allclose(found[name].sum("bulk"), expected, rtol=1e-5)


@pytest.mark.parametrize(("psi_p", "psi_n"), [(8, 4), (2, 4), (16, 1)])
def test_atom(psi_p, psi_n):
    found = spectrum(ONE, RandomFeatures(psi_p=psi_p, psi_n=psi_n, diffusion_time=0.05))
    assert float(found.atom_mass) == pytest.approx(max(0.0, 1 - (1 + psi_n) / psi_p))
    assert float(found.bulk_mass.sum() + found.atom_mass) == pytest.approx(1.0, abs=1e-6)


def test_generalization_bulk_holds_one_mode_per_dimension():
    model = RandomFeatures(psi_p=64, psi_n=8, diffusion_time=0.01)
    found = spectrum(GaussianMixture([1.0], [1.0]), model)
    marked = found.bulk_generalization.values == 1
    assert marked.any()
    assert not marked.all()
    assert float(found.bulk_mass[marked].sum()) == pytest.approx(1 / 64, rel=1e-3)
    # Population energy sits there; training energy is in the memorization bulk, too.
    assert found.bulk_population_energy[0, marked].sum() > found.bulk_population_energy[0, ~marked].sum()


def test_permuting_classes_permutes_the_energies():
    mixture, model = PLAIN["two direction types"]
    order = [1, 0]
    moved = GaussianMixture(mixture.weights[order], mixture.variances[order], mixture.fractions)
    at = np.geomspace(0.01, 20, 60)
    one, two = densities(equations(mixture, model), at), densities(equations(moved, model), at)
    np.testing.assert_allclose(two.density, one.density, atol=1e-8)
    np.testing.assert_allclose(two.population, one.population[order], atol=1e-8)
    np.testing.assert_allclose(two.training, one.training[order], atol=1e-8)


# ---------------------------------------------------------------- what else a user sees


def test_default_eigenvalues_and_attributes():
    mixture, model = PLAIN["one class"]
    found = spectrum(mixture, model)
    assert found.sizes["eigenvalue"] == 400
    assert found.attrs["outcome"] == "converged"
    assert found.attrs["residual"] < 1e-10
    assert abs(found.attrs["mass"] - 1) < found.attrs["accuracy"] < 2e-8
    plain = spectrum(mixture, model, [0.1, 1.0], bulks=False)
    assert "bulk_edge" not in plain


@pytest.mark.parametrize(
    "eigenvalues", [[], [0.0, 1.0], [-1.0], [2.0, 1.0], [1.0, 1.0], [np.nan], [[1.0, 2.0]], "all"]
)
def test_bad_eigenvalues(eigenvalues):
    with pytest.raises(InvalidInput, match=r"eigenvalues .* above 0, in increasing order"):
        spectrum(*PLAIN["one class"], eigenvalues)


def test_missing_mass_raises_or_is_recorded(monkeypatch):
    mixture, model = PLAIN["one class"]
    module = sys.modules["diffclaims.theory.spectrum"]
    edges = spectrum(mixture, model).bulk_edge.values
    monkeypatch.setattr(module, "support_edges", lambda *_: (edges, 1e-8))
    monkeypatch.setattr(bulks, "FEWEST", 4)
    monkeypatch.setattr(bulks, "MOST", 4)
    with pytest.raises(SolveFailed, match=r"further from 1 than mass_accuracy = 1e-12.*throw=False"):
        spectrum(mixture, model, mass_accuracy=1e-12)
    found = spectrum(mixture, model, mass_accuracy=1e-12, throw=False)
    assert found.attrs["accuracy"] > 1e-12


def test_a_point_without_solution_is_reported(monkeypatch):
    monkeypatch.setattr(axis, "_physical", lambda state: np.zeros(state.z.size, dtype=bool))
    eq = equations(*PLAIN["one class"])
    with pytest.raises(SolveFailed, match="the resolvent on the real axis"):
        solve_on_axis(eq, np.array([1.0]))
    _, diagnosis = solve_on_axis(eq, np.array([1.0]), throw=False)
    assert not diagnosis.ok


def test_what_comes_back_to_the_same_is_not_tried_a_third_time(monkeypatch):
    eq, at = equations(*PLAIN["isotropic"]), spectrum(*PLAIN["isotropic"]).bulk_edge.values.mean(axis=1)
    right, _ = solve_on_axis(eq, at)
    strides, descend = [], axis._descend
    monkeypatch.setattr(axis, "_descend", lambda *args: strides.append(args[2]) or descend(*args))
    # From the axis no leap is small enough.
    monkeypatch.setattr(axis, "LEAP", 0.0)
    again, diagnosis = solve_on_axis(eq, at, throw=False)
    assert strides == list(axis.STRIDES[:2])
    assert not diagnosis.ok
    assert diagnosis.residual < 1e-10
    np.testing.assert_allclose(again.y, right.y, rtol=1e-6)
    # Solutions that differ each time are all tried.
    strides.clear()
    monkeypatch.setattr(axis, "SAME", 0.0)
    solve_on_axis(eq, at, throw=False)
    assert strides == list(axis.STRIDES)


@pytest.mark.parametrize("name", PLAIN)
def test_solutions_started_from_others_are_those_continued_from_above(name):
    eq = equations(*PLAIN[name])
    at = np.geomspace(1.01 * eq.lowest(), eq.highest(), 301)
    known = Known()
    densities(eq, at[::2], known=known)
    near, far = densities(eq, at[1::2], known=known), densities(eq, at[1::2])
    np.testing.assert_array_equal(near.density > 0, far.density > 0)
    np.testing.assert_allclose(near.density, far.density, rtol=1e-6, atol=1e-8 * far.density.max())


def test_a_wrong_guess_is_not_followed():
    eq = equations(*PLAIN["isotropic"])
    at = np.geomspace(1.01 * eq.lowest(), eq.highest(), 50)
    right, _ = solve_on_axis(eq, at)
    for wrong in (1e3 * right.y, -right.y, np.conj(right.y), np.roll(right.y, 25, axis=0)):
        guess = np.concatenate([wrong, right.delta], axis=1)
        for distance in (0.0, 1e-6, 1e-3, 0.1, 10.0):
            state, diagnosis = solve_on_axis(eq, at, guess=axis.Guess(guess, distance * at))
            assert diagnosis.ok
            np.testing.assert_allclose(state.y, right.y, rtol=1e-6)


@pytest.mark.parametrize("eigenvalue", [0.0, -1.0, np.nan])
def test_eigenvalues_off_the_positive_axis_are_refused(eigenvalue):
    eq = equations(*PLAIN["one class"])
    with pytest.raises(InvalidInput, match=r"eigenvalues = .* must be positive"):
        solve_on_axis(eq, np.array([1.0, eigenvalue]))
