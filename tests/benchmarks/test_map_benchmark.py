"""Points per second of a theory map: two classes, with centroids and without; alone, and in blocks as in a map."""

from __future__ import annotations

import time

import numpy as np
import pytest

from diffclaims.studies.maps import Plan, Range
from diffclaims.studies.maps.evaluate import TOGETHER, evaluate_points
from diffclaims.studies.maps.plan import find_claim

pytest.importorskip("pytest_benchmark")


W = "minority_weight=0.005..0.5"


@pytest.mark.parametrize(
    ("claim", "texts"),
    [
        (
            "imbalance-reversal",
            ("variance_ratio=1.02..1.6", "centroid_separation=1..4", W),
        ),
        ("two-phases", ("psi_n=0.5..64", "minority_weight=0.01..0.5")),
    ],
    ids=["with-centroids", "without-centroids"],
)
@pytest.mark.parametrize("size", [1, TOGETHER], ids=["alone", "in-blocks"])
def test_points_per_second(benchmark, claim, texts, size):
    axes = find_claim(claim).space
    plan = Plan(claim=claim, ranges=tuple(Range.parse(t, 2, axes) for t in texts), points=2 * TOGETHER)
    points = [dict(zip(plan.names, map(float, row), strict=True)) for row in plan.scattered()]
    text = plan.to_json()
    evaluate_points(text, points[:1])
    cpu = []

    def all_points():
        start = time.process_time()
        for first in range(0, len(points), size):
            evaluate_points(text, points[first : first + size])
        cpu.append((time.process_time() - start) / len(points))

    benchmark.pedantic(all_points, rounds=3)
    benchmark.extra_info["cpu_seconds_per_point"] = float(np.median(cpu))
    benchmark.extra_info["points_per_cpu_second"] = 1 / float(np.median(cpu))
    print(f"\n{claim}: {np.median(cpu):.4f} CPU s a point")
