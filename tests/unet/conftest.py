from __future__ import annotations

import pytest

from diffclaims.unet.data.data_set import LabelledImages


@pytest.fixture(scope="session")
def source() -> LabelledImages:
    from tests.unet.synthetic import make_source

    return make_source()


@pytest.fixture
def one_thread():
    """Leave the cores to others, and make the order of sums the same everywhere."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
