"""Stored results: their schema, the files, where they are and where they came from."""

from diffclaims.storage.netcdf import read, read_dataset, write

__all__ = ["read", "read_dataset", "write"]
