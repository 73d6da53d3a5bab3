from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from diffclaims.unet.data import FashionMNIST


@pytest.fixture(scope="session")
def source() -> FashionMNIST:
    from synthetic import make_source

    return make_source()


@pytest.fixture
def one_thread():
    """Leave the cores to others, and make the order of sums the same everywhere."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
