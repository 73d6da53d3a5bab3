"""Maps of a claim: its margin over one to three parameters, and the boundary where its verdict changes."""

from diffclaims.studies.maps.plan import Plan, Range
from diffclaims.studies.maps.result import read_map
from diffclaims.studies.maps.run import run_map

__all__ = ["Plan", "Range", "read_map", "run_map"]
