"""Trainings that are planted once, and copies of some of them."""

from __future__ import annotations

import shutil

import pytest


@pytest.fixture(scope="session")
def sweep(tmp_path_factory):
    """Eight seeds, as few as can decide, of two balanced classes: the one of higher variance is learned first."""
    pytest.importorskip("torch")
    from tests.runs import planted

    folder = tmp_path_factory.mktemp("sweep")
    for seed in range(8):
        planted.train(folder / f"seed-{seed}", seed)
    return folder


@pytest.fixture
def some(sweep, tmp_path):
    """Copy some of them into a folder of one's own."""

    def copy(seeds, name="some"):
        for seed in seeds:
            shutil.copytree(sweep / f"seed-{seed}", tmp_path / name / f"seed-{seed}")
        return tmp_path / name

    return copy
