"""Learning curves per class: losses on all training times from one set of poles."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Annotated, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from diffclaims.errors import InvalidInput, SolveFailed
from diffclaims.problem.arguments import checked
from diffclaims.problem.experiment import Experiment
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.problem.validate import Limit, at_least, increasing
from diffclaims.storage.provenance import provenance
from diffclaims.storage.schema import stamp
from diffclaims.theory.far import FASTEST, lattices
from diffclaims.theory.losses import Losses, Problem
from diffclaims.theory.neurons import neurons
from diffclaims.theory.outcome import SolverOutcome
from diffclaims.theory.resolvent import Equations
from diffclaims.theory.theta import Extent, ThetaRule
from diffclaims.theory.together import Asking, alone

Floats = NDArray[np.float64]
#: Whether test and training losses say all that is asked.
Until = Callable[[Floats, Floats], bool]


#: Error allowed in compressing the neuron types, as a share of the accuracy asked of the losses. Late ones see it a
#: hundredfold.
COMPRESSION = 1e-3
#: Error of the training filters at the first resolution, as a share of it; and where neuron types are sampled.
#: Late test losses see it a hundredfold. Each refinement divides it by 30, so that the last one shows it.
FILTERS, FILTERS_SAMPLED = 1e-3, 0.1
#: Random points converge unevenly: what is left may exceed the last change, by a third in the cases measured.
MARGIN = 1.5
#: A loss, or a change of one, below this is none.
TINY = 1e-300
#: Residual of the resolvent, as a share of it; not below 1e-11.
RESIDUAL = 1e-6
#: Neuron types at the first resolution.
RULE = ThetaRule(per_width=0.75, log2_points=11)
SAMPLED = dataclasses.replace(RULE, spacing=())
#: Dimensions of the simulation that a refusal speaks of, and its CPU seconds a seed: at least, and times the cube of
#: its features; 0.4, 2.8 and 4.5 were measured for 324, 1181 and 1478 features.
SIMULATED = 100
LEAST_SECONDS, SECONDS = 0.4, 1.5e-9
#: Levels of lattices that cannot have more, where so few types respond to more than one class: they start
#: coarser, and end in half steps.
WIDE, MOST_TYPES = (-1, 0, 0.5, 1), 30_000
#: Refused after the first refinement is what would still be so many times off the target if each doubling of sampled
#: types halved the error; and from the second on what would be off it at all: two refinements tell more than one.
HOPELESS = 4.0
#: From the second refinement on lattices take over where so much of the target would be left, if there are any.
DOUBTFUL = 0.5
#: Curves that end early have at least so many times.
FEWEST_TIMES = 4


@checked
def bayes_loss(mixture: GaussianMixture, model: RandomFeatures) -> Floats:
    """Loss of the best denoiser of each class alone, shape (K,).

    ``1 - Delta sum_j omega_j / (e^{-2t} s_lj + Delta)``: the Bayes value far below speciation,
    where the class of a noisy sample is certain.
    """
    total = model.signal * mixture.variances + model.noise
    return 1.0 - model.noise * ((1.0 / total) @ mixture.fractions)


@checked
def default_training_times(
    mixture: GaussianMixture, model: RandomFeatures, n_times: Annotated[int, at_least(1)] = 200
) -> Floats:
    """Log-spaced training times from before anything is learned until everything is, shape (n_times,)."""
    equations = Equations(mixture, model, neurons(mixture, model, rule=ThetaRule(radius=4.0)))
    floor = equations.neurons.s2 @ mixture.weights
    order = np.argsort(floor)
    # The slowest modes sit at the noise floor of the neurons; its far tail carries no loss.
    heavy = np.searchsorted(np.cumsum(equations.neurons.weight[order]), 0.05)
    slowest = max(float(floor[order][heavy]), 1e-6 * equations.highest())
    return np.geomspace(0.03 / (model.kappa * equations.highest()), 30.0 / (model.kappa * slowest), n_times)


@checked
def learning_curves(
    mixture: GaussianMixture,
    model: RandomFeatures,
    training_times: ArrayLike | None = None,
    *,
    accuracy: Annotated[float, Limit("be above 0, below 1", lambda v: 0 < v < 1, "ask for 1e-5")]
    | None = None,
    max_levels: int = 7,
    throw: bool = True,
    max_rank: int | None = None,
    until: Until | None = None,
) -> xr.Dataset:
    """Test and training loss of each class along gradient flow, in the limit of many dimensions.

    Parameters
    ----------
    mixture : GaussianMixture
        The data: K >= 1 classes, any centroid Gram matrix, J direction types.
    model : RandomFeatures
        Sizes, noise level, activation.
    training_times : array_like, shape (n_times,), optional
        Increasing, >= 0, in units in which an eigenvalue z of U is learned at ``1/(kappa z)``,
        ``kappa = 2 Delta/psi_p``. By default 200 times that span all of learning.
    accuracy : float, optional
        Largest error of a loss, absolute. All approximations (filters, neuron types, Gaussian averages)
        are refined together until a refinement moves no loss by more than this. 1e-5 by default, and
        1e-3 where neuron types are sampled: when the centroids span more than three directions, or lie
        so far apart in three that a lattice has too many points. What samples do not reach, a lattice in four
        directions may.
    max_levels : int
        Resolutions tried. What more of them cannot reach is refused after the second or third, by the rate so far.
    throw : bool
        Whether to raise when `accuracy` is not reached; if not, the dataset says so.
    max_rank : int, optional
        For more than about 14 classes with centroids, whose cost grows as the sixth power of their number:
        keep only so many of the K(K+1)/2 directions in which a neuron's response to pairs of classes varies.
        Two resolutions are solved, the first with half as many directions and types, and the change, which
        counts half again, is the stated accuracy; 5e-2 is asked for by default. For ten and fourteen classes
        1.6 times as many directions as classes left an error of a third or less of it.
    until : callable ``(test_loss, train_loss) -> bool``, optional
        Whether losses at the first half of the training times, each of shape (K, n), say all that is asked. If it
        is true of the first resolution, the curves end there; late losses take the finest quadratures.

    Returns
    -------
    xarray.Dataset
        Kind "curves": ``test_loss(class, training_time)``, ``train_loss``, ``bayes_loss(class)``.
        Attributes ``accuracy`` (the last change under refinement, an upper bound of the error as
        long as the rules converge), ``outcome``, ``residual``, ``steps``, ``levels``,
        ``neuron_types``, and provenance. With `max_rank` also ``relative_accuracy``, the same as a share of each
        loss.

    Raises
    ------
    InvalidInput
        For training times that are not finite, increasing and >= 0, an accuracy that is not above
        0, or fewer than two levels.
    SolveFailed
        If the equations are not solved, or `accuracy` is not reached.

    Notes
    -----
    Extends the one-class theory of arXiv:2505.17638 to K classes; the derivation is ours.
    """
    return alone(
        asking_curves(
            mixture,
            model,
            training_times,
            accuracy=accuracy,
            max_levels=max_levels,
            throw=throw,
            max_rank=max_rank,
            until=until,
        )
    )


def asking_curves(
    mixture: GaussianMixture,
    model: RandomFeatures,
    training_times: ArrayLike | None = None,
    *,
    accuracy: float | None = None,
    max_levels: int = 7,
    throw: bool = True,
    max_rank: int | None = None,
    until: Until | None = None,
) -> Asking[xr.Dataset]:
    """`learning_curves`, to be solved `together` with others."""
    times = (
        default_training_times(mixture, model)
        if training_times is None
        else increasing("training_times", training_times)
    )
    fine = not RULE.refined(3).sampled(Extent.of(mixture, model))
    default = 5e-2 if max_rank is not None else (1e-5 if fine else 1e-3)
    target = accuracy if accuracy is not None else default
    if max_levels < 2:
        raise InvalidInput.of(
            "max_levels", max_levels, "be at least 2: accuracy is known by refining", "leave it at 7"
        )
    if max_rank is not None and max_rank < 2:
        raise InvalidInput.of(
            "max_rank", max_rank, "be at least 2: accuracy is known by halving it", "leave it out"
        )
    found = yield from _refined(mixture, model, times, target, max_levels, throw, max_rank, until)
    times = times[: found.losses.test.shape[1]]
    dataset = xr.Dataset(
        {
            "test_loss": (("class", "training_time"), found.losses.test),
            "train_loss": (("class", "training_time"), found.losses.train),
            "bayes_loss": (("class",), bayes_loss(mixture, model)),
        },
        coords={"class": list(mixture.classes), "training_time": times},
    )
    attrs = provenance(
        subject="theory",
        experiment=Experiment(mixture=mixture, model=model),
        accuracy=found.change,
        outcome=found.outcome.name.lower(),
        residual=found.losses.diagnosis.residual,
        steps=found.steps,
        levels=found.levels,
        neuron_types=found.n_types,
    )
    if max_rank is not None:
        # What is left out of many classes is a share of their losses, which are not of one size.
        attrs["relative_accuracy"] = found.share
    return stamp(dataset, "curves", attrs)


class _Refined(NamedTuple):
    """Losses at the finest resolution, and how far the last refinement moved them, also as a share of each."""

    losses: Losses
    change: float
    share: float
    outcome: SolverOutcome
    steps: int
    levels: int
    n_types: int


def _refined(
    mixture: GaussianMixture,
    model: RandomFeatures,
    times: Floats,
    target: float,
    max_levels: int,
    throw: bool,
    max_rank: int | None,
    until: Until | None,
) -> Asking[_Refined]:
    """Refine all quadratures together until no loss moves by more than the target."""
    # The rank is known by halving it, once.
    ranks: list[int | None] = [None] * max_levels if max_rank is None else [-(-max_rank // 2), max_rank]
    rules = _resolutions(mixture, model, target, len(ranks))
    extent, last = Extent.of(mixture, model), len(rules) - 1
    sampled = rules[0].sampled(extent)
    far = lattices(extent, target) if sampled and max_rank is None else []
    filters = FILTERS_SAMPLED if sampled else FILTERS
    previous: Losses | None = None
    change = share = reach = np.inf
    changes: list[float] = []
    steps = level = n_types = 0
    for level, rule in enumerate(rules):
        types = neurons(mixture, model, rule=rule, n_normal=1 + (level > 0 and not sampled))
        n_types = types.n_types
        at_times = partial(
            Problem,
            Equations(mixture, model, types, None if max_rank is None else ranks[level]),
            filter_error=filters * target / 30.0 ** min(level, 3),
            tolerance=max(1e-11, RESIDUAL * target),
            compression=COMPRESSION * target,
        )
        if previous is not None:
            now = yield at_times(times, coarser=previous)
        else:
            now = yield from _first(at_times, times, until)
        times = times[: now.test.shape[1]]
        steps += now.diagnosis.steps
        if throw:
            now.diagnosis.require("learning_curves")
        if previous is not None:
            moved = [(np.abs(a - b), a) for a, b in zip(now[:2], previous[:2], strict=True)]
            margin = MARGIN if sampled or max_rank is not None else 1.0
            change = margin * max(float(by.max()) for by, _ in moved)
            share = margin * max(float((by / np.maximum(np.abs(loss), TINY)).max()) for by, loss in moved)
            changes.append(change)
        previous = now
        if change <= target:
            break
        if sampled and max_rank is None and changes:
            reach, two, left = _reach(changes, last), len(changes) > 1, last - level
            if far and left > 1 and reach > target * (DOUBTFUL if two else HOPELESS):
                rules[level + 1 :], sampled, reach = far[:left], False, np.inf
            # Who takes what there is gets the finest unless that is far off, too.
            elif reach > target * (1.0 if throw and two else HOPELESS):
                break
        elif rule in far[1:]:
            reach = change / FASTEST ** (len(rules) - 1 - level)
            if reach > target:
                break
    assert previous is not None
    outcome = previous.diagnosis.outcome
    if outcome is SolverOutcome.CONVERGED and change > target:
        outcome = SolverOutcome.INACCURATE
        if throw:
            raise SolveFailed(
                _refusal(mixture, model, target, change, min(reach, change), level + 1, max_rank)
            )
    return _Refined(previous, change, share, outcome, steps, level + 1, n_types)


def _reach(changes: list[float], refinements: int) -> float:
    """What the last of so many refinements would move, if each doubling of sampled types halves the error.

    Random points converge unevenly: each refinement so far makes a guess, and the geometric mean of these is less at
    the mercy of one that was small or large by chance.
    """
    guesses = [change / 2.0 ** (refinements - 1 - i) for i, change in enumerate(changes)]
    return float(np.exp(np.mean(np.log(np.maximum(guesses, TINY)))))


def _first(at_times: Callable[..., Problem], times: Floats, until: Until | None) -> Asking[Losses]:
    """Losses at the first resolution: at the first half of the times, if these say all that is asked."""
    if until is None:
        return (yield at_times(times))
    short = yield at_times(times[: max(FEWEST_TIMES, times.size // 2)])
    return short if until(short.test, short.train) else (yield at_times(times, coarser=short))


def _resolutions(
    mixture: GaussianMixture, model: RandomFeatures, target: float, count: int
) -> list[ThetaRule]:
    """Rules of at most so many resolutions: lattices as long as they have not too many points, or samples."""
    rule = RULE.merging(target)
    rules = [rule.refined(level) for level in range(count)]
    extent = Extent.of(mixture, model)
    fit = [each for each in rules if not each.sampled(extent)]
    if len(fit) >= min(3, count):
        return fit
    wide = [rule.refined(level) for level in WIDE[:count]]
    if not wide[-1].sampled(extent) and neurons(mixture, model, rule=wide[0]).n_types <= MOST_TYPES:
        return wide
    return [SAMPLED.refined(level) for level in range(count)]


def _refusal(
    mixture: GaussianMixture,
    model: RandomFeatures,
    target: float,
    change: float,
    reach: float,
    resolutions: int,
    max_rank: int | None,
) -> str:
    """Say what was reached, what to change, and what a simulation would cost."""
    features = round(model.psi_p * SIMULATED)
    seconds = max(LEAST_SECONDS, SECONDS * features**3)
    finer = "max_levels" if max_rank is None else "max_rank"
    found = f"the last refinement moved a loss by {change:.1e}, more than accuracy = {target:.1e}"
    found += f", after {resolutions} resolutions"
    if reach < change:
        found += f", at whose rate the finest would move one by {reach:.1e}"
    return (
        f"learning_curves: {found}; ask for accuracy={2 * reach:.0e}, raise {finer}, bring the "
        f"centroids closer (centroid_gram goes to {mixture.centroid_gram.max():.3g}), pass throw=False, or simulate: "
        f"finite.learning_curves(..., n_dims={SIMULATED}) diagonalizes a matrix of {features} x {features}, "
        f"about {seconds:.1g} CPU s, a seed"
    )
