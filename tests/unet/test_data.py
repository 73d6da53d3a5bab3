"""Reading the four files, and the sets made of them. No torch."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffclaims.errors import InvalidInput
from diffclaims.unet.config import DataConfig
from diffclaims.unet.data import fashion_mnist as data
from diffclaims.unet.data.data_set import DataError, LabelledImages, pixels
from diffclaims.unet.data.fashion_mnist import CLASS_NAMES, load_fashion_mnist
from diffclaims.unet.data.prepare import prepare


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Four small IDX files, and their checksums in place of the real ones."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    table = {}
    for name, spec in data._FILES.items():
        shape = (12, 28, 28) if len(spec.shape) == 3 else (12,)
        body = rng.integers(0, 10, size=shape).astype(np.uint8)
        raw = np.array([spec.magic, *shape], dtype=">i4").tobytes() + body.tobytes()
        packed = gzip.compress(raw, mtime=0)
        (folder / f"{name}.gz").write_bytes(packed)
        digest = [hashlib.md5(b, usedforsecurity=False).hexdigest() for b in (packed, raw)]
        table[name] = data._File(*digest, spec.magic, shape)
    monkeypatch.setattr(data, "_FILES", table)
    monkeypatch.delenv(data.DATA_VARIABLE, raising=False)
    return tmp_path


IMAGES = "train-images-idx3-ubyte"


def test_reads_checked_files(files):
    found = load_fashion_mnist(files)
    assert found.train_images.shape == (12, 28, 28)
    assert found.test_labels.shape == (12,)
    assert found.train_images.max() < 10


def test_the_folder_of_the_files_itself_and_the_variable_work(files, monkeypatch):
    direct = load_fashion_mnist(files / "FashionMNIST" / "raw")
    monkeypatch.setenv(data.DATA_VARIABLE, str(files))
    np.testing.assert_array_equal(direct.train_images, load_fashion_mnist().train_images)


def test_reads_unpacked_files_checked_too(files):
    path = files / "FashionMNIST" / "raw" / f"{IMAGES}.gz"
    packed = load_fashion_mnist(files)
    path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
    path.unlink()
    np.testing.assert_array_equal(load_fashion_mnist(files).train_images, packed.train_images)
    path.with_suffix("").write_bytes(path.with_suffix("").read_bytes()[:-1])
    with pytest.raises(DataError, match=r"MD5 .* it must be"):
        load_fashion_mnist(files)


DAMAGE = {
    "truncated": (lambda raw: raw[: len(raw) // 2], "is damaged, or only a part was fetched"),
    "the end is missing": (lambda raw: raw[:-5], "is damaged, or only a part was fetched"),
    "changed": (lambda raw: raw[:-20] + bytes([raw[-20] ^ 1]) + raw[-19:], "is damaged, or only a part"),
    "another": (lambda raw: gzip.compress(b"another"), "is another file"),
    "unpacked and cut": (lambda raw: gzip.decompress(raw)[:-1], "is another file"),
    "empty": (lambda raw: b"", "is empty"),
    "page": (lambda raw: b"\n<!DOCTYPE html><title>404</title>", "is a web page"),
    "pointer": (
        lambda raw: b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
        "is a pointer of Git LFS",
    ),
    "archive": (lambda raw: b"PK\x03\x04rest", "is a zip archive"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_named_for_what_it_is(files, damage):
    change, named = DAMAGE[damage]
    path = files / "FashionMNIST" / "raw" / f"{IMAGES}.gz"
    path.write_bytes(change(path.read_bytes()))
    size = path.stat().st_size
    with pytest.raises(DataError, match=rf"{IMAGES}\.gz \({size} bytes\) {named}.*MD5 .*delete it and fetch"):
        load_fashion_mnist(files)


@pytest.mark.parametrize(
    "pack",
    [
        gzip.decompress,
        lambda raw: gzip.compress(gzip.decompress(raw), compresslevel=1, mtime=5),
        lambda raw: gzip.compress(raw),
    ],
    ids=["unpacked under its name", "packed anew", "packed twice"],
)
def test_what_has_the_right_content_is_read(files, pack):
    before = load_fashion_mnist(files).train_images
    path = files / "FashionMNIST" / "raw" / f"{IMAGES}.gz"
    path.write_bytes(pack(path.read_bytes()))
    np.testing.assert_array_equal(load_fashion_mnist(files).train_images, before)


@pytest.mark.parametrize(
    "copy", [f"{IMAGES} (1).gz", f"{IMAGES}(1).gz", f"{IMAGES}.gz.1", "train-images.idx3-ubyte"]
)
def test_a_renamed_copy_is_named(files, copy):
    path = files / "FashionMNIST" / "raw" / f"{IMAGES}.gz"
    path.rename(path.with_name(copy))
    with pytest.raises(
        DataError, match=rf"missing, but {re.escape(repr(copy))} lies there: .* to {IMAGES}.gz"
    ):
        load_fashion_mnist(files)


def test_a_folder_in_the_place_of_a_file_and_a_file_in_that_of_a_folder(files):
    path = files / "FashionMNIST" / "raw" / f"{IMAGES}.gz"
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match=rf"{IMAGES}\.gz is a folder; it must be a file"):
        load_fashion_mnist(files)
    with pytest.raises(DataError, match="is a file; --data-dir must be the folder"):
        load_fashion_mnist(files / "FashionMNIST" / "raw" / "t10k-labels-idx1-ubyte.gz")


def test_the_tilde_is_the_home_folder(files, monkeypatch):
    monkeypatch.setenv("HOME", str(files))
    assert load_fashion_mnist("~").train_images.shape == (12, 28, 28)
    monkeypatch.setenv(data.DATA_VARIABLE, "~/FashionMNIST/raw")
    assert load_fashion_mnist().train_images.shape == (12, 28, 28)


def test_a_missing_file_is_named_with_the_fix(files):
    (files / "FashionMNIST" / "raw" / f"{IMAGES}.gz").unlink()
    with pytest.raises(
        DataError, match=rf"{IMAGES}\.gz is missing: point --data-dir or {data.DATA_VARIABLE}"
    ):
        load_fashion_mnist(files)


def test_no_folder_at_all(monkeypatch):
    monkeypatch.delenv(data.DATA_VARIABLE, raising=False)
    with pytest.raises(DataError, match="no data folder: give --data-dir"):
        load_fashion_mnist()


def test_download_without_a_working_torchvision_says_what_to_do(files, monkeypatch):
    (files / "FashionMNIST" / "raw" / f"{IMAGES}.gz").unlink()
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    with pytest.raises(
        DataError, match=r"torchvision does not import here .*copy the four Fashion-MNIST files"
    ):
        load_fashion_mnist(files, download=True)


def test_files_that_are_there_need_no_torchvision(files, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    load_fashion_mnist(files, download=True)


def test_the_three_ways_to_count():
    def counts(**kw):
        return DataConfig(classes=("Bag", "Trouser"), **kw).counts()

    assert counts(size=64) == (64, 64)
    assert counts(size=256, size_of="n_total", weights=(0.1, 0.9)) == (26, 230)
    assert counts(size=230, size_of="n_majority", weights=(0.1, 0.9)) == (26, 230)


@given(st.lists(st.floats(0.05, 1), min_size=2, max_size=10), st.integers(60, 2000))
def test_counts_of_n_total_add_up_and_follow_the_weights(raw, size):
    weights = np.array(raw) / sum(raw)
    counts = DataConfig(
        classes=CLASS_NAMES[: len(raw)], size=size, size_of="n_total", weights=tuple(weights.tolist())
    )
    try:
        found = np.array(counts.counts())
    except InvalidInput:
        assert (weights * size).min() < 3
        return
    assert found.sum() == size
    assert np.abs(found - weights * size).max() < 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"classes": ("Bag", "Hat")}, "class = 'Hat'"),
        ({"classes": ("Bag", "Bag")}, "name each class once"),
        ({"weights": (0.5, 0.6)}, "sum to 1"),
        ({"weights": (0.3, 0.7)}, "n_total or n_majority when weights differ"),
        ({"weights": (0.001, 0.999), "size_of": "n_total"}, "leave every class at least 2"),
        ({"resolution": 20}, "be 14 or 28"),
        ({"control": "variance"}, "none, variance-swap or variance-mirror"),
        ({"control": "variance-swap", "classes": ("Bag", "Coat", "Boot")}, "unless there are two classes"),
        ({"size": 1}, "at least 2"),
    ],
)
def test_bad_data_settings_are_refused(settings, message):
    with pytest.raises(InvalidInput, match=message):
        DataConfig(**settings).counts()


def test_prepared_sets_are_disjoint_scaled_and_repeatable(source):
    config = DataConfig(size=20)
    a, b, c = (prepare(config, source, seed=s, n_held_out=30) for s in (0, 0, 1))
    np.testing.assert_array_equal(a.train, b.train)
    assert not np.array_equal(a.train, c.train)
    np.testing.assert_array_equal(a.held_out, c.held_out)
    assert a.train.shape == (40, 1, 14, 14)
    assert a.counts == (20, 20)
    assert a.train.dtype == np.float32
    assert -1 <= a.train.min() <= a.train.max() <= 1
    trained = {x.tobytes() for x in a.train}
    assert not any(x.tobytes() in trained for k in a.held_out for x in k)


def test_a_test_image_that_was_trained_on_is_left_out(source):
    images = source.test_images.copy()
    bags, trained = np.flatnonzero(source.test_labels == 8), np.flatnonzero(source.train_labels == 8)
    images[bags[0]] = source.train_images[trained[0]]
    leaking = LabelledImages(source.train_images, source.train_labels, images, source.test_labels)
    config = DataConfig(size=len(trained))
    prepared = prepare(config, leaking, seed=0, n_held_out=30)
    np.testing.assert_array_equal(prepared.held_out[0][0], pixels(images[bags[1:2]], 14)[0])


def test_pixels_are_means_over_two_by_two():
    raw = np.arange(28 * 28, dtype=np.int64).reshape(1, 28, 28) % 256
    small = pixels(raw.astype(np.uint8), 14)
    assert small[0, 0, 3, 5] == pytest.approx(raw[0, 6:8, 10:12].mean() / 127.5 - 1, abs=1e-6)
    assert pixels(raw.astype(np.uint8), 28).shape == (1, 1, 28, 28)


@pytest.mark.parametrize("control", ["variance-swap", "variance-mirror"])
def test_controls_match_total_variances_and_keep_means(source, control):
    plain = prepare(DataConfig(size=10), source, seed=0, n_held_out=20)
    scaled = prepare(DataConfig(size=10, control=control), source, seed=0, n_held_out=20)
    total = [x.reshape(len(x), -1).var(axis=0).sum() for x in scaled.population]
    assert total[0] == pytest.approx(total[1], rel=1e-4)
    changed = 0 if control == "variance-swap" else 1
    np.testing.assert_array_equal(scaled.population[1 - changed], plain.population[1 - changed])
    np.testing.assert_allclose(
        scaled.population[changed].mean(axis=0), plain.population[changed].mean(axis=0), atol=1e-5
    )
    mean = plain.population[changed].mean(axis=0)
    expected = mean + scaled.contrast[changed] * (plain.held_out[changed] - mean)
    np.testing.assert_allclose(scaled.held_out[changed], expected, atol=1e-5)


def test_halves_of_a_class_are_disjoint(source):
    halves = prepare(DataConfig(classes=("Bag:1/2", "Bag:2/2"), size=20), source, seed=0, n_held_out=20)
    first, second = ({x.tobytes() for x in p} for p in halves.population)
    assert not first & second
    assert len(first) + len(second) == 220


@pytest.mark.parametrize("name", ["Bag:0/2", "Bag:3/2", "Bag:a/b", "bag", ""])
def test_bad_class_names(name):
    with pytest.raises(InvalidInput, match="class ="):
        data.DATA.label(name)


def test_too_many_images_are_refused(source):
    with pytest.raises(InvalidInput, match="at most the 220 images of Bag"):
        prepare(DataConfig(size=221), source, seed=0, n_held_out=10)
    with pytest.raises(InvalidInput, match="at most the 60 test images of Bag"):
        prepare(DataConfig(size=10), source, seed=0, n_held_out=61)


@pytest.mark.skipif(not os.environ.get(data.DATA_VARIABLE), reason=f"{data.DATA_VARIABLE} is not set")
def test_the_real_files():
    found = load_fashion_mnist()
    assert np.bincount(found.train_labels).tolist() == [6000] * 10
    assert np.bincount(found.test_labels).tolist() == [1000] * 10
    prepared = prepare(DataConfig(control="variance-swap"), found, seed=0, n_held_out=10)
    assert prepared.contrast[0] == pytest.approx(0.597, abs=5e-4)


@pytest.mark.skipif(not os.environ.get(data.DATA_VARIABLE), reason=f"{data.DATA_VARIABLE} is not set")
def test_the_oracle_on_the_real_classes():
    """Return probability 0.775 of Bag against Trouser at 14 x 14, recorded from these very files."""
    from diffclaims.unet.measure.oracle import oracle_uturns
    from diffclaims.unet.measure.wiener import ClassMoments

    prepared = prepare(DataConfig(size=10), load_fashion_mnist(), seed=0, n_held_out=980)
    moments = [ClassMoments.of(x) for x in prepared.population]
    assert moments[0].total_variance == pytest.approx(50.41, abs=0.01)
    assert moments[1].total_variance == pytest.approx(17.98, abs=0.01)
    levels = np.geomspace(2, 8, 13)
    for weight, sigma in ((0.5, 4.65), (0.1, 2.80)):
        rng = np.random.default_rng(0)
        found, _ = oracle_uturns(list(prepared.held_out), levels, moments, (weight, 1 - weight), rng=rng)
        bag = found[0, 0]
        i = int(np.argmax(bag < 0.775))
        at = np.interp(0.775, [bag[i], bag[i - 1]], np.log([levels[i], levels[i - 1]]))
        assert np.exp(at) == pytest.approx(sigma, rel=0.04)
