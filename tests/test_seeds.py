"""Seeds that are copies or come in groups are refused; independent ones are not."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from diffclaims.api.seeds import alike, check_seeds, copy_limit, joint_limits
from diffclaims.errors import SubjectInvalid
from diffclaims.storage.provenance import provenance
from diffclaims.storage.schema import stamp

NUMBERS = (3, 4, 6, 8, 12, 24)
FAMILIES = {
    "Gaussian": lambda rng, size: rng.standard_normal(size),
    "exponential": lambda rng, size: rng.exponential(size=size),
    "log-normal": lambda rng, size: np.exp(rng.standard_normal(size)),
}
X = np.linspace(0, 3, 40)


def curves(n, seed=0, ways=3):
    """Independent seeds whose curves vary in a few ways."""
    shapes = np.array([np.exp(-k * X) for k in range(1, ways + 1)])
    return 1 + 0.01 * np.random.default_rng(seed).standard_normal((n, ways)) @ shapes


def dataset(values, **attrs):
    n = len(values)
    values = np.stack([values, values[:, ::-1]], axis=1)
    dims = ("seed", "class", "training_time")
    out = xr.Dataset(
        {"test_loss": (dims, values), "train_loss": (dims, values), "bayes_loss": ("class", [0.2, 0.2])},
        coords={"seed": list(range(n)), "training_time": 1 + X},
    )
    return stamp(out, "curves", provenance(subject="planted", **attrs))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("n", NUMBERS)
def test_independent_seeds_are_refused_less_often_than_one_in_a_thousand(n, family):
    # One way to vary, the worst case: joints are spacings on a line. At most 4 of 10,000 were seen.
    total = 20_000
    values = np.sort(FAMILIES[family](np.random.default_rng(n), (total, n)), axis=1)
    joints = np.sort(np.diff(values, axis=1), axis=1)
    to_next, to_middle = joint_limits(n)
    k = to_middle.size
    i, j = np.triu_indices(n, 1)
    spread = np.median(np.abs(values[:, i] - values[:, j]), axis=1)
    refused = (joints[:, :-1] < to_next * joints[:, 1:]).any(axis=1)
    refused |= (joints[:, :k] < to_middle * joints[:, [k]]).any(axis=1)
    refused |= joints[:, 0] <= copy_limit(n) * spread
    # A probability of 1e-3 would give 20, and no more than 10 once in a hundred times.
    assert refused.sum() <= 10
    # The check itself agrees with this short form of it.
    for row in np.concatenate([np.flatnonzero(refused)[:3], np.arange(10)]):
        said = alike(1 + 0.01 * np.outer(values[row], np.exp(-X)), list(range(n)))
        assert bool(said) == bool(refused[row]), said


@pytest.mark.parametrize("n", NUMBERS)
def test_independent_curves_pass(n):
    for seed in range(20):
        check_seeds(dataset(curves(n, seed)), "curves", "it")


@pytest.mark.parametrize("n", NUMBERS)
@pytest.mark.parametrize("jitter", [0.0, 1e-9, 5e-7])
def test_a_single_copy_is_refused_at_any_number_of_seeds(n, jitter):
    values = curves(n)
    spread = values.std(axis=0).max()
    mean = values.mean(axis=0)
    values[-1] = mean + (1 + 0.5 * jitter) * (values[0] - mean) + 0.5 * jitter * spread
    said = rf"(seeds 0 and {n - 1} differs|its {n} seeds comes in {n - 1} kinds, {{0, {n - 1}}} alike)"
    with pytest.raises(SubjectInvalid, match=f"test_loss of {said}"):
        check_seeds(dataset(values), "curves", "it")


@pytest.mark.parametrize(
    ("n", "size", "share"),
    # Shares of the spread that are refused nine times in ten; the curves vary nearly in one way only.
    [
        (4, 2, 1e-4),
        (6, 2, 3e-4),
        (8, 2, 1e-3),
        (12, 2, 1e-3),
        (24, 2, 1e-3),
        (12, 4, 1e-3),
        (24, 3, 2e-3),
        (12, 6, 3e-4),
    ],
)
def test_groups_are_refused_and_shown(n, size, share):
    said = []
    for seed in range(20):
        base = curves(n // size, 2 * seed)
        values = np.repeat(base, size, axis=0) + share * (curves(n, 2 * seed + 1) - 1)
        said.append(alike(values, list(range(n))))
    first = ", ".join(map(str, range(size)))
    assert sum(f"comes in {n // size} kinds, {{{first}}}" in one for one in said) >= 17
    with pytest.raises(SubjectInvalid, match="give every seed randomness of its own"):
        check_seeds(dataset(np.repeat(curves(2), n // 2, axis=0)), "curves", "it")


def test_seeds_without_any_spread_are_one_seed():
    for n in (2, 5):
        values = np.repeat(curves(1), n, axis=0)
        for same in (values, values + 1e-8 * np.random.default_rng(0).standard_normal(values.shape)):
            with pytest.raises(SubjectInvalid, match=f"all {n} seeds is the same within"):
                check_seeds(dataset(same), "curves", "it")


def test_labels_and_their_number():
    two = dataset(curves(4)).assign_coords(seed=[0, 1, 1, 2])
    with pytest.raises(SubjectInvalid, match=r"of its 4 seeds, 1 come more than once.*leave the copies out"):
        check_seeds(two, "curves", "it")
    with pytest.raises(SubjectInvalid, match="names 3 different seeds, the dimension seed has 4"):
        check_seeds(dataset(curves(4), seeds=[0, 1, 2, 2]), "curves", "it")
    check_seeds(dataset(curves(4), seeds=[5, 6, 7, 8]), "curves", "it")


def test_counts_that_tie_by_chance_are_no_copies():
    rng = np.random.default_rng(0)
    for n in (3, 8, 24):
        for _ in range(50):
            assert not alike(rng.binomial(4, 0.5, (n, 6)) / 4 + 1e-9 * rng.random((n, 6)), list(range(n)))


def test_probabilities_of_few_values_are_counts():
    one = np.tile([0.5, 0.5, 0.25, 0.5], (2, 2, 1))
    dims = ("seed", "class", "diffusion_time")
    out = xr.Dataset(
        {"return_probability": (dims, one), "commitment": (dims, one)},
        coords={"seed": [0, 1], "diffusion_time": [0.1, 0.2, 0.4, 0.8]},
    )
    check_seeds(out, "speciation", "it")
    other = out.assign(return_probability=(dims, np.tile(np.linspace(0.2, 0.8, 8).reshape(2, 4), (2, 1, 1))))
    with pytest.raises(SubjectInvalid, match="return_probability of all 2 seeds is the same"):
        check_seeds(other, "speciation", "it")
