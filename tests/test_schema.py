"""The written form of results, and what is said when it is not kept."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from diffclaims.errors import InvalidInput, SubjectInvalid
from diffclaims.storage.provenance import provenance
from diffclaims.storage.schema import SCHEMAS, stamp, validate

TIMES = np.geomspace(1, 100, 5)


def curves(**attrs):
    loss = (("class", "training_time"), np.ones((2, 5)))
    data = xr.Dataset(
        {"test_loss": loss, "train_loss": loss, "bayes_loss": ("class", [0.5, 0.5])},
        coords={"class": ["a", "b"], "training_time": TIMES},
    )
    return stamp(data, "curves", provenance(subject="x") | attrs)


def test_a_stamp_adds_units_names_and_provenance():
    data = curves(accuracy=1e-5)
    assert data["test_loss"].attrs["units"] == "1"
    assert data["test_loss"].attrs["long_name"].startswith("test loss")
    assert (data.attrs["schema"], data.attrs["schema_version"]) == ("curves", 1)
    assert data.attrs["accuracy"] == 1e-5


def test_the_original_is_left_as_it_was():
    data = curves()
    data["test_loss"].attrs.clear()
    stamp(data, "curves", data.attrs)
    assert not data["test_loss"].attrs


def test_seeds_may_stand_in_front():
    data = curves()
    validate(data.assign(test_loss=data["test_loss"].expand_dims(seed=3)), "curves")


def bad(name, value):
    def change(data):
        changed = data.copy(deep=True)
        changed[name][dict.fromkeys(changed[name].dims, 0)] = value
        return changed

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: {}, "expected an xarray.Dataset of kind 'curves', got dict"),
        (lambda d: d.drop_vars("train_loss"), "curves needs the variable 'train_loss'"),
        (lambda d: d.rename({"class": "k"}), r"test_loss has dims \('k', 'training_time'\)"),
        (bad("test_loss", np.nan), "test_loss has 1 values that are not finite numbers, the first at"),
        (bad("test_loss", np.inf), "test_loss has 1 values that are not finite numbers"),
        (lambda d: d.drop_vars("training_time"), "needs the coordinate 'training_time'"),
        (lambda d: d.isel(training_time=slice(None, None, -1)), "must increase"),
        (lambda d: d.assign_coords(training_time=TIMES - 2), "from 0 or above"),
        (lambda d: d.drop_attrs(), "are missing; diffclaims.storage.schema.stamp adds them"),
        (lambda d: d.assign_attrs(schema="times"), "this version reads 'curves' version 1"),
        (lambda d: d.assign_attrs(schema_version=2), "schema 'curves' version 2"),
        (lambda d: d.assign_attrs(flag=True), "attribute flag is a bool"),
        (lambda d: d.assign_attrs(more={"a": 1}), "use json.dumps"),
    ],
)
def test_the_first_thing_that_is_wrong_is_named(change, message):
    with pytest.raises(SubjectInvalid, match=f"toy: .*{message}"):
        validate(change(curves()), "curves", who="toy")


def test_a_time_may_be_infinite_but_not_nan():
    data = xr.Dataset({n: ("class", [1.0, np.inf]) for n in ("tau_gen", "tau_best", "tau_mem")})
    data = stamp(data, "times", provenance(subject="x"))
    for value in (np.nan, -np.inf):
        with pytest.raises(SubjectInvalid, match="not finite numbers or \\+inf"):
            validate(bad("tau_gen", value)(data), "times")


def test_an_unknown_kind_is_a_mistake_of_the_caller():
    with pytest.raises(InvalidInput, match="kind = 'smell': kind must be one of"):
        validate(curves(), "smell")


def test_every_variable_has_units_and_a_name():
    for schema in SCHEMAS.values():
        for variable in schema.variables.values():
            assert isinstance(variable.units, str)
            assert variable.long_name
