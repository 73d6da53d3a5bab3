"""Data sets: one object each, found by name; all of them train, are measured and are judged."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from diffclaims.api.claim import chosen_claims
from diffclaims.errors import InvalidInput
from diffclaims.subjects.contract import check_subject
from diffclaims.subjects.unet import UNetSubject
from diffclaims.unet import cli
from diffclaims.unet.config import RunConfig
from diffclaims.unet.data import DataError, DataSet, LabelledImages, data_set
from diffclaims.unet.data.choice import DataConfig
from diffclaims.unet.data.data_set import pixels
from diffclaims.unet.data.prepare import prepare
from diffclaims.unet.data.registry import BUILT_IN
from diffclaims.unet.train.presets import suiting

PAGE = Path(__file__).parents[2] / "docs" / "add-a-data-set.md"
#: Enough of a run to measure everything once.
QUICK = {"steps": 24, "snapshots": 6, "first_snapshot": 2, "n_eval": 16}


def images(shape, n_classes=2, n=12):
    x = np.random.default_rng(0).integers(0, 256, (n, *shape)).astype(np.uint8)
    y = np.arange(n) % n_classes
    return LabelledImages(x, y.astype(np.uint8), x, y.astype(np.uint8))


def of(found, **more):
    stated = {"name": "mine", "classes": ("a", "b"), "side": 4, "read": lambda folder, download: found} | more
    return DataSet(**stated)


@pytest.mark.parametrize("name", BUILT_IN)
def test_each_states_what_a_user_must_know(name):
    one = data_set(name)
    assert one.name == name
    assert one.licence
    assert one.origin
    assert set(suiting(name)["classes"]) <= set(one.classes)
    DataConfig(dataset=name, classes=one.settings["classes"], resolution=one.settings["resolution"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("digit", "did you mean 'digits'"),
        ("no_such_module:DATA", "be imported"),
        ("diffclaims.unet.data.digits:OTHER", "has no 'OTHER'"),
    ],
)
def test_an_unknown_data_set_is_refused(name, message):
    with pytest.raises(InvalidInput, match=message):
        data_set(name)


def test_a_class_is_one_of_the_data_set():
    with pytest.raises(InvalidInput, match="be one of 0, 1"):
        DataConfig(dataset="digits", classes=("Bag", "0"), resolution=8)
    with pytest.raises(InvalidInput, match="resolution must be 8"):
        DataConfig(dataset="digits", classes=("1", "0"), resolution=14)


@pytest.mark.parametrize("classes", [("a", "a"), ("a", "b:c"), ("a", "")])
def test_classes_must_be_told_apart(classes):
    with pytest.raises(InvalidInput, match="different words"):
        of(None, classes=classes)


def test_resolutions_divide_the_side():
    with pytest.raises(InvalidInput, match="divide the side 4"):
        of(None, resolutions=(3,))


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (images((4, 4, 3)), "must be bytes of shape"),
        (images((4, 4), n_classes=3), "label is 2, of 2 classes"),
    ],
)
def test_what_was_read_must_be_what_is_stated(found, message):
    with pytest.raises(DataError, match=message):
        of(found).load()


def test_colours_come_before_pixels_and_blocks_are_averaged():
    x = images((4, 4, 3)).train_images
    full, half = pixels(x, 4), pixels(x, 2)
    assert full.shape == (12, 3, 4, 4)
    np.testing.assert_array_equal(full[:, 1], x[..., 1].astype(np.float32) / np.float32(127.5) - 1)
    np.testing.assert_allclose(half[:, 2, 0, 0], full[:, 2, :2, :2].mean(axis=(1, 2)), atol=1e-6)


def test_a_run_without_a_choice_keeps_its_key():
    """The key of a run that was recorded before data sets had names."""
    assert "dataset" not in RunConfig.of("x").to_json()
    assert RunConfig.from_json(RunConfig.of("x").to_json()) == RunConfig.of("x")
    other = RunConfig.of("x", **suiting("digits"))
    assert RunConfig.from_json(other.to_json()) == other
    assert other.key != RunConfig.of("x").key


def test_the_digits_are_bytes_of_ten_classes():
    pytest.importorskip("sklearn")
    found = data_set("digits").load()
    assert len(found.train_labels) + len(found.test_labels) == 1797
    assert found.train_images.max() == 255
    assert np.bincount(found.test_labels).min() >= 50
    assert set(found.train_labels) == set(range(10))


def judged(dataset, folder):
    subject = UNetSubject(preset="smoke", dataset=dataset, results=folder, settings=QUICK)
    check_subject(subject)
    found = []
    for claim in chosen_claims(["two-phases", "variance-order", "bias-before-best"]):
        found += [claim.run(subject, case) for case in claim.cases_for(subject)]
    return subject, found


@pytest.mark.parametrize("dataset", ["digits", "blobs"])
def test_it_trains_is_measured_and_is_judged(dataset, tmp_path):
    if dataset == "digits":
        pytest.importorskip("sklearn")
    subject, found = judged(dataset, tmp_path)
    (experiment,) = subject.experiments().values()
    assert experiment.classes == data_set(dataset).settings["classes"]
    assert experiment.data.startswith(f"{dataset}: 8x8")
    assert len(found) >= 2
    assert all(r.verdict is not None for r in found)
    curves = subject.learning_curves(experiment)
    # Everything that is measured of Fashion-MNIST is measured here: losses, copies, U-turns.
    assert {"test_loss", "train_loss", "copied_fraction", "tau_gen_by_definition"} <= set(curves.data_vars)
    assert "return_probability" in subject.speciation(experiment, [0.5])


def test_the_page_is_a_complete_working_file(tmp_path, monkeypatch, capsys):
    code = re.search(r"<!-- file: stripes.py -->\s+```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[1]
    (tmp_path / "stripes.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    prepared = prepare(
        DataConfig(dataset="stripes:DATA", classes=("lying", "standing"), resolution=8, size=16),
        data_set("stripes:DATA").load(),
        seed=0,
        n_held_out=10,
    )
    assert prepared.train.shape == (32, 1, 8, 8)
    quick = [word for key, value in QUICK.items() for word in ("--set", f"{key}={value}")]
    words = [
        "--preset",
        "smoke",
        "--dataset",
        "stripes:DATA",
        "--results",
        str(tmp_path / "runs"),
        "--seeds",
        "1",
    ]
    assert cli.main(["train", *words, *quick]) == 0
    assert cli.main(["record", *words, *quick, "--out", str(tmp_path / "recorded")]) == 0
    assert len(list((tmp_path / "recorded").glob("*.nc"))) == 2
    assert cli.main(["train", *words, *quick, "--set", "classes=Bag,lying"]) == 2
    assert "be one of lying, standing" in capsys.readouterr().err
