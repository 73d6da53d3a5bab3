"""The spectrum of U, and which of its modes carry each class."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from diffclaims.errors import SolveFailed
from diffclaims.problem.arguments import checked
from diffclaims.problem.experiment import Experiment
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.problem.validate import POSITIVE, at_least, increasing
from diffclaims.storage.provenance import provenance
from diffclaims.storage.schema import stamp
from diffclaims.theory.bulks import Bulks, integrate
from diffclaims.theory.densities import Known, densities
from diffclaims.theory.edges import scan, support_edges
from diffclaims.theory.neurons import neurons
from diffclaims.theory.resolvent import Equations
from diffclaims.theory.theta import ThetaRule

Floats = NDArray[np.float64]

#: On the axis neuron types show as poles where the density is thin: finer than for the losses.
AXIS_RULE = ThetaRule(spacing=(0.05, 0.5, 0.7), log2_points=10)
#: A bulk belongs to the d uppermost modes if its mass says so within this share; ours.
GENERALIZATION_SLACK = 0.05
#: Error of the integrals in units of `mass_accuracy`, with one type of neurons and with several.
QUADRATURE = (1e-5, 1e-2)
#: The same in units of the mass that the bulks found lack, where there are several types.
MISSING = 0.5
#: How often edges are looked for again.
SPLITS = 8


@checked
def spectrum(
    mixture: GaussianMixture,
    model: RandomFeatures,
    eigenvalues: ArrayLike | None = None,
    *,
    bulks: bool = True,
    resolution: Annotated[int, at_least(1)] = 1,
    mass_accuracy: Annotated[float, POSITIVE] = 1e-3,
    throw: bool = True,
) -> xr.Dataset:
    """Eigenvalue density of U and the energies of each class, by eigenvalue.

    Parameters
    ----------
    mixture : GaussianMixture
    model : RandomFeatures
    eigenvalues : array_like, shape (N,), optional
        Increasing, positive. 400 log-spaced ones across the support by default.
    bulks : bool
        Whether to find the bulks of the support, with their edges, mass and energies.
    resolution : int
        Refinement level of the quadrature over neuron types; irrelevant without extensive centroids.
    mass_accuracy : float
        How far the total mass of the bulks found (and of the atom) may be from 1.
    throw : bool
        Whether to raise where the equations are not solved or mass is missing; if not, the
        attributes say so.

    Returns
    -------
    xarray.Dataset
        Kind "spectrum": ``density(eigenvalue)``; ``population_energy(class, eigenvalue)`` is
        ``Im delta_k/pi`` and says which modes carry the population energy of class k;
        ``training_energy`` is ``Im[delta_k/(1 + delta_k)]/pi`` and says it for the training set. With
        `bulks` also ``bulk_edge(bulk, side)``, ``bulk_mass(bulk)``, ``bulk_mean(bulk)``,
        ``bulk_population_energy(class, bulk)``, ``bulk_training_energy(class, bulk)``,
        ``bulk_training_log`` (the latter's integral with ``ln lambda``), ``bulk_generalization(bulk)`` (1
        for the bulks of the d uppermost modes), and the scalars
        ``atom_eigenvalue``, ``atom_mass`` (a delta peak that the densities do not show). Attributes:
        ``mass``, ``first_moment``, ``residual``, ``steps``, ``outcome``, and with `bulks` ``accuracy``, which no
        integral over a bulk is off by, for these neuron types: the largest of what the mass lacks, of the errors
        that the quadratures state, and of what class energies differ from their totals, which are known.

    Raises
    ------
    InvalidInput
        For eigenvalues that are not finite, positive and increasing.
    SolveFailed
        See `throw`.

    Notes
    -----
    Class-resolved spectra are ours; the density of one class is that of arXiv:2505.17638. Nothing is
    smoothed. The K outliers that the class means cause carry no mass and are left out. With extensive
    centroids and more neurons than samples and dimensions together (psi_p > psi_n + 1) the excess
    modes sit at the noise floors of the single neurons, a continuum that a quadrature over neuron
    types turns into as many narrow bulks.
    """
    rule = AXIS_RULE.refined(max(resolution - 1, 0))
    equations = Equations(mixture, model, neurons(mixture, model, rule=rule, n_normal=2))
    if eigenvalues is None:
        floor = max(equations.lowest(), 1e-6 * equations.highest())
        values = np.geomspace(0.9 * floor, equations.highest(), 400)
    else:
        values = increasing("eigenvalues", eigenvalues, above_zero=True)
    known = Known()
    parts, more = _all_bulks(equations, mass_accuracy, throw, known) if bulks else ({}, {})
    found = densities(equations, values, throw=throw, known=known)
    dataset = xr.Dataset(
        {
            "density": (("eigenvalue",), found.density),
            "population_energy": (("class", "eigenvalue"), found.population),
            "training_energy": (("class", "eigenvalue"), found.training),
            **parts,
        },
        coords={"class": list(mixture.classes), "eigenvalue": values}
        | ({"side": ["lower", "upper"]} if bulks else {}),
    )
    more |= {
        "residual": found.diagnosis.residual,
        "steps": found.diagnosis.steps,
        "outcome": found.diagnosis.outcome.name.lower(),
        "neuron_types": equations.neurons.n_types,
        "kappa": model.kappa,
    }
    attrs = provenance(subject="theory", experiment=Experiment(mixture=mixture, model=model)) | more
    return stamp(dataset, "spectrum", attrs)


def mean_eigenvalue(equations: Equations) -> float:
    """First moment of the spectrum without its outliers: the mean diagonal entry of U."""
    m, n, model = equations.mixture, equations.neurons, equations.model
    diagonal = n.a**2 * (model.signal * m.class_variance + model.noise) + n.v2 + n.s2
    return float(n.weight @ diagonal @ m.weights)


def _all_bulks(
    equations: Equations, mass_accuracy: float, throw: bool, known: Known
) -> tuple[dict[str, tuple[Any, ...]], dict[str, str | int | float]]:
    """Find the bulks, scanning ever more finely until their masses add up to one."""
    atom_at, atom_mass = _atom(equations)
    best: tuple[float, Floats, float, Bulks] | None = None
    for points in (300, 1200, 4800):
        grid = scan(equations, points, known)
        edges, edge_error, found = _found(equations, mass_accuracy, atom_mass, known, grid)
        mass = float(found.mass.sum()) + atom_mass
        if best is None or abs(mass - 1) < abs(best[0] - 1):
            best = mass, edges, edge_error, found
        if abs(best[0] - 1) <= mass_accuracy:
            break
    assert best is not None
    mass, edges, edge_error, found = best
    if throw and abs(mass - 1) > mass_accuracy:
        raise SolveFailed(
            f"spectrum: the bulks found hold a mass of {mass:.6f}, further from 1 than mass_accuracy = "
            f"{mass_accuracy:g}; raise `resolution`, or pass throw=False to have what was found"
        )
    # The d widest directions of W carry what can be generalized: the uppermost d of p modes.
    above = np.cumsum(found.mass[::-1])[::-1]
    generalization = above <= (1 + GENERALIZATION_SLACK) / equations.model.psi_p
    parts: dict[str, tuple[Any, ...]] = {
        # The other accuracy does not see them: at an edge there is no density.
        "bulk_edge": (("bulk", "side"), edges, {"accuracy_relative": edge_error}),
        "bulk_mass": (("bulk",), found.mass),
        "bulk_mean": (("bulk",), found.mean),
        "bulk_population_energy": (("class", "bulk"), found.population),
        "bulk_training_energy": (("class", "bulk"), found.training),
        "bulk_training_log": (("class", "bulk"), found.training_log),
        "atom_eigenvalue": ((), atom_at),
        "atom_mass": ((), atom_mass),
        "bulk_generalization": (("bulk",), generalization.astype(np.int8)),
    }
    more: dict[str, str | int | float] = {
        "mass": mass,
        "first_moment": float(found.mass @ found.mean) + atom_mass * atom_at,
        "accuracy": max(
            abs(mass - 1), float(found.error.sum()), _lacking(equations, edges, found, atom_mass)
        ),
    }
    return parts, more


def _found(
    equations: Equations, mass_accuracy: float, atom_mass: float, known: Known, grid: Floats
) -> tuple[Floats, float, Bulks]:
    """Edges of the bulks, how far off they may be, and the integrals over the bulks."""
    one = equations.neurons.n_types == 1
    tolerance = mass_accuracy * QUADRATURE[0 if one else 1]
    # Several neuron types leave narrow bulks out, which nodes in the others do not bring back.
    share = 0.0 if one else MISSING
    # Nodes may show a gap that the scan did not: then there are more edges. Of several types each leaves gaps.
    for left in reversed(range(SPLITS if one else 1)):
        edges, error = support_edges(equations, known, known.at if one else grid)
        found = integrate(
            equations, edges, known, tolerance, missing=share, total=1 - atom_mass, split=left > 0
        )
        if found is not None:
            break
    assert found is not None
    return edges, error, found


def _lacking(equations: Equations, edges: Floats, found: Bulks, atom_mass: float) -> float:
    """How far class energies are from their totals, which are known; the largest, also with logarithms."""
    m, n, model = equations.mixture, equations.neurons, equations.model
    v2 = n.weight @ n.v2
    training = n.weight @ n.a**2 * model.signal * m.class_variance + v2
    # The delta peak has what is not linear in the data of the population, and nothing of the training set.
    gaps = [
        found.training.sum(axis=1) - model.psi_p / model.psi_n * training,
        found.population.sum(axis=1) - model.psi_p / model.psi_n * (training - atom_mass * v2),
    ]
    return float(np.abs(gaps).max() * max(1.0, np.abs(np.log(edges)).max()))


def _atom(equations: Equations) -> tuple[float, float]:
    """Position and mass of the delta peak at the noise floor of a single neuron type.

    U is that floor plus a matrix of rank n + d at most, so p - n - d modes stay exactly there.
    """
    if equations.neurons.n_types > 1:
        return 0.0, 0.0
    at = equations.lowest()
    missing = 1.0 - (1.0 + equations.model.psi_n) / equations.model.psi_p
    if equations.neurons.v2.max() <= 1e-14:
        missing = 1.0 - 1.0 / equations.model.psi_p
    return at, max(0.0, missing)
