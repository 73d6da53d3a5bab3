"""Maps of the example's claims."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from diffclaims.studies.maps import Plan, Range
from diffclaims.studies.maps.plan import find_claim

EXAMPLE = Path(__file__).parents[1] / "example"
CLAIMS = str(EXAMPLE / "statements")


@pytest.fixture(autouse=True)
def _example_on_path(monkeypatch):
    """The toy subject and its claims can be imported, here and in workers."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    yield
    for name in [n for n in sys.modules if n == "toy" or n.split(".")[0] == "statements"]:
        del sys.modules[name]


@pytest.fixture
def plan():
    """Make a plan for the toy claim from texts like ``ratio=0.5..4``."""

    def make(*texts, n=5, **more):
        axes = find_claim("order", CLAIMS).space
        ranges = tuple(Range.parse(t, n, axes) for t in texts)
        return Plan(claim="order", ranges=ranges, subject="toy:SUBJECT", claims_dir=CLAIMS, **more)

    return make
