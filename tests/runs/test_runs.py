"""Claims on watched trainings: verdicts of planted ones, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import diffclaims  # noqa: E402
from diffclaims.errors import InvalidInput, NotMeasured, SubjectInvalid  # noqa: E402
from diffclaims.monitor import Record  # noqa: E402
from diffclaims.runs.find import find  # noqa: E402
from diffclaims.subjects import registry  # noqa: E402
from diffclaims.subjects.runs import Runs  # noqa: E402
from tests.runs import planted  # noqa: E402

ROOT = Path(__file__).parents[2]
ORDER = "variance-order"


def outcomes(folder, claim=ORDER):
    report = diffclaims.check(Runs(folder), claims=[claim], baselines="off")
    return dict(zip(report["case"].values.tolist(), report["verdict"].values.tolist(), strict=True))


def only(folder, claim=ORDER):
    (found,) = outcomes(folder, claim).values()
    return found


def curves_of(folder):
    runs = Runs(folder)
    (experiment,) = runs.experiments().values()
    return runs.learning_curves(experiment)


def edit(folder, **changes):
    """Change what a training says about itself, as nobody should."""
    path = folder / "monitor.json"
    about = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in about.items() if v is not None}))


# Verdicts


def test_the_planted_order_holds_and_the_subject_keeps_the_contract(sweep):
    runs = Runs(sweep)
    diffclaims.check_subject(runs)
    assert only(sweep) == "holds"
    assert only(sweep, "two-phases") == "holds"
    assert list(runs.experiments()) == ["toy-n64"]
    (experiment,) = runs.experiments().values()
    assert experiment.mixture.classes == ("wide", "narrow")
    np.testing.assert_allclose(experiment.mixture.class_variance, [1.44, 0.49], rtol=0.1)
    np.testing.assert_allclose(np.diag(experiment.mixture.centroid_gram), 4.0, rtol=0.1)


def test_the_order_swapped_fails(tmp_path):
    swapped = [
        dict(zip(t, list(t.values())[::-1], strict=True)) for t in (planted.LEARNED, planted.MEMORIZED)
    ]
    for seed in range(8):
        planted.train(tmp_path / str(seed), seed, learned=swapped[0], memorized=swapped[1])
    assert only(tmp_path) == "fails"


def test_pooled_labels_do_not_hold(tmp_path):
    """Labels that are drawn anew say nothing of the samples: both classes are one."""
    for seed in range(8):
        planted.train(tmp_path / str(seed), seed, pooled=True)
    assert only(tmp_path) != "holds"


def test_few_seeds_are_inconclusive(some):
    assert only(some(range(3))) == "inconclusive"


def test_one_seed_is_inconclusive(some):
    assert only(some([0])) == "inconclusive"


def test_the_time_is_the_planted_one(tmp_path):
    """Without memory the loss is known: the mean's at first, and g (2 - g) of what the exact answer gains."""
    planted.train(
        tmp_path, 0, {"wide": 200, "narrow": 200}, memorized=dict.fromkeys(planted.SPREADS, 1e12), jitter=0.0
    )
    curves = curves_of(tmp_path).isel(seed=0)
    levels = np.array(Record(tmp_path).about["levels"])
    for name, spread in planted.SPREADS.items():
        g = np.linspace(0.01, 0.999, 2000)[:, None]
        exact = spread**2 * levels**2 / (spread**2 + levels**2)
        trivial = np.minimum(spread**2, levels**2)
        loss = spread**2 - (2 * g - g**2) * (spread**2 - exact)
        p = np.maximum(0, 1 - loss / trivial).mean(axis=1) / (1 - exact / trivial).mean()
        share = g[np.argmax(p >= 0.8), 0]
        expected = planted.LEARNED[name] * share / (1 - share)
        found = float(curves.tau_gen_by_definition.sel({"class": name, "gen_definition": "learned_0.8"}))
        assert found == pytest.approx(expected, rel=0.3)
        # Nothing is memorized, so that the loss falls to the end.
        assert float(curves.tau_best_by_loss.sel({"class": name})) > 1000


# Seeds


def test_two_folders_of_one_seed_are_refused_by_name(some):
    folder = some(range(3))
    shutil.copytree(folder / "seed-1", folder / "seed-1 again")
    with pytest.raises(
        InvalidInput, match=r"training_seed = 1: .*come once.*seed-1 and .*seed-1 again both have it"
    ):
        Runs(folder).experiments()


@pytest.mark.parametrize("n", [2, 4])
def test_a_copy_under_another_seed_is_refused(some, n):
    folder = some(range(n - 1))
    shutil.copytree(folder / "seed-0", folder / "copy")
    edit(folder / "copy", training_seed=99)
    with pytest.raises(SubjectInvalid, match=r"give every seed randomness of its own"):
        diffclaims.check_subject(Runs(folder))


@pytest.mark.parametrize("n", [2, 4])
def test_a_copy_that_was_watched_with_another_seed_is_refused(some, n):
    """The monitor measures it with other noise, so that its losses differ."""
    folder = some(range(1, n))
    planted.train(folder / "copy", 99, seed_of_all=1, unlike=0.0, seed=7)
    with pytest.raises(SubjectInvalid, match=r"copy are one training .* 1 and 99: at steps 1, 2, 3 .*move"):
        curves_of(folder)
    with pytest.raises(SubjectInvalid, match="give every seed randomness of its own"):
        diffclaims.check_subject(Runs(folder))


@pytest.mark.parametrize("warm_up", [True, False])
def test_seeds_of_one_network_that_begins_at_zero_pass_and_a_copy_does_not(tmp_path, warm_up):
    """All answer the same before the first step, and with a rate that rises from zero after it as well."""
    for seed in range(3):
        planted.fit(tmp_path / str(seed), seed, warm_up=warm_up)
    runs = find(tmp_path)[0][0].runs
    assert np.ptp([r.traces[0] for r in runs], axis=0).max() == 0
    assert (np.ptp([r.traces[1] for r in runs], axis=0).max() == 0) == warm_up
    diffclaims.check_subject(Runs(tmp_path))
    planted.fit(tmp_path / "copy", 99, own=1, seed=3, warm_up=warm_up)
    with pytest.raises(SubjectInvalid, match=r"are one training under two seeds, 1 and 99"):
        diffclaims.check_subject(Runs(tmp_path))


def test_honest_seeds_of_other_monitors_pass(some):
    """A seed of the monitor's is no seed of the training's, and makes none."""
    folder = some(range(2))
    for seed in (2, 3):
        planted.train(folder / f"seed-{seed}", seed, seed=seed)
    diffclaims.check_subject(Runs(folder))


def test_trainings_that_share_their_seeds_are_refused(sweep, tmp_path):
    """Each of four trainings stands there twice, a little different, as on a device that adds in any order."""
    for seed in range(8):
        planted.train(tmp_path / str(seed), seed, seed_of_all=seed // 2)
    with pytest.raises(SubjectInvalid, match=r"comes in \d kinds|are one training under two seeds"):
        diffclaims.check_subject(Runs(tmp_path))


# What a training says


@pytest.mark.parametrize("missing", ["experiment", "training_seed"])
def test_a_training_that_does_not_say_which_it_is_is_named(some, missing):
    folder = some(range(2))
    edit(folder / "seed-1", **{missing: None})
    with pytest.raises(
        InvalidInput, match=r"training = '.*seed-1': .*which experiment and which seed it is; 1 of 2 do not"
    ):
        Runs(folder).experiments()


def test_a_folder_of_before_stays_readable(some):
    folder = some([0]) / "seed-0"
    new = ("experiment", "training_seed", "n_parameters", "uturn_levels")
    edit(folder, **dict.fromkeys(new))
    record = Record(folder)
    assert record.status().sizes["class"] == 2
    assert not record.uturns().sizes["step"]
    with pytest.raises(InvalidInput, match="say which experiment"):
        Runs(folder).experiments()


def test_other_weights_names_and_networks_are_other_experiments(some):
    folder = some(range(5))
    edit(folder / "seed-1", class_weights=[0.75, 0.25])
    edit(folder / "seed-2", experiment="Größe α")
    edit(folder / "seed-3", n_parameters=36)
    found = Runs(folder).experiments()
    assert len(found) == 4
    named = next(n for n in found if n.startswith("Gr-e-"))
    assert found[named].data == "Größe α, watched"
    weighted = found["toy-n64-w0.25-0.75"]
    # The rarer class comes first in every experiment of the name.
    assert weighted.mixture.classes == ("wide", "narrow")
    assert weighted.mixture.weights.tolist() == [0.25, 0.75]
    assert {e.model.psi_p for e in found.values()} == {
        1.0
    }  # 36 parameters of 6 x 6 are the same as none found


def test_integers_and_strings_name_classes(some):
    folder = some(range(3))
    for seed in range(3):
        edit(folder / f"seed-{seed}", classes=[8, 1])
    curves = curves_of(folder)
    assert curves["class"].values.tolist() == [1, 8]
    for seed in range(3):
        edit(folder / f"seed-{seed}", classes=["schmal é", "weit ü"])
    assert curves_of(folder)["class"].values.tolist() == ["weit ü", "schmal é"]
    assert set(outcomes(folder, "two-phases").values()) <= {"inconclusive", "holds"}


# Trainings that were stopped, and steps that were left out


def keep(folder, steps):
    """Leave only some measurements."""
    for path in folder.glob("step-*.npz"):
        if int(path.stem.split("-")[1]) not in steps:
            path.unlink()


def test_a_killed_training_does_not_count_and_is_told(some):
    folder = some(range(8))
    keep(folder / "seed-7", [s for s in planted.STEPS if s < 500])
    runs = Runs(folder)
    assert runs.left_out() == {str(folder / "seed-7"): f"it ends at step 316, others at {planted.STEPS[-1]}"}
    assert runs.title.endswith("1 left out)")
    assert curves_of(folder)["seed"].values.tolist() == list(range(7))
    assert json.loads(curves_of(folder).attrs["left_out"]) == runs.left_out()


def test_a_training_that_was_killed_at_once_does_not_count(some):
    folder = some(range(2))
    keep(folder / "seed-1", [])
    assert Runs(folder).left_out() == {str(folder / "seed-1"): "nothing was measured"}


def test_a_damaged_measurement_is_named(some):
    folder = some(range(2))
    path = folder / "seed-1" / f"step-{planted.STEPS[5]:09d}.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(diffclaims.DiffclaimsError, match=f"{path.name} cannot be read"):
        curves_of(folder)


def test_steps_that_one_training_left_out_are_interpolated_and_told(some):
    folder = some(range(3))
    whole = curves_of(some(range(3), "whole"))
    gone = planted.STEPS[7]
    keep(folder / "seed-2", [s for s in planted.STEPS if s != gone])
    curves = curves_of(folder)
    assert "1 of 54 values of each curve are interpolated" in curves.attrs["common_steps"]
    assert whole.attrs["common_steps"] == "every training was measured at every step"
    there = {"seed": [0, 1]}
    np.testing.assert_array_equal(curves.test_loss.sel(there), whole.test_loss.sel(there))
    one = {"seed": 2, "class": "wide"}
    a, x, b = (np.log(s) for s in planted.STEPS[6:9])
    left, right = (float(whole.test_loss.sel({**one, "training_time": planted.STEPS[i]})) for i in (6, 8))
    found = float(curves.test_loss.sel({**one, "training_time": gone}))
    assert found == pytest.approx(left + (right - left) * (x - a) / (b - a))


def test_too_few_steps_in_common_are_refused(some):
    folder = some(range(2))
    keep(folder / "seed-1", [0, 1, 2, 3, 2512, planted.STEPS[-1]])
    with pytest.raises(NotMeasured, match=r"have \d steps in common .* a factor of 2.5 apart; 6 are needed"):
        curves_of(folder)


def test_a_time_between_measurements_far_apart_is_refused(some):
    folder = some(range(1))
    keep(folder / "seed-0", [s for s in planted.STEPS if not 9 < s < 300])
    with pytest.raises(
        NotMeasured, match=r"class \w+ may reach learned_0.8 between steps 8 and 316, where nothing was"
    ):
        curves_of(folder)


def test_a_training_that_was_not_measured_before_it_began_is_refused(some):
    folder = some(range(1))
    keep(folder / "seed-0", [s for s in planted.STEPS if s > 0])
    with pytest.raises(NotMeasured, match=r"its first measurement is at step 1; ask monitor\.due"):
        curves_of(folder)


def test_a_class_without_held_out_samples_cannot_be_judged(tmp_path):
    planted.train(tmp_path, 0, held_out_counts={"wide": 20, "narrow": 0}, steps=planted.STEPS[:12])
    with pytest.raises(NotMeasured, match="class narrow has 0 held-out samples"):
        curves_of(tmp_path)


def test_averaged_weights_count_where_every_training_has_them(tmp_path):
    for seed in range(2):
        planted.train(tmp_path / str(seed), seed, steps=planted.STEPS[:12], ema=seed < 2)
    assert curves_of(tmp_path).attrs["weights"] == "ema"
    planted.train(tmp_path / "2", 2, steps=planted.STEPS[:12])
    assert curves_of(tmp_path).attrs["weights"] == "raw"


# On the command line


def pytest_claims(folder, *words):
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(ROOT / "claims"), *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "160"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_from_a_folder_with_a_name_of_its_own(sweep, tmp_path):
    shutil.copytree(sweep, tmp_path / "my runs ü")
    done = pytest_claims(tmp_path, "--subject", "runs:my runs ü")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed, 6 skipped" in done.stdout
    for line in (
        "it does not measure spectrum",
        "no case in the regime of this claim, which takes two classes of unequal weights",
        "+1.47 in toy-n64",
    ):
        assert line in done.stdout


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: None, "must be a folder that exists"),
        (lambda p: p.write_text(""), "must be a folder that exists"),
        (lambda p: p.mkdir(), "must hold trainings that a diffclaims.Monitor watched"),
    ],
    ids=["nothing", "a file", "an empty folder"],
)
def test_a_folder_without_trainings_is_one_error(make, message, tmp_path):
    make(tmp_path / "there")
    with pytest.raises(InvalidInput, match=message):
        diffclaims.check(f"runs:{tmp_path / 'there'}")


def test_an_object_of_a_module_called_runs_stays_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "runs", raising=False)
    (tmp_path / "runs").mkdir()  # a folder without code is no module
    assert registry.registered(extra=["runs:SUBJECT"])["runs:SUBJECT"].watched == Path("SUBJECT")
    (tmp_path / "runs.py").write_text("SUBJECT = None\n")
    (tmp_path / "runs").rmdir()
    assert registry.registered(extra=["runs:SUBJECT"])["runs:SUBJECT"].target == "runs:SUBJECT"
    assert registry.registered(extra=["runs:./SUBJECT"])["runs:./SUBJECT"].watched == Path("SUBJECT")
    (tmp_path / "SUBJECT").mkdir()
    with pytest.raises(InvalidInput, match=r"both are there; write runs:\./SUBJECT for the folder"):
        registry.registered(extra=["runs:SUBJECT"])


def test_names_of_folders_are_words_and_differ(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [Runs(f).name for f in ("lab", "lab/x", "my lab", "my-lab", "./lab", "../lab", "Größe")]
    assert names[0] == names[4] == "runs-lab"
    assert names[1] == "runs-lab-x"
    assert len(set(names)) == 6
    assert all(c.isascii() and (c.isalnum() or c in "-._+") for n in names for c in n)
