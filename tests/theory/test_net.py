"""Nets made here are those of scipy, bit by bit, and leave the generator where scipy does."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import qmc

from diffclaims.theory.net import scrambled_net


@pytest.mark.parametrize("seed", [0, 1, 20261130])
@pytest.mark.parametrize("n_points", [1, 2, 512, 4096])
@pytest.mark.parametrize("bits", [30, 40])
@pytest.mark.parametrize("n_axes", [1, 2, 3])
def test_a_net_is_that_of_scipy(n_axes, bits, n_points, seed):
    own, theirs = np.random.default_rng(seed), np.random.default_rng(seed)
    expected = qmc.Sobol(n_axes, scramble=True, bits=bits, rng=theirs).random(n_points) * 2.0**bits
    found = scrambled_net(n_axes, n_points, bits, own)
    np.testing.assert_array_equal(found, expected.astype(np.int64))
    assert own.integers(2**40) == theirs.integers(2**40)
    assert own.spawn(1)[0].integers(2**40) == theirs.spawn(1)[0].integers(2**40)


def test_two_classes_are_sampled_without_the_statistics_of_scipy():
    code = (
        "import sys, numpy as np; from diffclaims import GaussianMixture, theory; "
        "m = GaussianMixture([0.3, 0.7], [1.0, 1.5], centroid_gram=[[0.5, -0.5], [-0.5, 0.5]]); "
        "print(theory.speciation(m, [0.5, 1.0], n_dims=100).attrs['method'], 'scipy.stats' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["sampled", "False"]
