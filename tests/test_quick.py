"""The quick reader gives what xarray gives."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import xarray as xr

from diffclaims.errors import BaselineError
from diffclaims.storage import netcdf as storage
from diffclaims.storage import paths as locate
from diffclaims.storage.quick import tree_of

FILES = sorted(locate.baselines_dir().rglob("*.nc"))[::9]


@pytest.mark.parametrize("path", FILES, ids=lambda p: "/".join(p.parts[-3:]))
def test_recorded_files_are_read_alike(path):
    with xr.open_datatree(path, engine="h5netcdf", decode_times=False) as opened:
        expected = opened.load()
    found = tree_of(path)
    xr.testing.assert_identical(found, expected)
    for a, b in zip(found.subtree, expected.subtree, strict=True):
        assert {n: v.dtype for n, v in a.variables.items()} == {n: v.dtype for n, v in b.variables.items()}


def test_what_the_quick_reader_cannot_is_read_by_the_library(tmp_path, monkeypatch):
    dataset = xr.Dataset({"x": ("k", [1.0, np.inf])}, coords={"k": ["a", "b"]}, attrs={"n": 3})
    storage.write(tmp_path / "f.nc", dataset)
    monkeypatch.setattr(storage, "tree_of", lambda path: xr.DataTree(xr.Dataset({"x": 1})))
    xr.testing.assert_equal(storage.read_dataset(tmp_path / "f.nc"), dataset)


def test_a_changed_file_is_refused_by_both(tmp_path):
    storage.write(tmp_path / "f.nc", xr.Dataset({"x": ("k", [1.0, 2.0])}))
    with h5py.File(tmp_path / "f.nc", "r+") as file:
        file["x"][0] = 5.0
    with pytest.raises(BaselineError, match="was changed after it was recorded"):
        storage.read(tmp_path / "f.nc")
