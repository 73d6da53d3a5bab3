"""The name under which users know `diffclaims.studies.maps`."""

from diffclaims.studies.maps import Plan, Range, read_map, run_map

__all__ = ["Plan", "Range", "read_map", "run_map"]
