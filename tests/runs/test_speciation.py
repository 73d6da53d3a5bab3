"""Speciation of watched trainings: the claim about minorities, and what cannot be asked."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import diffclaims  # noqa: E402
from diffclaims import Monitor, denoisers  # noqa: E402
from diffclaims.errors import NotMeasured  # noqa: E402
from diffclaims.subjects.runs import Runs  # noqa: E402

D, SPREAD, CENTRE = 8, 0.5, 0.6


def draw(n, seed):
    rng = np.random.default_rng(seed)
    y = np.repeat(["common", "rare"], n)
    return np.where(y == "rare", CENTRE, -CENTRE)[:, None] + SPREAD * rng.standard_normal((2 * n, D)), y


def scored(weight, shift):
    """The exact answer for a weight of the rare class, with an error of the seed in the log-odds."""

    def denoise(x, sigma):
        total = (SPREAD**2 + sigma.double() ** 2)[:, None]
        odds = 2 * CENTRE * x.double().sum(dim=1, keepdim=True) / total
        mean = torch.tanh((odds + math.log(weight / (1 - weight)) + shift) / 2) * CENTRE
        return (mean + SPREAD**2 / total * (x.double() - mean)).to(x.dtype)

    return denoise


def by_side(x):
    return np.where(x.sum(axis=1) > 0, "rare", "common")


def watch(folder, seed, weight, *, learned=None, uturns=by_side, n=100):
    """Weighted samples: as many of each class, of which the rare one is shown less often."""
    train, held_out = draw(n, 10 * seed), draw(40, 10 * seed + 1)
    said = {"experiment": "gaussians", "training_seed": seed, "uturns": uturns}
    weights = {"rare": weight, "common": 1 - weight}
    monitor = Monitor(folder, train=train, held_out=held_out, budget=1, class_weights=weights, **said)
    shift = 0.05 * np.random.default_rng(seed).normal()
    denoiser = denoisers.from_x0(scored(weight if learned is None else learned, shift))
    monitor.measure(0, denoiser, samples=True)


def verdicts(folder):
    """Of the order at each weight, and of the rise with the weight."""
    report = diffclaims.check(Runs(folder), claims=["minority-speciation"], baselines="off")
    order, rise = report["verdict"].values.tolist()
    return order, rise


@pytest.mark.parametrize(("swapped", "expected"), [(False, "holds"), (True, "fails")])
def test_the_minority_speciates_later_and_not_where_weights_are_swapped(swapped, expected, tmp_path):
    for weight in (0.1, 0.3):
        for seed in range(8):
            watch(tmp_path / f"{weight}-{seed}", seed, weight, learned=1 - weight if swapped else weight)
    assert list(Runs(tmp_path).experiments()) == ["gaussians-n200-w0.1-0.9", "gaussians-n200-w0.3-0.7"]
    assert verdicts(tmp_path) == (expected, expected)


def test_what_is_told_of_u_turns(tmp_path):
    for seed in range(2):
        watch(tmp_path / str(seed), seed, 0.2)
    runs = Runs(tmp_path)
    (experiment,) = runs.experiments().values()
    found = runs.speciation(experiment, [1.0])
    assert found["class"].values.tolist() == ["rare", "common"]
    assert found.sizes["diffusion_time"] >= 8
    np.testing.assert_allclose(found.diffusion_time, 0.5 * np.log1p(found.noise_level**2))
    assert found.attrs["rule"] == "the given classifier"
    assert json.loads(found.attrs["seeds"]) == [0, 1]
    diffclaims.check_subject(runs)
    # Curves need measurements at several steps.
    with pytest.raises(NotMeasured, match="0 steps in common"):
        runs.learning_curves(experiment)


def test_trainings_without_u_turns_say_how_to_get_them(tmp_path):
    watch(tmp_path / "0", 0, 0.2, uturns=False)
    runs = Runs(tmp_path)
    (experiment,) = runs.experiments().values()
    with pytest.raises(
        NotMeasured, match=r"no U-turns were measured; watch with Monitor\(\.\.\., uturns=True\)"
    ):
        runs.speciation(experiment, [1.0])


def test_a_classifier_that_does_not_know_the_classes_is_no_judge(tmp_path):
    watch(tmp_path / "0", 0, 0.2, uturns=lambda x: np.where(x[:, 0] > 0.5, "rare", "common"))
    runs = Runs(tmp_path)
    (experiment,) = runs.experiments().values()
    with pytest.raises(NotMeasured, match=r"knows 0\.\d+ of the held-out samples of rare, 0\.9 are needed"):
        runs.speciation(experiment, [1.0])


def test_the_u_turns_of_the_best_measurement_count(tmp_path):
    """At step 0 nothing was learned, at step 100 the samples were: the one in between is meant."""
    (x, y), held_out = draw(100, 1), draw(40, 2)
    monitor = Monitor(
        tmp_path,
        (x, y),
        held_out,
        1,
        experiment="one",
        training_seed=0,
        class_weights=[0.8, 0.2],
        uturns=True,
    )
    points = torch.from_numpy(x)

    def by_heart(z, sigma):
        logits = -(torch.cdist(z.double(), points) ** 2) / (2 * sigma.double()[:, None] ** 2)
        return (logits.softmax(dim=1) @ points).to(z.dtype)

    for step, f in ((0, lambda z, s: 0 * z), (10, scored(0.2, 0.0)), (100, by_heart)):
        monitor.measure(step, denoisers.from_x0(f), samples=True)
    runs = Runs(tmp_path)
    (experiment,) = runs.experiments().values()
    assert runs.speciation(experiment, [1.0]).training_step.values.tolist() == [10]
