"""The recorded maps: readable, and what the theory says today."""

import numpy as np
import pytest

from diffclaims.storage import paths as locate
from diffclaims.studies.maps import Plan, read_map
from diffclaims.studies.maps.evaluate import evaluate_point

FILES = sorted((locate.baselines_dir() / "maps").glob("*.nc"))


def test_four_maps_are_recorded():
    assert len(FILES) == 4
    assert sum(f.stat().st_size for f in FILES) < 1e6


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_points_and_boundary_are_what_the_theory_says(path):
    ds = read_map(path)
    plan = Plan.from_json(ds.attrs["plan"])
    assert ds.attrs["command"].startswith(f"diffclaims map {plan.claim} --x ")
    assert not ds.attrs["not_run"].strip("[]")
    for fraction in (0.2, 0.8):
        index = {name: int(fraction * (ds.sizes[name] - 1)) for name in plan.names}
        point = ds.isel(index)
        found = evaluate_point(plan.to_json(), {name: float(point[name]) for name in plan.names})
        allowed = found["uncertainty"] + float(point["uncertainty"])
        assert found["margin"] == pytest.approx(float(point["margin"]), abs=allowed)
    # At a boundary the margin is nothing, within the uncertainty of either.
    edge = ds["boundary"].isel(crossing=0)
    where = np.argwhere(np.isfinite(edge.values))[0]
    values = {str(d): float(ds[d][i]) for d, i in zip(edge.dims, where, strict=True)}
    root, half = (
        float(ds[n].isel(crossing=0).values[tuple(where)]) for n in ("boundary", "boundary_uncertainty")
    )
    sides = [evaluate_point(plan.to_json(), {**values, plan.along: v}) for v in (root - half, root + half)]
    assert sides[0]["margin"] - sides[0]["uncertainty"] <= 0 <= sides[1]["margin"] + sides[1][
        "uncertainty"
    ] or (sides[1]["margin"] - sides[1]["uncertainty"] <= 0 <= sides[0]["margin"] + sides[0]["uncertainty"])
