"""The spectrum of U, and which of its modes carry each class."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

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
from diffclaims.theory.edges import Known, densities, support_edges
from diffclaims.theory.neurons import neurons
from diffclaims.theory.resolvent import Equations
from diffclaims.theory.theta import ThetaRule

Floats = NDArray[np.float64]

#: On the axis neuron types show as poles where the density is thin: finer than for the losses.
AXIS_RULE = ThetaRule(spacing=(0.05, 0.5, 0.7), log2_points=10)
#: A bulk belongs to the d uppermost modes if its mass says so within this share; ours.
GENERALIZATION_SLACK = 0.05
#: Nodes of the quadrature inside one bulk.
BULK_NODES = 128


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
        ``mass``, ``first_moment``, ``residual``, ``steps``, ``outcome``.

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
    parts, more = _all_bulks(equations, mass_accuracy, throw, known) if bulks else (xr.Dataset(), {})
    found = densities(equations, values, throw=throw, known=known)
    dataset = xr.Dataset(
        {
            "density": (("eigenvalue",), found.density),
            "population_energy": (("class", "eigenvalue"), found.population),
            "training_energy": (("class", "eigenvalue"), found.training),
        },
        coords={"class": list(mixture.classes), "eigenvalue": values},
    ).merge(parts)
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
) -> tuple[xr.Dataset, dict[str, str | int | float]]:
    """Find the bulks, scanning ever more finely until their masses add up to one."""
    atom_at, atom_mass = _atom(equations)
    best: tuple[float, xr.Dataset, float] | None = None
    for points in (300, 1200, 4800):
        edges, error = support_edges(equations, points, known)
        parts = _integrate(equations, edges, known)
        # The mass does not see them: at an edge there is none.
        parts["bulk_edge"].attrs["accuracy_relative"] = error
        mass = float(parts.bulk_mass.sum()) + atom_mass
        moment = float((parts.bulk_mass * parts.bulk_mean).sum()) + atom_mass * atom_at
        if best is None or abs(mass - 1) < abs(best[0] - 1):
            best = mass, parts, moment
        if abs(best[0] - 1) <= mass_accuracy:
            break
    assert best is not None
    mass, parts, moment = best
    if throw and abs(mass - 1) > mass_accuracy:
        raise SolveFailed(
            f"spectrum: the bulks found hold a mass of {mass:.6f}, further from 1 than mass_accuracy = "
            f"{mass_accuracy:g}; raise `resolution`, or pass throw=False to have what was found"
        )
    # The d widest directions of W carry what can be generalized: the uppermost d of p modes.
    above = np.cumsum(parts.bulk_mass.values[::-1])[::-1]
    generalization = above <= (1 + GENERALIZATION_SLACK) / equations.model.psi_p
    parts = parts.assign(
        atom_eigenvalue=((), atom_at),
        atom_mass=((), atom_mass),
        bulk_generalization=(("bulk",), generalization.astype(np.int8)),
    )
    return parts, {"mass": mass, "first_moment": moment, "accuracy": abs(mass - 1)}


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


@lru_cache(maxsize=1)
def _gauss(n: int) -> tuple[Floats, Floats]:
    """Nodes and weights on (-1, 1), which take as long to find as all that is integrated by them."""
    x, w = np.polynomial.legendre.leggauss(n)
    x.setflags(write=False)
    w.setflags(write=False)
    return x, w


def _integrate(equations: Equations, edges: Floats, known: Known) -> xr.Dataset:
    """Integrate the densities over each bulk, whose edges are square roots: nodes in an angle."""
    x, w = _gauss(BULK_NODES)
    angle = np.pi * (x + 1) / 2
    share, slope = (1 - np.cos(angle)) / 2, np.pi / 2 * w * np.sin(angle) / 2
    lo, hi = edges[:, :1], edges[:, 1:]
    # A logarithmic variable for bulks that span decades, a linear one would miss their lower end.
    nodes = lo * (hi / lo) ** share
    weight = nodes * np.log(hi / lo) * slope
    k = equations.mixture.n_classes
    coords = {"class": list(equations.mixture.classes), "side": ["lower", "upper"]}
    flat, where = np.unique(nodes.ravel(), return_inverse=True)
    d = densities(equations, flat, throw=False, known=known)
    mass = (d.density[where].reshape(nodes.shape) * weight).sum(axis=1)
    mean = (d.density[where].reshape(nodes.shape) * weight * nodes).sum(axis=1) / np.maximum(mass, 1e-300)

    def energy(values: Floats) -> Floats:
        return np.asarray((values[:, where].reshape(k, *nodes.shape) * weight).sum(axis=-1))

    return xr.Dataset(
        {
            "bulk_edge": (("bulk", "side"), edges),
            "bulk_mass": (("bulk",), mass),
            "bulk_mean": (("bulk",), mean),
            "bulk_population_energy": (("class", "bulk"), energy(d.population)),
            "bulk_training_energy": (("class", "bulk"), energy(d.training)),
            "bulk_training_log": (("class", "bulk"), energy(d.training * np.log(flat))),
        },
        coords=coords,
    )
