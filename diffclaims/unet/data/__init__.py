"""Data sets, one file each, and the training and held-out sets made of them."""

from diffclaims.unet.data.data_set import DataError, DataSet, LabelledImages
from diffclaims.unet.data.registry import data_set

__all__ = ["DataError", "DataSet", "LabelledImages", "data_set"]
