"""The page about cost says what is stored."""

from pathlib import Path

import numpy as np
import xarray as xr

from diffclaims.storage import netcdf as storage
from diffclaims.storage import paths as locate
from tests.benchmarks import cost

PAGE = Path(__file__).parents[1] / "docs" / "cost.md"


def test_the_tables_are_those_of_the_stored_study():
    found = storage.read_dataset(locate.baselines_dir() / "cost.nc")
    assert found.attrs["command"] == cost.COMMAND
    assert cost.tables(found) in PAGE.read_text()


def test_the_cheapest_simulation_has_the_error_asked_for():
    found = xr.Dataset(
        {
            "grows": ("row", ["simulation"] * 2),
            "method": ("row", ["a"] * 2),
            "value": ("row", [50.0, 100.0]),
            "cpu_seconds": ("row", [1.0, 8.0]),
            "bias": ("row", [0.02, 0.01]),
            "spread": ("row", [0.03, 0.03]),
        }
    )
    assert cost.at_equal_error(found, "a", 0.01) is None
    assert cost.at_equal_error(found, "a", 0.015)[0] == 100
    n_dims, seeds, spent = cost.at_equal_error(found, "a", 0.03)
    assert (n_dims, seeds, spent) == (50, 2, 2.0)
    assert np.hypot(0.02, 0.03 / np.sqrt(seeds)) <= 0.03 < np.hypot(0.02, 0.03 / np.sqrt(seeds - 1))
