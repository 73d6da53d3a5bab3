"""Finite size approaches the theory as 1/d, for every class, in test and training loss."""

from __future__ import annotations

import numpy as np
import pytest

from diffclaims import finite
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.theory.curves import learning_curves

CENTROIDS = (
    GaussianMixture([0.25, 0.75], [1.2, 0.6], centroid_gram=[[1, 0.3], [0.3, 2]]),
    RandomFeatures(psi_p=4, psi_n=3, diffusion_time=0.1),
)
TIMES = np.geomspace(1, 1e4, 17)


@pytest.mark.slow
@pytest.mark.parametrize("variable", ["test_loss", "train_loss"])
def test_bias_is_one_over_d(variable):
    theory = learning_curves(*CENTROIDS, TIMES)
    values = {}
    for d, seeds in ((50, 100), (100, 50), (200, 15)):
        bias = finite.bias_against(
            finite.learning_curves(CENTROIDS, TIMES, n_dims=d, seeds=seeds), theory, variable=variable
        )
        values[d] = (float(bias.rms), float(bias.rms_stderr))
    free, fixed = finite.fit_power(values), finite.fit_power(values, exponent=1.0)
    assert abs(free.exponent - 1) < 3 * free.exponent_stderr
    # 1/d alone explains the values: its chi-squared with 2 degrees of freedom is below its 99.9 % point.
    assert fixed.chi2 < 13.8
