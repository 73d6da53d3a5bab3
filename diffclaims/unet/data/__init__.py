"""Data sets, one file each, and the training and held-out sets made of them."""
