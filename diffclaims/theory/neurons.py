"""What one neuron sees of each class: the Gaussian equivalent of the activation.

Over neurons the class means theta = (theta_1 .. theta_K) that enter the activation are Gaussian with
covariance exp(-2t) C. A quadrature over theta turns the neurons into a finite number of *types*, and
each type has four numbers per class, which are all that the rest of the theory needs.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from diffclaims.errors import InvalidInput
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.theory.averages import Line, calibrated, line
from diffclaims.theory.moments import class_moments, is_flat, is_odd, least_width, straight_beyond
from diffclaims.theory.theta import Extent, ThetaRule, distinct, theta_nodes, widths_of

Floats = NDArray[np.float64]

#: So few types are not worth merging.
FEW = 3000
#: Widths of its moments over which what neurons see of a class may spread, where types are sampled: beyond it hardly
#: one of them responds. Where moments do not end, averages over two classes take 20,000 points of each.
LONGEST_FLAT, LONGEST = 4000.0, 800.0


@dataclass(frozen=True)
class Neurons:
    """Quadrature over neuron types with the moments of the activation.

    Attributes
    ----------
    weight : ndarray, shape (T,)
        Probability of each type.
    a : ndarray, shape (T, K)
        Linear response ``E act'(theta_k + Gamma_k z)``.
    c : ndarray, shape (T, K)
        Mean ``E act(theta_k + Gamma_k z)``.
    v2 : ndarray, shape (T, K)
        Variance of the noise-averaged feature beyond its linear part.
    s2 : ndarray, shape (T, K)
        Variance of the feature over the noise beyond its linear part.
    """

    weight: Floats
    a: Floats
    c: Floats
    v2: Floats
    s2: Floats

    @property
    def n_types(self) -> int:
        """Number of neuron types, T."""
        return int(self.weight.shape[-1])


def neurons(
    mixture: GaussianMixture,
    model: RandomFeatures,
    *,
    rule: ThetaRule | None = None,
    n_normal: int = 1,
) -> Neurons:
    """Return the neuron types of a model on a mixture.

    Parameters
    ----------
    mixture : GaussianMixture
        The data.
    model : RandomFeatures
        Noise level and activation.
    rule : ThetaRule, optional
        Quadrature over theta. Half of its nodes are kept for odd activations, whose moments do not
        change with the sign of theta.
    n_normal : int
        Refinement factor of the inner averages over Gaussian fields.

    Returns
    -------
    Neurons
    """
    # Neither the classes' weights nor the sizes of the model enter: scans over them compute this once.
    # A callable may keep a state, so that only activations with a name are remembered.
    compute = _remembered if isinstance(model.activation, str) else _neurons
    return compute(
        tuple(mixture.centroid_gram.ravel().tolist()),
        tuple(mixture.class_variance.tolist()),
        dataclasses.replace(model, psi_p=1.0, psi_n=1.0),
        rule or ThetaRule(),
        n_normal,
    )


def _neurons(
    gram: tuple[float, ...],
    class_variance: tuple[float, ...],
    model: RandomFeatures,
    rule: ThetaRule,
    n_normal: int,
) -> Neurons:
    k = len(class_variance)
    different, which = distinct(np.reshape(gram, (k, k)))
    covariance = different * model.signal
    widths = widths_of(np.array(class_variance), which, model)
    if rule.sampled(Extent(covariance, widths)):
        return _sampled(covariance, which, class_variance, model, rule, n_normal)
    theta, weight = theta_nodes(covariance, rule, widths)
    if theta.shape[0] > 1 and is_odd(model):
        # Only even functions of theta occur, so one of each mirror pair carries both.
        keep = _half(theta)
        weight = np.where(np.abs(theta[keep]).sum(axis=1) > 0, 2 * weight[keep], weight[keep])
        theta = theta[keep]
    weight = weight / weight.sum()
    if rule.negligible > 0 and weight.size > FEW:
        # Classes of one centroid see the same of a neuron.
        seen_by = [
            sorted({v for v, at in zip(class_variance, which, strict=True) if at == j})
            for j in range(len(different))
        ]
        theta, weight = _merged(theta, weight, seen_by, model, rule, widths.min())
    return _frozen(weight, *_all_moments(theta[:, which], class_variance, model, n_normal))


def _sampled(
    different: Floats,
    which: NDArray[np.intp],
    class_variance: tuple[float, ...],
    model: RandomFeatures,
    rule: ThetaRule,
    n_normal: int,
) -> Neurons:
    """Quasi-random types, weighted so that averages which are known hold exactly."""
    covariance = different[np.ix_(which, which)]
    theta = theta_nodes(different, rule)[0][:, which]
    if is_odd(model):
        theta = theta[: theta.shape[0] // 2]  # the other half mirrors it
    deviation = np.sqrt(np.diag(covariance))
    # Of a class whose mean is 0 every neuron sees the same; of one that was split it sees the same twice.
    _, first = np.unique(np.column_stack([covariance, class_variance]), axis=0, return_index=True)
    seen = np.sort(first[deviation[first] > 1e-6 * deviation.max()])
    # They are the same at each resolution.
    tabulate = _remembered_line if isinstance(model.activation, str) else _line
    lines = [tabulate(class_variance[k], float(deviation[k]), model, n_normal) for k in seen]
    a, c, v2, s2 = _all_moments(theta, class_variance, model, n_normal)
    known = np.stack([part.T[seen] for part in (a, v2, s2)])
    return _frozen(calibrated(known, lines, covariance[np.ix_(seen, seen)]), a, c, v2, s2)


def _line(variance: float, spread: float, model: RandomFeatures, n_normal: int) -> Line:
    def moments(at: Floats) -> Floats:
        response, _, *rest = class_moments(at, variance, model, n_normal)
        return np.stack([response, *rest])

    width = least_width(np.array([variance]), model)
    flat = is_flat(model)
    longest = (LONGEST_FLAT if flat else LONGEST) * width
    if spread > longest:
        raise InvalidInput.of(
            "centroid_gram",
            spread**2 / model.signal,
            f"be at most {longest**2 / model.signal:.2g}, where neuron types are sampled",
            "bring the centroids closer" + ("" if flat else ", or take activation='tanh' or 'erf'"),
        )
    return line(moments, width, spread, straight_beyond(variance, model) if flat else np.inf)


_remembered_line = lru_cache(maxsize=64)(_line)


def _all_moments(
    theta: Floats, class_variance: tuple[float, ...], model: RandomFeatures, n_normal: int
) -> list[Floats]:
    """Moments of every class: a, c, v2 and s2, each of shape (T, K)."""
    parts = [
        class_moments(theta[:, j], variance, model, n_normal) for j, variance in enumerate(class_variance)
    ]
    return [np.stack(column, axis=1) for column in zip(*parts, strict=True)]


def _frozen(*arrays: Floats) -> Neurons:
    for array in arrays:
        array.setflags(write=False)
    return Neurons(*arrays)


#: Ten classes with centroids have some megabytes of types at each resolution.
_remembered = lru_cache(maxsize=16)(_neurons)


def _merged(
    theta: Floats,
    weight: Floats,
    seen_by: list[list[float]],
    model: RandomFeatures,
    rule: ThetaRule,
    width: float,
) -> tuple[Floats, Floats]:
    """Merge the types that respond to no class or to one: theta in between does not matter to the others.

    Column j of theta is what the classes of these variances, `seen_by[j]`, see of a neuron.
    """
    line = np.linspace(-1, 1, 401) * np.abs(theta).max(axis=0)[:, None]
    responds, flat = np.empty(theta.shape, dtype=bool), np.empty(theta.shape[1])
    for k, variances in enumerate(seen_by):
        shares = []
        for variance in variances:
            a, _, v2, s2 = class_moments(line[k], variance, model, 1)
            size = np.stack([a**2, v2, s2])
            shares.append((size / np.maximum(size.max(axis=1, keepdims=True), 1e-300)).max(axis=0))
        share = np.max(shares, axis=0)
        alive = np.flatnonzero(share > rule.negligible)
        ends = line[k][[max(alive[0] - 1, 0), min(alive[-1] + 1, 400)]]
        responds[:, k] = (theta[:, k] >= ends[0]) & (theta[:, k] <= ends[1])
        flat[k] = line[k][np.argmin(share)]
    few = responds.sum(axis=1) <= 1
    if not few.any():
        return theta, weight
    # Bins of theta_k, numbered apart for each class; 0 for types that respond to none.
    bins = np.rint(theta[few] * rule.per_bin / width) + 0.0
    numbers = 1 + int(2 * np.abs(bins).max())
    code = 1 + bins + numbers * (np.arange(theta.shape[1]) + 0.5)
    _, where = np.unique((code * responds[few]).sum(axis=1), return_inverse=True)
    merged = np.bincount(where, weight[few])
    kept = np.where(responds[few], theta[few], flat)
    means = [np.bincount(where, weight[few] * column) / merged for column in kept.T]
    return np.concatenate([theta[~few], np.stack(means, axis=1)]), np.concatenate([weight[~few], merged])


def _half(theta: Floats) -> NDArray[np.bool_]:
    """Mark one of each pair theta, -theta: the one whose first non-zero entry is positive."""
    scale = 1e-9 * np.abs(theta).max()
    sign = np.where(np.abs(theta) > scale, np.sign(theta), 0.0)
    # The most significant entry decides: weight entries by powers of three.
    code = sign @ (3.0 ** -np.arange(theta.shape[1]))
    return np.asarray(code >= 0)
