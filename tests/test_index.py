"""What is read by an index is what the library reads, and an index is believed only where the seal holds."""

from __future__ import annotations

import json
import zlib

import numpy as np
import pytest
import xarray as xr

from diffclaims.storage import index, quick
from diffclaims.storage import netcdf as storage
from diffclaims.storage import paths as locate
from diffclaims.storage.seal import is_whole, sealed, unsealed
from diffclaims.storage.storable import plain

FILES = sorted(locate.baselines_dir().rglob("*.nc"))[::9]


def plainly(groups):
    """All that is in groups, in their order, with the types and bytes of values."""
    return [
        (
            path,
            [(k, plain(v)) for k, v in group.attrs.items()],
            sorted(group.coordinates),
            [
                (name, dims, values.dtype.str, values.shape, values.tolist(), values.tobytes(), plain(attrs))
                for name, (dims, values, attrs) in group.variables.items()
            ],
        )
        for path, group in groups.items()
    ]


def same(content):
    if index.groups_in(content) is None:
        content = storage.with_index(content)
    by_index, by_library = index.groups_in(content), quick.groups_of(content)
    # Repeated by JSON, where values that are not numbers are equal.
    assert repr(plainly(by_index)) == repr(plainly(by_library))
    return by_index


@pytest.mark.parametrize("path", FILES, ids=lambda p: "/".join(p.parts[-3:]))
def test_recorded_files_are_read_alike(path):
    same(unsealed(path.read_bytes()))


def test_what_is_kept_here_has_an_index():
    with_one = [index.groups_in(unsealed(p.read_bytes())) is not None for p in FILES]
    assert np.mean(with_one) > 0.9  # those that were written before it was there are read by the library


RNG = np.random.default_rng(0)
ODD = {
    "no text": xr.Dataset(attrs={"note": ""}),
    "numbers": xr.Dataset(attrs={"n": [1, 2], "x": 0.1, "inf": np.inf, "nan": np.nan}),
    "no values": xr.Dataset({"x": ("k", np.zeros(0))}),
    "a scalar": xr.Dataset({"x": 1.5, "flag": True}),
    "flags": xr.Dataset({"x": ("k", [True, False])}),
    "single precision": xr.Dataset({"x": ("k", np.array([0.1, np.nan, np.inf], np.float32))}),
    "few words": xr.Dataset({"v": ("x", ["", "a", "\u03c4"])}),
    "many words": xr.Dataset({"v": (("x", "y"), np.tile(["holds", "fails \u03c4"], (100, 1)))}),
    "many attributes": xr.Dataset(attrs={f"a{i}": i for i in range(40)}),
    "a longer word": xr.Dataset(attrs={"text": "\u03c4" * 5000}),
    "compressed numbers": xr.Dataset({"x": (("a", "b"), RNG.normal(size=(40, 50)).round(1))}),
    "several pieces": xr.Dataset({"x": (("a", "b", "c"), RNG.integers(9, size=(70, 90, 110)))}),
    "compressed flags": xr.Dataset({"x": (("a", "b"), RNG.random((100, 100)) > 0.5)}),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_files_are_read_alike_and_without_the_library(tmp_path, monkeypatch, name):
    storage.write(tmp_path / "f.nc", ODD[name])
    same(unsealed((tmp_path / "f.nc").read_bytes()))
    monkeypatch.setattr(quick, "groups_of", None)
    monkeypatch.setattr(xr, "open_datatree", None)
    xr.testing.assert_identical(storage.read_dataset(tmp_path / "f.nc"), ODD[name])


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "f.nc"
    storage.write(path, xr.Dataset({"x": ("k", [1.0, 2.0])}, attrs={"text": "a" * 100}))
    return path


def with_words(content, change):
    """The file with another index."""
    size = int(content[-8:])
    at = len(content) - index._FOOT_SIZE - size
    found = json.loads(zlib.decompress(content[at : at + size]))
    change(found)
    packed = zlib.compress(json.dumps(found).encode())
    return content[:at] + packed + index._MARK + b"%08d" % len(packed)


def test_an_index_without_a_seal_is_not_believed(stored, monkeypatch):
    content = unsealed(stored.read_bytes())
    stored.write_bytes(content)
    assert is_whole(content) is None
    monkeypatch.setattr(storage, "groups_in", None)
    np.testing.assert_array_equal(storage.read_dataset(stored)["x"], [1.0, 2.0])


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found.update(version=99),
        lambda found: found["groups"][0][1].update(text="another"),
        lambda found: found["groups"][0][3][0].__setitem__(4, 10**7),
        lambda found: found["groups"].clear(),
    ],
    ids=["a later version", "another text", "a place behind the end", "nothing"],
)
def test_the_library_reads_where_the_index_is_of_no_use(stored, monkeypatch, change):
    content = with_words(unsealed(stored.read_bytes()), change)
    stored.write_bytes(sealed(content))
    asked = []
    real = quick.groups_of
    monkeypatch.setattr(quick, "groups_of", lambda raw: asked.append(1) or real(raw))
    found = storage.read_dataset(stored)
    assert asked
    assert found.attrs["text"] == "a" * 100
    np.testing.assert_array_equal(found["x"], [1.0, 2.0])


def test_other_readers_pass_the_index_over(stored):
    with xr.open_dataset(stored, engine="h5netcdf") as opened:
        assert opened.attrs["text"] == "a" * 100
        np.testing.assert_array_equal(opened["x"].values, [1.0, 2.0])


def test_arrays_read_by_the_index_may_be_changed(stored):
    values = storage.read_groups(stored)["/"].values("x")
    values[0] = 7.0
    assert storage.read_groups(stored)["/"].values("x")[0] == 1.0


def test_long_text_is_not_kept_twice(tmp_path):
    for n in (100, 100_000):
        text = "".join(RNG.choice(list("abcdefghijklmnop"), size=n))
        storage.write(tmp_path / f"{n}.nc", xr.Dataset(attrs={"text": text}))
    sizes = [int(unsealed((tmp_path / f"{n}.nc").read_bytes())[-8:]) for n in (100, 100_000)]
    assert abs(sizes[0] - sizes[1]) < 20


def test_what_has_no_index_is_stored_all_the_same(tmp_path, monkeypatch):
    def cannot(content, groups):
        raise ValueError

    monkeypatch.setattr(storage, "indexed", cannot)
    dataset = xr.Dataset({"x": ("k", [1.0, 2.0])})
    storage.write(tmp_path / "f.nc", dataset)
    assert index.groups_in(unsealed((tmp_path / "f.nc").read_bytes())) is None
    xr.testing.assert_identical(storage.read_dataset(tmp_path / "f.nc"), dataset)
