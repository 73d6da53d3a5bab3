"""The name under which users know `diffclaims.storage.schema`."""

from diffclaims.storage.schema import SCHEMA_VERSION, SCHEMAS, stamp, validate

__all__ = ["SCHEMAS", "SCHEMA_VERSION", "stamp", "validate"]
