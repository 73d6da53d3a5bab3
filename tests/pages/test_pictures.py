"""Pictures of generated samples beside their nearest training sample: which ones, and how they are kept."""

from __future__ import annotations

import base64
import io
import struct
import zlib

import numpy as np
import pytest

from diffclaims.errors import InvalidInput
from diffclaims.monitor.data import Data
from diffclaims.monitor.pictures import EACH, Pictures
from diffclaims.monitor.samples import Pool
from diffclaims.pages.png import data_uri


@pytest.mark.parametrize(
    ("images", "shape", "told"),
    [
        (True, (8, 6), (8, 6)),
        (True, (1, 8, 6), (1, 8, 6)),
        (True, (3, 8, 6), (3, 8, 6)),
        (True, (8, 6, 3), (8, 6, 3)),
        ((8, 6), (48,), (8, 6)),
        ([8, 6], (1, 8, 6), (8, 6)),
    ],
)
def test_shapes_of_images(images, shape, told):
    assert Pictures.of(images, shape).shape == told


@pytest.mark.parametrize(
    ("images", "shape"),
    [(True, (48,)), (True, (5, 8, 6)), ((8, 7), (48,)), ((-8, -6), (48,)), ((2, 2, 2, 6), (48,))],
)
def test_what_is_no_image_is_refused(images, shape):
    with pytest.raises(InvalidInput, match="images must be the shape of images"):
        Pictures.of(images, shape)


def test_none_are_kept_unless_asked():
    assert Pictures.of(False, (8, 8)) is None


def pool(shape=(3, 4)):
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, 1, (20, *shape)), np.arange(20) % 2
    return Pool(Data.of((x, y), (rng.uniform(0, 1, (20, *shape)), y), 0), None)


def test_a_planted_copy_comes_first_beside_its_source():
    found = pool()
    rng = np.random.default_rng(1)
    samples = rng.uniform(0, 1, (12, 3, 4))
    of = list(np.arange(12) % 2)
    source = int(np.flatnonzero(found.labels == 1)[3])
    samples[7] = found.x[source] + 1e-3
    about, arrays = Pictures((3, 4)).nearest(found, samples, of)
    assert [a["class"] for a in about] == [0] * EACH + [1] * EACH
    first = about[EACH]
    assert first["copy"]
    assert first["ratio"] < 0.05
    assert first["train_class"] == 1
    assert sum(a["copy"] for a in about) == 1
    low, high = found.x.min(), found.x.max()
    expected = np.clip(np.round(255 * (found.x[source] - low) / (high - low)), 0, 255)
    assert np.array_equal(arrays["train"][EACH], expected.astype(np.uint8))
    assert np.abs(arrays["samples"][EACH].astype(int) - expected).max() <= 1
    for part in (about[:EACH], about[EACH:]):
        assert [a["ratio"] for a in part] == sorted(a["ratio"] for a in part)


@pytest.mark.parametrize(
    ("shape", "kept"),
    [((3, 8, 6), (8, 6, 3)), ((8, 6, 3), (8, 6, 3)), ((1, 8, 6), (8, 6)), ((200, 100), (50, 25))],
)
def test_pictures_are_small_and_have_channels_last(shape, kept):
    found = pool(shape)
    _, arrays = Pictures(shape).nearest(found, found.x[:4] + 0.01, found.labels[:4].tolist())
    assert arrays["samples"].shape[1:] == arrays["train"].shape[1:] == kept
    assert arrays["train"].dtype == np.uint8


def test_channels_of_pytorch_keep_their_colours():
    red = np.zeros((2, 3, 4, 4))
    red[:, 0] = 1.0
    kept = Pictures((3, 4, 4))._bytes(red, (0.0, 1.0))
    assert kept[0, 0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
def test_a_png_holds_the_image(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    head, _, body = data_uri(image).partition(",")
    assert head == "data:image/png;base64"
    raw = base64.b64decode(body)
    assert struct.unpack(">II", raw[16:24]) == (7, 5)
    length = struct.unpack(">I", raw[33:37])[0]
    rows = np.frombuffer(zlib.decompress(raw[41 : 41 + length]), np.uint8).reshape(5, -1)
    assert np.array_equal(rows[:, 1:].reshape(shape), image)
    pillow = pytest.importorskip("PIL.Image")
    assert np.array_equal(np.asarray(pillow.open(io.BytesIO(raw))), image)


def test_a_monitor_keeps_them(tmp_path):
    pytest.importorskip("torch")
    from diffclaims import Monitor, denoisers

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 6)).astype(np.float32), np.arange(40) % 2
    held = rng.normal(size=(40, 6)).astype(np.float32), y
    denoiser = denoisers.from_x0(lambda x, sigma: x / (1 + sigma[:, None] ** 2))
    for images in ((2, 3), False):
        monitor = Monitor(tmp_path / str(images), train=(x, y), held_out=held, images=images)
        monitor.measure(0, denoiser, samples=True)
        about, arrays = monitor.record.near()
        assert len(about) == (2 * EACH if images else 0)
        assert {k: v.shape for k, v in arrays.items()} == (
            {"samples": (8, 2, 3), "train": (8, 2, 3)} if images else {}
        )
