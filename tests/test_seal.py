"""The seal of a file: any other byte is known, and every reader passes it over."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from diffclaims.errors import BaselineError
from diffclaims.storage import netcdf as storage
from diffclaims.storage.files import finished, write_atomic
from diffclaims.storage.paths import baselines_dir
from diffclaims.storage.seal import is_whole, sealed


@given(st.binary(max_size=300), st.data())
def test_any_other_byte_is_known(content, data):
    raw = sealed(content)
    assert is_whole(raw) is True
    assert is_whole(content) is None
    at = data.draw(st.integers(0, len(raw) - 1))
    bit = 1 << data.draw(st.integers(0, 7))
    changed = raw[:at] + bytes([raw[at] ^ bit]) + raw[at + 1 :]
    # In the seal itself the file has none, or another; before it, it is known to be changed.
    assert is_whole(changed) is False if at < len(content) else not is_whole(changed)
    assert not is_whole(raw[: data.draw(st.integers(0, len(raw) - 1))])


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "a.nc"
    storage.write(path, xr.Dataset({"x": ("t", np.arange(5.0))}, attrs={"word": "b"}))
    return path


def test_a_changed_file_never_reaches_the_library(stored, monkeypatch):
    raw = bytearray(stored.read_bytes())
    raw[len(raw) // 2] ^= 1
    stored.write_bytes(raw)
    for reader in ("_by_index", "_quickly"):
        monkeypatch.setattr(storage, reader, None)
    monkeypatch.setattr(storage.xr, "open_datatree", None)
    with pytest.raises(
        BaselineError, match=r"a\.nc was changed after it was recorded \(its seal does not match"
    ):
        storage.read_groups(stored)


def test_other_readers_pass_the_seal_over(stored):
    assert is_whole(stored.read_bytes())
    with xr.open_dataset(stored, engine="h5netcdf") as opened:
        np.testing.assert_array_equal(opened["x"].values, np.arange(5.0))


def test_a_file_without_a_seal_is_held_to_its_checksum(stored):
    content = stored.read_bytes()[: stored.read_bytes().rindex(b"\nsealed by")]
    stored.write_bytes(content)
    assert is_whole(content) is None
    np.testing.assert_array_equal(storage.read_dataset(stored)["x"].values, np.arange(5.0))


def test_what_is_kept_here_is_sealed():
    files = sorted(baselines_dir().rglob("*.nc"))
    assert len(files) > 100
    assert [p.name for p in files if not is_whole(p.read_bytes())] == []


def test_what_a_killed_writer_left_is_not_read(tmp_path):
    kept = tmp_path / "a.nc"

    def killed(part):
        part.write_bytes(b"half")
        assert sorted(tmp_path.glob("*.nc")) == [part]
        assert finished(tmp_path.glob("*.nc")) == []

    write_atomic(kept, killed)
    assert finished(tmp_path.glob("*.nc")) == [kept]


def test_a_cluster_that_waits_is_not_asked(tmp_path):
    """Of a map, for instance: xarray would ask it for a lock on the file, which lies in memory."""
    distributed = pytest.importorskip("distributed")
    with distributed.Client(n_workers=1, threads_per_worker=1, dashboard_address=None):
        storage.write(tmp_path / "a.nc", xr.Dataset({"x": ("t", np.arange(3.0))}))
    assert storage.read_dataset(tmp_path / "a.nc").sizes == {"t": 3}
