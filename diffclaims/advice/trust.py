"""How far the recorded U-Nets support what is advised: read from a stored file, and said in one sentence each."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from diffclaims.errors import DiffclaimsError
from diffclaims.storage import netcdf as storage
from diffclaims.storage import paths as locate

#: Names of the predictors, as they are stored.
THEORY, THEORY_SIZED, THEORY_BARE, THEORY_SHRUNK, COVERAGE, VARIANCE = (
    "theory",
    "theory with the network's parameters",
    "theory, shrinkage none",
    "theory, shrinkage oas",
    "coverage",
    "total variance",
)
#: What is ordered, by milestone.
ORDERS = {"gen": "learned", "mem": "memorized"}


def path() -> Path:
    """Where the agreement with recordings is stored."""
    return locate.baselines_dir() / "advice" / "trust.nc"


def stored() -> xr.Dataset | None:
    """Return what was stored, or None where it is not."""
    try:
        return storage.read_dataset(path())
    except DiffclaimsError:
        return None


def verdict(found: xr.Dataset, predictor: str, milestone: str) -> tuple[str, str]:
    """Return whether recordings support an order, and a sentence with the numbers.

    Parameters
    ----------
    found : xarray.Dataset
        Kind "trust".
    predictor : str
    milestone : {"gen", "mem"}

    Returns
    -------
    word : {"supported", "not supported", "contradicted", "not recorded"}
        Supported where the 95 % limits of the rank correlation lie above 0 in every recording that has an order;
        contradicted where they lie below 0 in one. The rule is ours.
    sentence : str
    """
    one = found.sel(predictor=predictor, milestone=milestone)
    told = one["n_without_order"].values < one["n_pairs"].values
    rows = one.isel(recording=told.nonzero()[0])
    if not rows.sizes["recording"]:
        return "not recorded", f"{ORDERS[milestone]} first by {predictor}: no recording has an order."
    low, high = rows["correlation_low"].values, rows["correlation_high"].values
    word = "supported" if (low > 0).all() else ("contradicted" if (high < 0).any() else "not supported")
    numbers = "; ".join(
        f"{r} {float(c):+.2f} [{a:+.2f}, {b:+.2f}]"
        for r, c, a, b in zip(rows["recording"].values, rows["correlation"].values, low, high, strict=True)
    )
    by = "recorded U-Nets" if len(low) > 1 else "the one recording of U-Nets with an order"
    return word, f"{ORDERS[milestone]} first by {predictor}: {word} by {by} ({numbers})."
