"""The quick reader gives what xarray gives."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import xarray as xr

from diffclaims.errors import BaselineError, BaselineMissing
from diffclaims.storage import netcdf as storage
from diffclaims.storage import paths as locate
from diffclaims.storage import quick
from diffclaims.storage.groups import Group, tree_of


def groups_of(path):
    return quick.groups_of(path.read_bytes())


@pytest.fixture(autouse=True)
def no_index(monkeypatch):
    monkeypatch.setattr(storage, "groups_in", lambda content: None)


FILES = sorted(locate.baselines_dir().rglob("*.nc"))[::9]


@pytest.mark.parametrize("path", FILES, ids=lambda p: "/".join(p.parts[-3:]))
def test_recorded_files_are_read_alike(path):
    with xr.open_datatree(path, engine="h5netcdf", decode_times=False) as opened:
        expected = opened.load()
    found = tree_of(groups_of(path))
    xr.testing.assert_identical(found, expected)
    for a, b in zip(found.subtree, expected.subtree, strict=True):
        assert {n: v.dtype for n, v in a.variables.items()} == {
            n: dtype_of(v) for n, v in b.variables.items()
        }


def dtype_of(variable):
    """Words of any length are objects to xarray."""
    return variable.values.astype(str).dtype if variable.dtype == object else variable.dtype


def test_what_the_quick_reader_cannot_is_read_by_the_library(tmp_path, monkeypatch):
    dataset = xr.Dataset({"x": ("k", [1.0, np.inf])}, coords={"k": ["a", "b"]}, attrs={"n": 3})
    storage.write(tmp_path / "f.nc", dataset)
    monkeypatch.setattr(quick, "groups_of", lambda content: {"/": Group.of(xr.Dataset({"x": 1}))})
    xr.testing.assert_equal(storage.read_dataset(tmp_path / "f.nc"), dataset)


def test_a_changed_file_is_refused_by_both(tmp_path):
    storage.write(tmp_path / "f.nc", xr.Dataset({"x": ("k", [1.0, 2.0])}))
    with h5py.File(tmp_path / "f.nc", "r+") as file:
        file["x"][0] = 5.0
    with pytest.raises(BaselineError, match="was changed after it was recorded"):
        storage.read(tmp_path / "f.nc")


ODD = {
    "no text": xr.Dataset(attrs={"note": ""}),
    "numbers": xr.Dataset(attrs={"n": [1, 2]}),
    "words": xr.Dataset(attrs={"n": ["a", "b"]}),
    "no values": xr.Dataset({"x": ("k", np.zeros(0))}),
    "a scalar": xr.Dataset({"x": 1.5, "flag": True}),
    "flags": xr.Dataset({"x": ("k", [True, False])}),
    "a second coordinate": xr.Dataset({"x": ("k", [1.0, 2.0])}, coords={"name": ("k", ["a", "\u03c4"])}),
    "many words": xr.Dataset({"v": (("x", "y"), np.tile(["holds", "fails \u03c4"], (100, 1)))}),
    "many attributes": xr.Dataset(attrs={f"a{i}": i for i in range(40)}),
    "a longer word": xr.Dataset(attrs={"text": "\u03c4" * 5000}),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_files_are_read_alike_and_without_the_library(tmp_path, monkeypatch, name):
    storage.write(tmp_path / "f.nc", ODD[name])
    monkeypatch.setattr(xr, "open_datatree", None)
    xr.testing.assert_identical(storage.read_dataset(tmp_path / "f.nc"), ODD[name])


def test_groups_below_groups_are_read_alike(tmp_path):
    one = xr.Dataset({"x": ("k", [1.0])}, coords={"k": ["a"]})
    storage.write(tmp_path / "f.nc", xr.DataTree.from_dict({"/": one, "/a/b": one * 2}))
    with xr.open_datatree(tmp_path / "f.nc", engine="h5netcdf") as opened:
        xr.testing.assert_identical(tree_of(groups_of(tmp_path / "f.nc")), opened.load())


def test_dimensions_are_found_by_references_where_they_have_no_numbers(tmp_path):
    path = tmp_path / "f.nc"
    dataset = xr.Dataset({"x": (("k", "j"), [[1.0, 2.0]])}, coords={"k": ["a"], "j": [3, 4]})
    storage.write(path, dataset)
    with h5py.File(path, "r+") as file:
        assert "_Netcdf4Coordinates" in file["x"].attrs
        for name in ("x", "k", "j"):
            file[name].attrs.pop("_Netcdf4Coordinates", None)
    xr.testing.assert_identical(groups_of(path)["/"].dataset().drop_attrs(), dataset)


def test_a_file_is_read_once_until_it_changes(tmp_path, monkeypatch):
    path = tmp_path / "f.nc"
    storage.write(path, xr.Dataset({"x": ("k", [1.0, 2.0])}))
    first = storage.read_once(path)
    with pytest.raises(ValueError, match="read-only"):
        first["/"].values("x")[0] = 3.0
    with monkeypatch.context() as patched:
        patched.setattr(quick, "groups_of", None)
        patched.setattr(xr, "open_datatree", None)
        assert storage.read_once(path) is first
    storage.write(path, xr.Dataset({"x": ("k", [1.0, 5.0])}))
    assert storage.read_once(path)["/"].values("x")[1] == 5.0
    path.unlink()
    with pytest.raises(BaselineMissing):
        storage.read_once(path)


def test_dimensions_of_one_size_are_told_apart(tmp_path, monkeypatch):
    dataset = xr.Dataset(
        {"a": (("x", "y"), np.eye(3)), "b": (("y", "x"), np.eye(3)), "c": (("y", "z"), np.ones((3, 2)))},
        coords={"y": [1.0, 2.0, 3.0]},
    )
    inner = xr.Dataset({"d": (("w", "y"), np.ones((3, 3))), "e": ("y", np.ones(3))})
    storage.write(tmp_path / "f.nc", xr.DataTree.from_dict({"/": dataset, "/in": inner}))
    monkeypatch.setattr(xr, "open_datatree", None)
    found = storage.read_groups(tmp_path / "f.nc")
    dims = {name: v[0] for group in found.values() for name, v in group.variables.items()}
    expected = {"a": ("x", "y"), "b": ("y", "x"), "c": ("y", "z"), "d": ("w", "y"), "e": ("y",)}
    assert {name: dims[name] for name in expected} == expected
