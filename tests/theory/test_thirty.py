"""Nobody solves thirty classes exactly here: simulation has the last word."""

import numpy as np
import pytest

from diffclaims.problem.mixture import GaussianMixture
from tests.theory.hard import many_classes
from tests.theory.thirty import extrapolated, rms, simulated, solved


def test_a_limit_is_found_with_its_error():
    rng = np.random.default_rng(0)
    dims, stderr = [60, 120, 180], np.full((3, 2, 5, 4), 1e-3)
    means = 0.7 + 3.0 / np.reshape(dims, (3, 1, 1, 1)) + rng.normal(0, stderr)
    limit, error = extrapolated(dims, means, stderr)
    assert 0.7 < rms((limit - 0.7) / error) < 1.3


@pytest.mark.slow
def test_thirty_classes_are_those_of_simulation():
    dims = {60: 16, 120: 5}
    means, stderrs = zip(*(simulated(d, range(1000, 1000 + n)) for d, n in dims.items()), strict=True)
    limit, noise = extrapolated(list(dims), np.stack(means), np.stack(stderrs))
    exact, accuracy = solved()
    assert rms(limit - exact) <= np.hypot(accuracy, rms(noise))
    # The same centroids, and variances in another order: the check sees which class is which.
    m = many_classes(30)[0]
    other, _ = solved(GaussianMixture(m.weights, m.variances[::-1], m.fractions, m.centroid_gram))
    assert rms(limit - other) > 3 * np.hypot(accuracy, rms(noise))
