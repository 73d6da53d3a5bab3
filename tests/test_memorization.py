"""Planted copies, planted strangers, and what stands between: measures of memorization per class."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from diffclaims.errors import InvalidInput
from diffclaims.memorization import copies, membership
from diffclaims.memorization.distances import first_same

D = 12
SPREAD = {"wide": 3.0, "narrow": 0.5}


def draw(rng, n, classes=tuple(SPREAD)):
    """n samples of each class, Gaussian, with its own spread, far from the other class."""
    x = [SPREAD[c] * rng.normal(size=(n, D)) + 40 * (c == "narrow") for c in classes]
    return np.concatenate(x), np.repeat(list(classes), n)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return {"train": draw(rng, 60), "held_out": draw(rng, 200), "fresh": draw(rng, 150)}


def measure(data, samples, labels, train=None, **more):
    return copies(samples, labels, *(train or data["train"]), *data["held_out"], **more)


def copied_from(train, labels, rng, size=0.02):
    """Training samples with a little noise, in proportion to the spread of their class."""
    scale = np.array([SPREAD[c] for c in labels])[:, None]
    return train + size * scale * rng.normal(size=train.shape), labels


def test_copies_are_called_copies_by_every_measure_and_strangers_by_none(data):
    rng = np.random.default_rng(1)
    found = measure(data, *copied_from(*data["train"], rng))
    assert (found["gap_ratio"] > 0.95).all()
    assert (found["auth_pct"] < 0.05).all()
    assert (found["copied"] > 0.95).all()
    assert (found["c_t"] < -8).all()
    new = measure(data, *data["fresh"])
    for name in ("gap_ratio", "auth_pct", "copied"):
        # 150 generated samples against 200 held-out ones, or half of them.
        assert (np.abs(new[name] - new[f"{name}_null"]) < 0.12).all(), name
    assert (np.abs(new["c_t"]) < 3.1).all()


def test_the_class_that_is_copied_is_the_one_that_is_named(data):
    rng = np.random.default_rng(2)
    train, labels = data["train"]
    wide = copied_from(train[labels == "wide"], labels[labels == "wide"], rng)
    narrow = data["fresh"][0][data["fresh"][1] == "narrow"]
    samples = np.concatenate([wide[0], narrow])
    found = measure(data, samples, np.r_[wide[1], ["narrow"] * len(narrow)])
    assert float(found["gap_ratio"].sel({"class": "wide"})) > 0.95
    assert float(found["gap_ratio"].sel({"class": "narrow"})) < 0.05
    assert float(found["c_t"].sel({"class": "wide"})) < -8 < -3 < float(found["c_t"].sel({"class": "narrow"}))


def test_training_samples_that_come_twice_hide_no_copies(data):
    """The second nearest would lie at no distance from the nearest, so that nothing was near in comparison."""
    rng = np.random.default_rng(3)
    train, labels = data["train"]
    twice = (np.concatenate([train, train]), np.r_[labels, labels])
    found = measure(data, *copied_from(train, labels, rng), train=twice)
    assert (found["gap_ratio"] > 0.95).all()
    assert found["n_repeated"].values.tolist() == [60, 60]
    assert found["n_train"].values.tolist() == [120, 120]
    plain = measure(data, *copied_from(train, labels, np.random.default_rng(3)))
    np.testing.assert_array_equal(found["auth_pct"], plain["auth_pct"])


def test_a_class_of_one_training_sample(data):
    train, labels = data["train"]
    one = np.r_[np.flatnonzero(labels == "wide"), np.flatnonzero(labels == "narrow")[:1]]
    narrow = train[one[-1:]]
    samples = np.concatenate([data["fresh"][0], narrow + 1e-3])
    found = measure(data, samples, np.r_[data["fresh"][1], ["narrow"]], train=(train[one], labels[one]))
    assert found.sel({"class": "narrow"})["n_train"] == 1
    assert np.isfinite(found["gap_ratio"]).all()
    assert np.isfinite(found["c_t"]).all()


def test_what_is_missing_is_said(data):
    alone = copies(*data["fresh"], *data["train"])
    assert np.isfinite(alone["gap_ratio"]).all()
    assert "copied" not in alone
    assert "narrow: copied and c_t need two held-out samples or more, there are 0" in alone.attrs["missing"]
    only = data["fresh"][1] == "wide"
    some = measure(data, data["fresh"][0][only], data["fresh"][1][only])
    assert np.isnan(some["gap_ratio"].sel({"class": "narrow"}))
    assert some.attrs["missing"] == "narrow: no samples were generated"


def test_distances_can_be_measured_in_features(data):
    """In one feature that is the same for all samples everything lies at one distance."""
    rng = np.random.default_rng(4)
    mixing = rng.normal(size=(D, 5))
    found = measure(data, *copied_from(*data["train"], rng), features=lambda x: x @ mixing)
    assert found.attrs["n_features"] == 5
    assert (found["gap_ratio"] > 0.8).all()


def test_units_of_the_data_do_not_matter(data):
    a = measure(data, *data["fresh"])
    scaled = {k: (1e-4 * x, y) for k, (x, y) in data.items()}
    b = measure(scaled, *scaled["fresh"])
    for name in ("gap_ratio", "auth_pct", "copied", "c_t"):
        np.testing.assert_allclose(a[name], b[name])


def test_images_are_taken_as_they_are(data):
    train, labels = data["train"]
    flat, images = (
        copies(x, labels, y, labels) for x, y in ((train, train), (train.reshape(-1, 3, 2, 2),) * 2)
    )
    np.testing.assert_array_equal(flat["auth_pct"], images["auth_pct"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda a: a.update(samples=np.full((2, D), np.nan)),
            "samples = '<sample 0>': samples must be finite",
        ),
        (lambda a: a.update(samples=np.ones((2, D + 1))), "have the 12 numbers of the training samples"),
        (lambda a: a.update(sample_labels=["wide", "cat"]), "be among the classes of the training samples"),
        (lambda a: a.update(sample_labels=["wide"]), r"have shape \(2,\)"),
        (lambda a: a.update(held_out=None), "be given both or neither"),
        (lambda a: a.update(train=np.empty((0, D))), "one row for each sample, at least one"),
        (lambda a: a.update(features=lambda x: x[:1]), "have 120 rows"),
    ],
)
def test_bad_input_is_one_clear_error(data, change, message):
    given = {
        "samples": np.ones((2, D)),
        "sample_labels": ["wide", "narrow"],
        "train": data["train"][0],
        "train_labels": data["train"][1],
        "held_out": data["held_out"][0],
        "held_out_labels": data["held_out"][1],
    }
    change(given)
    with pytest.raises(InvalidInput, match=message):
        copies(**given)


class TestMembership:
    """Losses that know who was trained on, and losses that do not."""

    @pytest.fixture
    def losses(self):
        rng = np.random.default_rng(5)
        labels = np.repeat([8, 3], 300)
        return rng.normal(1.0, 0.2, 600), labels, rng.normal(1.0, 0.2, 600)

    def test_nothing_is_told_where_there_is_nothing(self, losses):
        train, labels, held_out = losses
        found = membership(train, labels, held_out, labels)
        assert found["class"].values.tolist() == [3, 8]
        assert ((found["auc_low"] <= 0.5) & (found["auc_high"] >= 0.5)).all()
        assert ((found["loss_gap_low"] <= 0) & (found["loss_gap_high"] >= 0)).all()
        assert (found["tpr"] < 0.06).all()

    def test_the_class_whose_losses_fell_is_named(self, losses):
        train, labels, held_out = losses
        found = membership(train - 0.6 * (labels == 8), labels, held_out, labels)
        memorized, other = found.sel({"class": 8}), found.sel({"class": 3})
        assert float(memorized["auc_low"]) > 0.95
        assert float(memorized["tpr_low"]) > 0.5
        assert float(memorized["loss_gap"]) == pytest.approx(0.6, abs=0.05)
        assert float(other["auc_low"]) <= 0.5 <= float(other["auc_high"])

    def test_few_held_out_samples_leave_the_share_open(self, losses):
        train, labels, held_out = losses
        few = np.r_[0:50, 300:301]
        found = membership(train, labels, held_out[few], labels[few])
        assert found["tpr"].isnull().all()
        assert np.isfinite(found["auc"].sel({"class": 8}))
        assert np.isnan(found["auc"].sel({"class": 3}))
        assert "8: 50 held-out samples; tpr needs 100" in found.attrs["missing"]

    def test_bad_losses_are_refused(self, losses):
        train, labels, held_out = losses
        with pytest.raises(InvalidInput, match="nan at sample 3"):
            membership(np.where(np.arange(600) == 3, np.nan, train), labels, held_out, labels)
        with pytest.raises(InvalidInput, match="be one number for each sample"):
            membership(train[:, None], labels, held_out, labels)


def test_the_page_s_example_gives_what_it_prints(capsys):
    page = Path(__file__).parents[1] / "docs" / "memorization.md"
    if not page.is_file():
        pytest.skip("the pages lie in a checkout")
    code, printed = re.findall(r"```(?:python|text)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)[
        :2
    ]
    exec(compile(code, page.name, "exec"), {})
    assert capsys.readouterr().out.split() == printed.split()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("spread", [1e-9, 1e-3, 1.0])
def test_the_same_sample_is_found_whatever_its_rounding(dtype, spread):
    rng = np.random.default_rng(0)
    plain = (5.0 + spread * rng.normal(size=(300, 40))).astype(dtype)
    scaled = ((plain * dtype(255) - dtype(3)) + dtype(3)) / dtype(255)
    order = rng.permutation(600)
    first = first_same(np.concatenate([plain, scaled])[order].__getitem__, 600)
    expected = np.array([np.flatnonzero(order % 300 == i % 300)[0] for i in order])
    if spread == 1e-9:
        # All lie within rounding of each other: one sample.
        assert (first == 0).mean() > 0.95
    else:
        np.testing.assert_array_equal(first, expected)


def test_many_copies_of_one_sample_are_one():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(50, 6))
    which = rng.integers(50, size=3000)
    first = first_same(x[which].__getitem__, 3000)
    np.testing.assert_array_equal(which[first], which)
    assert len(np.unique(first)) == len(np.unique(which))
    assert (first <= np.arange(3000)).all()
    assert first_same(x.__getitem__, 1).tolist() == [0]
