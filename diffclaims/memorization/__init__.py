"""Which classes a generative model has memorized, under the names that people know, class by class."""

from diffclaims.memorization.copies import copies
from diffclaims.memorization.membership import membership

__all__ = ["copies", "membership"]
