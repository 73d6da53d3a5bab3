"""What is written comes back equal, or is refused by name."""

from __future__ import annotations

import datetime
import math

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from diffclaims.errors import BaselineError
from diffclaims.storage import netcdf as storage
from diffclaims.storage.groups import Group
from diffclaims.storage.storable import plain
from diffclaims.suite import baselines
from tests.test_baselines import check, curves, result

RESERVED = [
    "_FillValue",
    "missing_value",
    "coordinates",
    "scale_factor",
    "dtype",
    "units",
    "calendar",
    "more_attributes",
]
text = st.text(st.characters(codec="utf-8"), max_size=6)
names = st.sampled_from([*RESERVED, "NAME", "CLASS", "_Netcdf4Dimid", "a b", "é"]) | text
leaves = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | text
values = leaves | st.lists(leaves, max_size=3) | st.dictionaries(text, leaves, max_size=2)
attributes = st.dictionaries(names, values, max_size=9)
dtypes = st.sampled_from(
    ["f8", "f4", "f2", "i8", "i1", "u8", "u2", "?", "U3", "c16", "g", "M8[s]", "m8[ns]", "O"]
)


@st.composite
def arrays(draw, shape, kinds=dtypes):
    kind = draw(kinds)
    if kind == "O":
        size = math.prod(shape)
        made = np.empty(size, dtype=object)
        made[:] = draw(st.lists(text | st.none() | st.floats(), min_size=size, max_size=size))
        return made.reshape(shape)
    return draw(hnp.arrays(np.dtype(kind), shape))


@st.composite
def datasets(draw):
    sizes = {"x": draw(st.integers(0, 3)), "y": draw(st.integers(1, 2))}
    variables = {}
    for i in range(draw(st.integers(0, 3))):
        dims = draw(st.sampled_from([(), ("x",), ("y",), ("x", "y")]))
        name = draw(st.sampled_from([f"v{i}", f"v{i}", f"a{i}/b", "", "τ"]))
        variables[name] = (dims, draw(arrays(tuple(sizes[d] for d in dims))), draw(attributes))
    index = dtypes.filter(lambda kind: kind != "f2")  # pandas has no index of these
    coords = {"x": ("x", draw(arrays((sizes["x"],), index)), draw(attributes))} if draw(st.booleans()) else {}
    return xr.Dataset(variables, coords, draw(attributes))


def same(a, b):
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b):
        return True
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return a == b and isinstance(a, bool) == isinstance(b, bool)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(dataset=datasets())
def test_what_is_written_comes_back_equal_or_is_refused_by_name(tmp_path, dataset):
    path = tmp_path / "a.nc"
    path.unlink(missing_ok=True)
    before = Group.of(dataset)
    refused = ""
    try:
        storage.write(path, dataset)
    except BaselineError as error:
        refused = str(error)
    assert path.exists() != ("cannot be stored" in refused)
    if refused:
        return
    after = Group.of(storage.read_dataset(path))
    assert after.variables.keys() == before.variables.keys()
    assert after.coordinates == before.coordinates
    assert same(plain({k: v for k, v in before.attrs.items() if k != "checksum"}), plain(after.attrs))
    for name, (dims, array, attrs) in before.variables.items():
        assert after.variables[name][0] == dims
        np.testing.assert_array_equal(
            after.variables[name][1], array.astype(str) if array.dtype == object else array
        )
        assert same(plain(attrs), plain(after.variables[name][2]))


def with_attribute(key, value):
    data = curves()
    data.test_loss.attrs[key] = value
    return data


ACCEPTED = {
    "one number": with_attribute("note", [1.5]),
    "one word": with_attribute("note", ["a"]),
    "array": with_attribute("note", np.arange(3.0)),
    "fill value": with_attribute("_FillValue", 0.5),
    "missing value": with_attribute("missing_value", -1),
    "coordinates": with_attribute("coordinates", "class"),
    "true": with_attribute("note", True),
    "none": with_attribute("note", None),
    "many": curves().assign(v=("class", [0.0, 1.0], {f"a{i}": i for i in range(12)})),
    "words as objects": curves().assign_coords({"class": np.array(["a", "b"], dtype=object)}),
    "categories": curves().assign_coords(label=("class", pd.Categorical(["p", "q"]))),
    "no values": curves().isel(training_time=slice(0, 0)),
}
REFUSED = {
    "date": (with_attribute("note", datetime.date(2026, 1, 2)), "attribute 'note'"),
    "complex number": (with_attribute("note", 1j), "attribute 'note'"),
    "objects with NaN": (curves().assign(v=("class", np.array(["a", np.nan], dtype=object))), "'v'"),
    "times": (curves().assign(v=("class", np.array(["2026-01-01", "2026-01-02"], dtype="M8[ns]"))), "'v'"),
    "durations": (curves().assign(v=("class", np.array([1, 2], dtype="m8[ns]"))), "'v'"),
    "complex": (curves().assign(v=("class", [1j, 2.0])), "'v'"),
    "slash": (curves().assign({"a/b": ("class", [1.0, 2.0])}), "'a/b'"),
    "several indices": (
        curves().assign_coords(
            xr.Coordinates.from_pandas_multiindex(pd.MultiIndex.from_product([[1], [2]]), "m")
        ),
        "'m'",
    ),
}


@pytest.mark.parametrize("data", ACCEPTED.values(), ids=list(ACCEPTED))
def test_what_update_accepts_check_finds_unchanged(tmp_path, data):
    folder = tmp_path / "baselines"
    assert baselines.update(result(data), folder=folder, command="").text == "new"
    assert check(result(data), folder) == ""
    assert baselines.update(result(data), folder=folder, command="").text == "unchanged"


@pytest.mark.parametrize(("data", "name"), REFUSED.values(), ids=list(REFUSED))
def test_what_cannot_be_stored_is_refused_at_update(tmp_path, data, name):
    folder = tmp_path / "baselines"
    with pytest.raises(BaselineError, match=f"{name}.* cannot be stored: .*; "):
        baselines.update(result(data), folder=folder, command="")
    assert not list(folder.rglob("*.nc"))


def test_a_measurement_with_a_slash_is_refused(tmp_path):
    found = result()
    found.data["a/b"] = curves()
    with pytest.raises(BaselineError, match=r"'a/b'"):
        baselines.update(found, folder=tmp_path, command="")


def test_a_file_that_would_come_back_changed_is_not_kept(tmp_path, monkeypatch):
    storage.write(tmp_path / "a.nc", curves())
    kept = (tmp_path / "a.nc").read_bytes()
    monkeypatch.setattr(storage, "_packed", lambda group: Group(group.variables, {**group.attrs, "more": 1}))
    with pytest.raises(BaselineError):
        storage.write(tmp_path / "a.nc", curves(0.1))
    assert (tmp_path / "a.nc").read_bytes() == kept
    assert [p.name for p in tmp_path.iterdir()] == ["a.nc"]
