"""What a neuron does with one class: four moments of its activation, given what it sees of the class mean."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline, make_interp_spline
from scipy.special import ndtr

from diffclaims.problem.model import RandomFeatures

Floats = NDArray[np.float64]

#: Knots per width of the smoothed activation, where moments come from a spline, and the spline's degree.
KNOTS = 12.0
ORDER = 7
#: The same of smooth activations: the spline errs by less than 1e-10.
SMOOTH_KNOTS = 8.0
#: Step of averages over a Gaussian field, where the activation is smooth: in its deviations, and in its units.
STEP = 0.25
#: Deviation of a field below which its own grid would have too many points.
THIN = 0.05
#: So few moments of a smooth activation are averaged one by one.
FEW = 10
#: So many spacings of knots away a field is far.
FAR = 20_000
#: Averages over the noise are remembered as far as this.
NEAR = 100.0
#: From here on the named activations are straight lines to 1e-17.
STRAIGHT = 40.0
#: Tables reach as far as a power of this.
GROWTH = 1.25


def class_moments(
    theta: Floats, variance: float, model: RandomFeatures, n_normal: int
) -> tuple[Floats, Floats, Floats, Floats]:
    """Moments of one class at each theta."""
    # Further out an activation with a name is a straight line.
    straight = straight_beyond(variance, model)
    seen = np.clip(theta, -straight, straight)
    # A smoothed activation varies over the width of what smooths it, at least the noise.
    spacing = float(np.sqrt(model.signal * variance + model.noise)) / (KNOTS * n_normal)
    reach = _rounded_up(float(np.abs(seen).max())) if seen.size > FEW and seen.any() else np.inf
    # Far fields would need a long grid, of which few points are asked.
    near = reach < FAR * spacing
    if near and _smooth(model) and model.signal * variance > THIN**2:
        # Few lengths, so that other mixtures find what one has left.
        table = _moments_between(reach, variance, model.diffusion_time, str(model.activation), n_normal)
        a, c, v2, s2 = table(seen).T
    else:
        distinct, where = np.unique(seen, return_inverse=True)
        found = _tabulated(
            lambda at: np.stack(_moments_at(at, variance, model, n_normal), axis=1), distinct, spacing
        )
        a, c, v2, s2 = found[where].T
    # The last two are variances: below zero there is only rounding.
    return a, c + a * (theta - seen), np.maximum(v2, 0.0), np.maximum(s2, 0.0)


def straight_beyond(variance: float, model: RandomFeatures) -> float:
    """Theta beyond which, to both sides, the activation is a straight line to a neuron; infinite if none is known."""
    gamma = float(np.sqrt(model.signal * variance + model.noise))
    return STRAIGHT + 10 * gamma if isinstance(model.activation, str) else np.inf


def is_flat(model: RandomFeatures) -> bool:
    """Whether the activation is known to have no slope where it is straight."""
    return _smooth(model)


def least_width(class_variance: Floats, model: RandomFeatures) -> float:
    """Width in theta over which the moments of a neuron vary, of the class where it is least.

    Gamma_k smooths the activation, which varies over about 0.5 by itself.
    """
    return float(np.sqrt(0.3 + model.signal * class_variance.min() + model.noise))


def is_odd(model: RandomFeatures) -> bool:
    if isinstance(model.activation, str):
        return model.activation in ("tanh", "erf")
    x = np.linspace(0.05, 6.0, 40)
    return bool(np.allclose(model.act(-x), -model.act(x), rtol=0, atol=1e-13))


def _smooth(model: RandomFeatures) -> bool:
    """Whether the activation is known to be analytic, and to vary over about 1."""
    return isinstance(model.activation, str) and model.activation != "relu"


def _tabulated(function: Callable[[Floats], Floats], values: Floats, spacing: float) -> Floats:
    """Evaluate a smooth function, by a spline through evenly spaced knots where there are more values."""
    low, high = float(values.min()), float(values.max())
    if high - low >= spacing * (values.size - 3 * ORDER):
        return function(values)
    knots = np.linspace(low, high, int((high - low) / spacing) + 2 * ORDER)
    return np.asarray(make_interp_spline(knots, function(knots), k=ORDER)(values))


def _normal_nodes(step: float) -> tuple[Floats, Floats]:
    """Trapezoidal rule for a standard normal: converges geometrically for analytic functions."""
    count = int(np.ceil(9.0 / step))
    z = step * np.arange(-count, count + 1)
    w: Floats = np.exp(-(z**2) / 2)
    return np.asarray(z, dtype=np.float64), w / w.sum()


def _rounded_up(reach: float) -> float:
    return float(GROWTH ** np.ceil(np.log(reach) / np.log(GROWTH)))


@lru_cache(maxsize=64)
def _moments_between(
    reach: float, variance: float, diffusion_time: float, activation: str, n_normal: int
) -> BSpline:
    """Spline of the four moments from -reach to reach, of a smooth activation and a variance that is not thin.

    Averages over Gaussian fields are sums over one grid, so that the activation is computed once at each of its
    points, and not at each node around each knot.
    """
    # Sizes of the model do not enter: scans over them find what is there.
    model = RandomFeatures(psi_p=1.0, psi_n=1.0, diffusion_time=diffusion_time, activation=activation)
    e2, noise = model.signal, model.noise
    gamma, sigma = (float(np.sqrt(e2 * variance + more)) for more in (noise, 0.0))
    spacing = gamma / (SMOOTH_KNOTS * n_normal)
    step = min(STEP / n_normal * min(1.0, gamma, sigma), spacing)
    stride = int(spacing / step)
    count = int(reach / (step * stride)) + 1 + ORDER
    knots = step * stride * np.arange(-count, count + 1)

    def field(function: Callable[[Floats], Floats], width: float) -> tuple[Floats, Floats, Floats]:
        """Values on the grid as far as averages at the knots reach, deviations around a knot, and their weights."""
        beyond = int(np.ceil(9.0 * width / step))
        z: Floats = step / width * np.arange(-beyond, beyond + 1, dtype=np.float64)
        weight: Floats = np.exp(-(z**2) / 2)
        end = count * stride + beyond
        grid: Floats = step * np.arange(-end, end + 1, dtype=np.float64)
        weight /= weight.sum()
        return function(grid), z, weight

    def at_knots(values: Floats, weight: Floats) -> Floats:
        return np.asarray(np.correlate(values, weight)[::stride])

    act, z, weight = field(model.act, gamma)
    a, c, second = at_knots(act, weight * z) / gamma, at_knots(act, weight), at_knots(act**2, weight)
    average, _, weight = field(
        _noise_spline(_rounded_up(reach + 10 * (gamma + sigma)), model, n_normal), sigma
    )
    g2 = at_knots(average**2, weight)
    return make_interp_spline(knots, np.stack(_combined(a, c, second, g2, variance, model), axis=1), k=ORDER)


@lru_cache(maxsize=64)
def _noise_spline(reach: float, model: RandomFeatures, n_normal: int) -> BSpline:
    """Average of a smooth activation over the noise, from -reach to reach."""
    knots = np.linspace(-reach, reach, int(4 * KNOTS * reach) + 2 * ORDER)
    return make_interp_spline(knots, _noise_average(knots, model, STEP / n_normal, False), k=ORDER)


def _moments_at(
    theta: Floats, variance: float, model: RandomFeatures, n_normal: int
) -> tuple[Floats, Floats, Floats, Floats]:
    """Moments of one class by direct averaging, each of shape (len(theta),)."""
    e2, noise = model.signal, model.noise
    gamma = np.sqrt(e2 * variance + noise)
    sigma = np.sqrt(e2 * variance)
    if model.activation == "relu":
        a, c, second = _relu_moments(theta, gamma)
        # g is smooth on the scale of the noise, which the outer step must resolve.
        z, w = _normal_nodes(min(0.25, 0.4 * np.sqrt(noise) / max(sigma, 1e-300)) / n_normal)
        g2 = _relu_moments(theta[:, None] + sigma * z, np.sqrt(noise))[1] ** 2 @ w
    else:
        smooth = _smooth(model)
        step = (STEP if smooth else 0.05) / n_normal
        z, w = _normal_nodes(min(step, step / gamma))
        field = theta[:, None] + gamma * z
        act = model.act(field)
        a = act @ (w * z) / gamma
        c = act @ w
        second = act**2 @ w
        outer, outer_w = _normal_nodes(min(step, step / max(sigma, 1e-300)))
        inner = theta[:, None] + sigma * outer
        reach = float(np.abs(inner).max())
        if smooth and 0 < reach < NEAR:
            g2 = _noise_spline(_rounded_up(reach), model, n_normal)(inner) ** 2 @ outer_w
        else:
            g2 = _noise_average(inner, model, step, smooth) ** 2 @ outer_w
    return _combined(a, c, second, g2, variance, model)


def _combined(
    a: Floats, c: Floats, second: Floats, g2: Floats, variance: float, model: RandomFeatures
) -> tuple[Floats, Floats, Floats, Floats]:
    """The four moments, from averages of the activation, its square and the square of its average over the noise."""
    v2 = g2 - c**2 - model.signal * variance * a**2
    return a, c, v2, second - g2 - model.noise * a**2


def _noise_average(field: Floats, model: RandomFeatures, step: float, smooth: bool) -> Floats:
    """Average of the activation over the noise, at fields of any shape."""
    z, w = _normal_nodes(step)

    def average(at: Floats) -> Floats:
        out = np.empty_like(at)
        # Blocks keep the grid (field, noise) below some tens of megabytes.
        block = max(1, int(4e6 / z.size))
        for start in range(0, at.size, block):
            part = at[start : start + block, None]
            out[start : start + block] = model.act(part + np.sqrt(model.noise) * z) @ w
        return out

    # Activations that have a name vary over 1; of others nothing is known.
    spacing = 1.0 / (2 * KNOTS) if smooth else 0.0
    return _tabulated(average, field.ravel(), spacing).reshape(field.shape)


def _relu_moments(mean: Floats, width: float) -> tuple[Floats, Floats, Floats]:
    """``E relu'``, ``E relu`` and ``E relu^2`` of a normal field, in closed form."""
    r = mean / width
    density = np.exp(-(r**2) / 2) / np.sqrt(2 * np.pi)
    below = ndtr(r)
    return below, mean * below + width * density, (mean**2 + width**2) * below + mean * width * density
