"""Samples at finite size beside the theory of their moments."""

from __future__ import annotations

import numpy as np
import pytest

from diffclaims.cli import main
from diffclaims.problem.model import RandomFeatures
from diffclaims.studies.compare import compare


def samples(d: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Two Gaussian classes that the theory describes exactly."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], n)
    scale = np.where(labels == 0, 1.2, 0.6)
    return scale[:, None] * rng.standard_normal((2 * n, d)), labels


def test_gaussian_samples_agree_with_the_theory_of_their_moments():
    x, labels = samples(40, 600)
    model = RandomFeatures(psi_p=4, psi_n=4, diffusion_time=0.1)
    tree = compare(x, labels, model, n_types=1, seeds=6, centroids=False)
    difference = tree["difference"].to_dataset()
    for name in ("test_loss", "train_loss"):
        # Finite size, of the order of 1/d, and the scatter of few seeds.
        bound = 5 * difference[f"{name}_stderr"] + 1.5 / 40
        assert bool((np.abs(difference[name]) <= bound).all())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compare", "Bag", "Trousers"], "Trousers"),
        (["compare", "Bag", "Bag"], "two or more"),
        (["compare", "Bag", "Trouser", "--seeds", "1"], "--seeds"),
        (["compare", "Bag", "Trouser", "--data-dir", "/nowhere"], "is missing"),
    ],
)
def test_bad_input_is_one_line(words, message, capsys):
    assert main(words) == 2
    assert message in capsys.readouterr().err
