"""When a noised point still knows its class: commitment and return probability, from exact posteriors.

With a perfect score everything follows from the posterior ``p(l | x_t)`` of the noised mixture. The
log-odds of two classes are a quadratic form in ``x_t``, hence noncentral chi-squares over the
direction types: a sample costs J draws (and the coordinates in the span of the centroids), not d.

What reads such datasets, from any subject, is in `diffclaims.times.speciation`; the landscape version of the
speciation time is in `diffclaims.theory.landscape`. Both are re-exported here.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline
from scipy.special import expit, gammainccinv, gammaincinv, ndtr, ndtri

from diffclaims.errors import InvalidInput
from diffclaims.problem.arguments import checked
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.validate import increasing
from diffclaims.storage.provenance import provenance
from diffclaims.storage.schema import stamp
from diffclaims.theory.landscape import spinodal_times
from diffclaims.theory.odds import of_many, of_two
from diffclaims.times.speciation import detailed_balance_violation, normalised_return, speciation_times

__all__ = [
    "detailed_balance_violation",
    "normalised_return",
    "speciation",
    "speciation_times",
    "spinodal_times",
]

Floats = NDArray[np.float64]

#: Independent randomisations of the draws; the standard error is the spread between them.
REPLICATES = 32
#: Bits of each coordinate of the draws.
NET_BITS = 40
#: No normal score of that many bits is larger (the largest is 7.15).
SCORE_LIMIT = 7.2
#: Absolute accuracy of the closed form and its quadrature.
CLOSED_FORM_ACCURACY = 1e-12
#: Eigenvalues of the Gram matrix below this share of its largest entry are rounding.
RANK_TOLERANCE = 1e-12
#: Largest number of floats in one working array.
BLOCK = 2**20


@checked
def speciation(
    mixture: GaussianMixture,
    diffusion_times: ArrayLike,
    *,
    n_dims: int,
    n_samples: int = 2**14,
    rng: int | np.random.Generator = 0,
) -> xr.Dataset:
    """Commitment and U-turn probabilities of every class under a perfect score.

    Parameters
    ----------
    mixture : GaussianMixture
        The data: K >= 1 classes, J direction types, any centroid Gram matrix.
    diffusion_times : array_like, shape (T,)
        Times t of the noising ``x_t = exp(-t) x + sqrt(1 - exp(-2t)) xi``: positive, increasing.
    n_dims : int
        Dimension d. Speciation is not a quantity of the limit d -> infinity: it moves to larger
        times as ``log(d)``.
    n_samples : int
        Draws per class where there is no closed form; rounded up to 32 times a power of two.
    rng : int or numpy.random.Generator
        Seed of the draws. The same draws serve all diffusion times, and each class has its own.

    Returns
    -------
    xarray.Dataset
        Of kind ``"speciation"``, dimensions ``class``, ``to_class``, ``diffusion_time``:

        - ``commitment``: P(argmax_l p(l|x_t) = k | class k); equally likely classes share it;
        - ``transition``: E[p(l|x_t) | class k], the probability that a U-turn (noise a point of
          class k to time t, then run the exact backward process) ends in class l;
        - ``return_probability``: its diagonal;
        - each with ``_stderr``, zero for a closed form, for which the attribute ``accuracy`` holds
          the absolute accuracy. The attribute ``method`` is ``"closed form"`` or ``"sampled"``.

    Raises
    ------
    InvalidInput
        For times that do not increase from above 0, sizes that are not positive integers, or a
        direction type with fewer directions than the centroids span.

    Notes
    -----
    Assumption, ours: each centroid's energy spreads evenly over the directions, so that inside
    type j the Gram matrix of the centroids is ``d * fractions[j] * centroid_gram``. A type may
    hold a fractional number ``d * fractions[j]`` of directions (a chi-square takes any), but not
    fewer than the centroids' differences span.

    Two classes with equal covariances (K = 2, any J): the log-odds of a point of class k are
    normal with mean ``log(pi_k/pi_l) + D^2/2`` and variance ``D^2``, where
    ``D^2 = d e^{-2t} sum_j omega_j |mu_k - mu_l|^2 / (d Gamma_j^2)``; commitment is closed,
    the return probability a one-dimensional quadrature.

    Otherwise scrambled Sobol points, 32 independent randomisations per class: unbiased, with the
    standard error from the spread of the 32 means, and never below ``1/n_samples``, what a region
    that no draw reached could hide. Detailed balance could be used to pool the classes' draws and
    lower the error of the rare transitions; it is not, because it would then hold by construction
    and check nothing.
    """
    times = increasing("diffusion_times", diffusion_times, above_zero=True)
    d = _count("n_dims", n_dims, "give the dimension of the data")
    n = _count("n_samples", n_samples, f"give the number of draws per class, {2**14} by default")
    n_classes = mixture.n_classes
    points = _centroid_coordinates(mixture)
    more: dict[str, Any] = {"n_dims": d, "mixture": json.dumps(mixture.to_dict())}
    seeds: list[int] = []
    transition = np.ones((n_classes, n_classes, times.size))
    commitment = np.ones((n_classes, times.size))
    transition_se, commitment_se = np.zeros_like(transition), np.zeros_like(commitment)
    if n_classes <= 2 and np.ptp(mixture.variances, axis=0).max() == 0:
        if n_classes == 2:
            transition, commitment = _two_equal_covariances(mixture, points, times, d)
        more |= {"method": "closed form", "accuracy": CLOSED_FORM_ACCURACY}
    else:
        directions = d * mixture.fractions
        rank = points.shape[1]
        if directions.min() < rank - 1e-9:
            raise InvalidInput.of(
                "n_dims",
                n_dims,
                f"give each direction type at least {rank} directions, as many as the centroids span "
                f"(the smallest has {directions.min():.4g})",
                f"use n_dims >= {int(np.ceil(rank / mixture.fractions.min() - 1e-9))} or fewer types",
            )
        if isinstance(rng, np.random.Generator):
            generator = rng
        else:
            seeds = [_seed(rng)]
            generator = np.random.default_rng(seeds[0])
        per_replicate = 1 << max(0, int(np.ceil(np.log2(n / REPLICATES))))
        left = directions - rank
        left[left < 1e-9] = 0.0  # a type that the centroids fill, but for rounding
        quantiles = _chi_squares(tuple(left.tolist()))
        net = _net(mixture.n_types * (rank + 1), per_replicate, generator)
        # Independent shifts for classes too, so that detailed balance between them is a test and its
        # error a sum of squares.
        shifts = generator.integers(2**NET_BITS, size=(n_classes, REPLICATES, net.shape[1]))
        for k in range(n_classes):
            (transition[k], commitment[k]), (transition_se[k], commitment_se[k]) = _sampled(
                mixture, points, times, d, k, quantiles, net, shifts[k]
            )
        more |= {"method": "sampled", "n_samples": per_replicate * REPLICATES, "n_replicates": REPLICATES}
    dataset = _dataset(list(mixture.classes), times, transition, transition_se, commitment, commitment_se)
    return stamp(dataset, "speciation", provenance(subject="theory", seeds=seeds, **more))


def _dataset(
    names: list[Any],
    times: Floats,
    transition: Floats,
    transition_se: Floats,
    commitment: Floats,
    commitment_se: Floats,
) -> xr.Dataset:
    """The answers as a dataset, with what returns beside where everything goes."""
    diagonal = np.arange(len(names))
    dims, pair = ("class", "diffusion_time"), ("class", "to_class", "diffusion_time")
    return xr.Dataset(
        {
            "commitment": (dims, commitment),
            "commitment_stderr": (dims, commitment_se),
            "return_probability": (dims, transition[diagonal, diagonal]),
            "return_probability_stderr": (dims, transition_se[diagonal, diagonal]),
            "transition": (pair, transition),
            "transition_stderr": (pair, transition_se),
        },
        coords={"class": names, "to_class": names, "diffusion_time": times},
    )


def _count(name: str, value: int, fix: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise InvalidInput.of(name, value, "be a positive integer", fix)
    return int(value)


def _seed(rng: object) -> int:
    if isinstance(rng, bool) or not isinstance(rng, int | np.integer) or rng < 0:
        raise InvalidInput.of("rng", rng, "be a seed >= 0 or a numpy Generator", "give an integer")
    return int(rng)


def _centroid_coordinates(mixture: GaussianMixture) -> Floats:
    """Coordinates of the centroids over sqrt(d) about their mean, shape (K, rank).

    Only differences matter, so that the origin, and a common shift, cost no draw.
    """
    gram, w = mixture.centroid_gram, mixture.weights
    towards_mean = gram @ w
    centred = gram - towards_mean[:, None] - towards_mean[None, :] + w @ towards_mean
    values, vectors = np.linalg.eigh((centred + centred.T) / 2)
    keep = values > RANK_TOLERANCE * max(float(np.abs(gram).max()), 1e-300)
    return np.asarray(vectors[:, keep] * np.sqrt(values[keep]))


def _signal_noise(times: Floats) -> tuple[Floats, Floats]:
    """exp(-2t) and 1 - exp(-2t), the latter without cancellation at small t."""
    return np.exp(-2.0 * times), -np.expm1(-2.0 * times)


# --- two classes, equal covariances -------------------------------------------------------------


def _two_equal_covariances(
    mixture: GaussianMixture, points: Floats, times: Floats, n_dims: int
) -> tuple[Floats, Floats]:
    """Transition (2, 2, T) and commitment (2, T) from normal log-odds."""
    signal, noise = _signal_noise(times)
    gamma2 = signal[:, None] * mixture.variances[0] + noise[:, None]
    distance2 = float(((points[0] - points[1]) ** 2).sum())
    strength = np.sqrt(n_dims * distance2 * signal * (mixture.fractions / gamma2).sum(axis=1))
    prior = np.log(mixture.weights / mixture.weights[::-1])
    mean = prior[:, None] + strength**2 / 2
    returns = _expected_sigmoid(mean, np.broadcast_to(strength, mean.shape))
    # Not 1 - returns: a rare transition keeps its own digits.
    leaves = _expected_sigmoid(-mean, np.broadcast_to(strength, mean.shape))
    transition = np.stack([np.stack([returns[0], leaves[0]]), np.stack([leaves[1], returns[1]])])
    with np.errstate(divide="ignore", invalid="ignore"):
        commitment = ndtr(mean / strength)
    # Without any separation the prior decides alone, and equal priors share.
    return transition, np.where(strength > 0, commitment, (1 + np.sign(mean)) / 2)


def _expected_sigmoid(mean: Floats, sd: Floats) -> Floats:
    """E[1/(1 + exp(-X))] for X ~ N(mean, sd^2), elementwise, sd >= 0.

    Narrow (sd <= 2): the trapezoidal rule in the standard normal, which converges geometrically
    because the sigmoid's poles, at distance pi/sd from the axis, stay clear of it.
    Wide: P(X > 0) plus the rounded corner, ``int_0^inf s(-x) [rho(-x) - rho(x)] dx``, whose
    integrand decays as exp(-x) and is smooth on the scale of sd, by Gauss-Legendre.
    """
    out = np.empty(mean.shape)
    narrow = sd <= 2.0
    g = np.linspace(-9.0, 9.0, 145)
    weight = np.exp(-(g**2) / 2)
    weight /= weight.sum()
    out[narrow] = expit(mean[narrow][:, None] + sd[narrow][:, None] * g) @ weight
    m, s = mean[~narrow][:, None], sd[~narrow][:, None]
    node, w = np.polynomial.legendre.leggauss(96)
    x, w = 20.0 * (node + 1.0), 20.0 * w
    difference = np.exp(-(((x + m) / s) ** 2) / 2) - np.exp(-(((x - m) / s) ** 2) / 2)
    corner = (difference * expit(-x)) @ w / (np.sqrt(2 * np.pi) * s[:, 0])
    # The corner cancels against the step only to rounding: a probability stays one.
    out[~narrow] = np.clip(ndtr(m[:, 0] / s[:, 0]) + corner, 0.0, 1.0)
    return out


# --- sampling -----------------------------------------------------------------------------------


def _sampled(
    mixture: GaussianMixture,
    points: Floats,
    times: Floats,
    n_dims: int,
    k: int,
    quantiles: list[CubicSpline | None],
    net: NDArray[np.int64],
    shifts: NDArray[np.int64],
) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
    """Means and standard errors of transition (K, T) and commitment (T,) of class k."""
    n_classes, n_points, n_replicates = mixture.n_classes, net.shape[0], shifts.shape[0]
    directions = n_dims * mixture.fractions
    signal, noise = (a[:, None, None] for a in _signal_noise(times))
    s = mixture.variances
    v = signal * s + noise  # (T, K, J)
    # ratio - 1 with ratio = v_k / v_l, written so that equal variances give exactly zero.
    excess = signal * (s[k] - s) / v
    offset = points[k] - points  # (K, rank)
    distance2 = (offset**2).sum(axis=1)
    # log p(l|x_t) - log p(k|x_t) = constant + by_square . (chi^2 - its mean) + by_axis . projections:
    # the O(d) terms of the two densities are subtracted by hand, not by the computer.
    constant = (
        np.log(mixture.weights / mixture.weights[k])[:, None]
        - 0.5 * ((excess - np.log1p(excess)) @ directions).T
        - 0.5 * distance2[:, None] * ((signal / v) @ directions).T
    )  # (K, T)
    by_square = np.moveaxis(-0.5 * excess, 0, -1)  # (K, J, T)
    by_axis = np.moveaxis(-np.sqrt(signal * directions * v[:, k : k + 1]) / v, 0, -1)  # (K, J, T)

    # Of class k itself the odds are 1, whatever is drawn.
    others = np.flatnonzero(np.arange(n_classes) != k)
    constant, by_square, by_axis, offset = (a[others] for a in (constant, by_square, by_axis, offset))
    shares = of_two if n_classes == 2 else of_many
    transition = np.empty((n_replicates, n_classes, times.size))
    commitment = np.empty((n_replicates, times.size))
    # The draws for all times would fill (K, n_points, T): take points in blocks.
    step = max(1, BLOCK // (n_classes * times.size))
    for r, shift in enumerate(shifts):
        squares, axes = _draw(directions, points.shape[1], quantiles, net ^ shift)
        total, wins = np.zeros((n_classes, times.size)), np.zeros(times.size)
        for start in range(0, n_points, step):
            block = slice(start, start + step)
            odds = squares[block] @ by_square
            if points.shape[1]:
                odds += np.moveaxis(axes[block] @ offset.T, -1, 0) @ by_axis
            odds += constant[:, None, :]
            own, rest, won = shares(odds)
            total[k] += own
            total[others] += rest
            wins += won
        transition[r], commitment[r] = total / n_points, wins / n_points
    floor = 1.0 / (n_points * n_replicates)

    def stderr(a: Floats) -> Floats:
        return np.asarray(np.maximum(a.std(axis=0, ddof=1) / np.sqrt(n_replicates), floor))

    means = (transition.mean(axis=0), commitment.mean(axis=0))
    return means, (stderr(transition), stderr(commitment))


@lru_cache(maxsize=16)
def _chi_squares(degrees: tuple[float, ...]) -> list[CubicSpline | None]:
    """Chi-square quantile as a function of the normal score, one per type; None without freedom.

    In the normal score the quantile is nearly a parabola (exactly one in the limit of many degrees),
    so that a spline replaces millions of inversions of the incomplete gamma function; it is within
    1e-9 of them, in units of the mean or of 1, whichever is larger.
    """
    score = np.linspace(-SCORE_LIMIT, SCORE_LIMIT, 1025)
    some = np.maximum(degrees, 1e-3)[:, None] / 2
    # Each tail by its own function: 1 - u would round away.
    lower = gammaincinv(some, ndtr(np.minimum(score, 0.0)))
    upper = gammainccinv(some, ndtr(-np.maximum(score, 0.0)))
    quantile = 2.0 * np.where(score < 0, lower, upper)
    return [CubicSpline(score, q) if n > 0 else None for n, q in zip(degrees, quantile, strict=True)]


def _net(n_axes: int, n_points: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """One scrambled Sobol net as integers of `NET_BITS` bits, shape (n_points, n_axes).

    A replicate is the net XOR a uniform integer per axis: each point is then uniform, the
    replicates are independent given the net, and the slow scrambling is done once.
    """
    from scipy.stats import qmc  # takes longer to import than most mixtures to solve

    sobol = qmc.Sobol(n_axes, scramble=True, bits=NET_BITS, seed=rng)
    return np.asarray(sobol.random(n_points) * 2.0**NET_BITS, dtype=np.int64)


def _draw(
    directions: Floats, rank: int, quantiles: list[CubicSpline | None], points: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """Centred chi-squares (N, J) and projections on the centroids' span (N, J, rank).

    In type j the standard normal vector has `rank` coordinates along the centroids; the others
    enter the log-odds by their squared length alone, a chi-square of the remaining directions.
    """
    n_types = directions.size
    # The middle of each cell: 0 and 1 would be sent to infinity.
    score = ndtri((points + 0.5) * 2.0**-NET_BITS)
    axes = score[:, n_types:].reshape(points.shape[0], n_types, rank)
    squares = (axes**2).sum(axis=2) - directions
    for j, quantile in enumerate(quantiles):
        if quantile is not None:
            squares[:, j] += quantile(score[:, j])
    return squares, axes
