"""Trainings that were watched with a `Monitor`, as experiments with seeds.

`find` reads which folders belong together, `curves` and `speciation` turn them into the datasets that claims read;
`definitions` says when a class is learned and memorized, `grid` at which steps several trainings can be compared.
Needs no PyTorch.
"""
