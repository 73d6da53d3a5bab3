"""The landscape version of speciation: when a class's basin of the backward drift appears.

Along the axis through two centroids the drift of the exact backward process has fixed points at
``y = (2 a / (2 - Gamma^2)) tanh(a y / Gamma^2 + h)``, with y from the centroids' midpoint, ``a =
e^{-t} |mu_k - mu_l| / 2``, ``Gamma^2 = e^{-2t} sigma^2 + 1 - e^{-2t}`` and ``h = log(pi_k/pi_l)/2``.
For equal weights the two basins appear together, by a pitchfork; otherwise the minority's appears
alone, by a saddle-node, at a smaller t.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.optimize import brentq

from diffclaims.errors import InvalidInput
from diffclaims.problem.arguments import checked
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.storage.provenance import provenance

#: Tolerance of the root, relative.
TOLERANCE = 1e-13


@checked
def spinodal_times(mixture: GaussianMixture, *, n_dims: int) -> xr.Dataset:
    """Diffusion time at which each class's basin appears in the backward drift.

    Parameters
    ----------
    mixture : GaussianMixture
        Two classes with one isotropic covariance and distinct centroids.
    n_dims : int
        Dimension d.

    Returns
    -------
    xarray.Dataset
        ``spinodal_time(class)``: the largest t at which the class has a stable fixed point of its
        own. For unequal weights the majority has one at every t: +inf. 0 when the minority has none
        at any t > 0. Attributes: ``bifurcation``, ``"pitchfork"`` or ``"saddle-node"``, and
        ``tolerance``, relative, of the root.

    Raises
    ------
    InvalidInput
        For other mixtures: the one-dimensional reduction does not hold for them.

    Notes
    -----
    Tangency of the two sides of the fixed-point equation reduces, with ``g = 2 a^2 / (Gamma^2 (2 -
    Gamma^2))`` and ``g = cosh^2(W/2)``, to ``sinh W - W = |log(pi_k/pi_l)|``, which is solved for W;
    g then gives t as the root of a quadratic equation in ``exp(-2t)``. Where sigma^2 > 2 the drift
    has no restoring side for ``Gamma^2 >= 2``; the basin appears before that. The reduction is ours.
    """
    if mixture.n_classes != 2:
        raise InvalidInput.of(
            "mixture", mixture, f"have two classes (it has {mixture.n_classes})", "take the classes in pairs"
        )
    s = mixture.variances
    if np.ptp(s) > 1e-12 * s.max():
        raise InvalidInput.of(
            "mixture",
            mixture,
            "have one isotropic covariance, the same for both classes",
            "use speciation_times",
        )
    if isinstance(n_dims, bool) or not isinstance(n_dims, int | np.integer) or n_dims < 1:
        raise InvalidInput.of("n_dims", n_dims, "be a positive integer", "give the dimension of the data")
    gram = mixture.centroid_gram
    distance2 = float(gram[0, 0] + gram[1, 1] - 2 * gram[0, 1])
    if distance2 <= 1e-12 * float(np.abs(gram).max()) or distance2 <= 0:
        raise InvalidInput.of(
            "mixture",
            mixture,
            "have distinct centroids",
            "set centroid_gram: classes at one point have no axis",
        )
    bias = float(np.log(mixture.weights[0] / mixture.weights[1]))
    balanced = abs(bias) < 1e-12
    threshold = 1.0 if balanced else float(np.cosh(_opening(abs(bias)) / 2) ** 2)
    # g = 2 A q / (1 - b^2 q^2) with q = exp(-2t), A = a^2 at t = 0, b = sigma^2 - 1.
    strength, b = n_dims * distance2 / 4, float(s.max()) - 1.0
    q = threshold / (strength + np.hypot(strength, threshold * b))
    appears = max(0.0, -0.5 * float(np.log(q)))
    times = np.full(2, appears)
    if not balanced:
        times[int(np.argmax(mixture.weights))] = np.inf
    out = xr.Dataset(
        {"spinodal_time": ("class", times, {"units": "diffusion time", "long_name": "time of the basin"})},
        coords={"class": np.arange(2)},
    )
    bifurcation = "pitchfork" if balanced else "saddle-node"
    out.attrs = provenance(subject="theory", n_dims=int(n_dims), bifurcation=bifurcation, tolerance=TOLERANCE)
    return out


def _opening(bias: float) -> float:
    """Solve sinh W - W = bias > 0 for W > 0."""
    # sinh W - W exceeds both W^3/6 and, beyond W = 3, sinh(W)/2: either bounds the root.
    upper = 1.0 + min(np.cbrt(6.0 * bias), 3.0 + float(np.arcsinh(2.0 * bias)))

    def excess(w: float) -> float:
        # The difference of the two terms loses its digits below W = 0.1; the series does not.
        if w < 0.1:
            return w**3 / 6 * (1 + w**2 / 20 * (1 + w**2 / 42 * (1 + w**2 / 72))) - bias
        return float(np.sinh(w)) - w - bias

    return float(brentq(excess, 0.0, upper, xtol=1e-300, rtol=TOLERANCE))
