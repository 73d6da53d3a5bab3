"""The name under which users know `diffclaims.storage.provenance`."""

from diffclaims.storage.provenance import provenance

__all__ = ["provenance"]
