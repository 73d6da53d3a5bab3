"""Files that hold a dataset whole, or say why not."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
import xarray as xr

from diffclaims.errors import BaselineError
from diffclaims.storage import netcdf as storage
from diffclaims.storage.groups import Group


def words(n):
    rng = np.random.default_rng(0)
    return rng.choice(["holds", "", "a longer, rarer \u03c4 "], size=(n, 2))


@pytest.mark.parametrize("n", [3, 100])
def test_words_come_back_as_they_were(tmp_path, n):
    wanted = xr.Dataset({"verdict": (("x", "y"), words(n), {"long_name": "verdict"})}, {"x": np.arange(n)})
    storage.write(tmp_path / "a.nc", wanted)
    found = storage.read_dataset(tmp_path / "a.nc")
    np.testing.assert_array_equal(found["verdict"].values.astype(str), wanted["verdict"].values)
    assert found["verdict"].attrs == {"long_name": "verdict"}


def test_many_words_are_small_and_any_reader_sees_them(tmp_path):
    storage.write(
        tmp_path / "a.nc", xr.Dataset({"verdict": (("x", "y"), words(1000))}, {"x": words(1000)[:, 0]})
    )
    assert (tmp_path / "a.nc").stat().st_size < 30_000
    with xr.open_dataset(tmp_path / "a.nc", engine="h5netcdf") as raw:
        np.testing.assert_array_equal(raw["verdict"].values.astype(str), words(1000))
        np.testing.assert_array_equal(raw["x"].values.astype(str), words(1000)[:, 0])


def test_words_that_were_kept_as_numbers_are_read(tmp_path):
    known, numbers = np.unique(words(100), return_inverse=True)
    as_words = xr.Dataset({"verdict": (("x", "y"), words(100), {"units": "1"})})
    old = as_words.copy()
    numbers = numbers.reshape(old["verdict"].shape).astype(np.int16)
    old["verdict"] = (("x", "y"), numbers, {"units": "1", storage.WORDS: json.dumps(known.tolist())})
    old.attrs["checksum"] = storage.checksum({"/": Group.of(as_words)})
    old.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    with h5py.File(tmp_path / "a.nc") as raw:
        assert raw["verdict"].dtype == np.int16
    found = storage.read_dataset(tmp_path / "a.nc")["verdict"]
    np.testing.assert_array_equal(found.values.astype(str), words(100))
    assert found.attrs == {"units": "1"}


def test_words_in_a_group_come_back(tmp_path):
    tree = xr.DataTree.from_dict({"/deep/er": xr.Dataset({"verdict": (("x", "y"), words(100))})})
    storage.write(tmp_path / "a.nc", tree)
    found = storage.read(tmp_path / "a.nc")["deep/er/verdict"]
    np.testing.assert_array_equal(found.values.astype(str), words(100))


def test_another_word_is_a_change(tmp_path):
    storage.write(tmp_path / "a.nc", xr.Dataset({"verdict": (("x", "y"), words(100))}))
    with h5py.File(tmp_path / "a.nc", "a") as raw:
        raw["verdict"][0, 0] = list("other".ljust(raw["verdict"].shape[2], "\0"))
    with pytest.raises(BaselineError, match="was changed after it was recorded"):
        storage.read(tmp_path / "a.nc")
