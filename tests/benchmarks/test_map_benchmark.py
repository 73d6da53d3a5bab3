"""Points per second of a theory map: two classes, with centroids and without."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest

from diffclaims.studies.maps import Plan, Range
from diffclaims.studies.maps.evaluate import evaluate_point
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
def test_points_per_second(benchmark, claim, texts):
    axes = find_claim(claim).space
    plan = Plan(claim=claim, ranges=tuple(Range.parse(t, 2, axes) for t in texts), points=32)
    points = itertools.cycle(
        [dict(zip(plan.names, map(float, row), strict=True)) for row in plan.scattered()]
    )
    text = plan.to_json()
    evaluate_point(text, next(points))
    cpu = []

    def one():
        start = time.process_time()
        evaluate_point(text, next(points))
        cpu.append(time.process_time() - start)

    benchmark.pedantic(one, rounds=32)
    benchmark.extra_info["cpu_seconds_per_point"] = float(np.mean(cpu))
    benchmark.extra_info["points_per_cpu_second"] = 1 / float(np.mean(cpu))
    print(f"\n{claim}: {np.mean(cpu):.4f} CPU s a point")
