"""Files that hold a dataset whole, or say why not."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import xarray as xr

from diffclaims.errors import BaselineError
from diffclaims.storage import netcdf as storage


def words(n):
    rng = np.random.default_rng(0)
    return rng.choice(["holds", "fails", "a longer, rarer \u03c4"], size=(n, 2))


@pytest.mark.parametrize("n", [3, 100])
def test_words_come_back_as_they_were(tmp_path, n):
    wanted = xr.Dataset({"verdict": (("x", "y"), words(n), {"long_name": "verdict"})}, {"x": np.arange(n)})
    storage.write(tmp_path / "a.nc", wanted)
    found = storage.read_dataset(tmp_path / "a.nc")
    np.testing.assert_array_equal(found["verdict"].values.astype(str), wanted["verdict"].values)
    assert found["verdict"].attrs == {"long_name": "verdict"}


def test_many_words_are_kept_as_numbers(tmp_path):
    storage.write(tmp_path / "a.nc", xr.Dataset({"verdict": (("x", "y"), words(100))}))
    with h5py.File(tmp_path / "a.nc") as raw:
        assert raw["verdict"].dtype == np.int16
        assert "holds" in raw["verdict"].attrs["words"]


def test_words_in_a_group_come_back(tmp_path):
    tree = xr.DataTree.from_dict({"/deep/er": xr.Dataset({"verdict": (("x", "y"), words(100))})})
    storage.write(tmp_path / "a.nc", tree)
    found = storage.read(tmp_path / "a.nc")["deep/er/verdict"]
    np.testing.assert_array_equal(found.values.astype(str), words(100))


def test_another_word_is_a_change(tmp_path):
    storage.write(tmp_path / "a.nc", xr.Dataset({"verdict": (("x", "y"), words(100))}))
    with h5py.File(tmp_path / "a.nc", "a") as raw:
        raw["verdict"].attrs["words"] = raw["verdict"].attrs["words"].replace("holds", "holdt")
    with pytest.raises(BaselineError, match="was changed after it was recorded"):
        storage.read(tmp_path / "a.nc")
