"""Work on dask: a lost worker loses nothing, and the number of workers changes nothing."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest

from diffclaims import DiffclaimsError, InvalidInput
from diffclaims.studies.maps import run_map
from diffclaims.studies.maps.pool import ONE_THREAD, Pool

pytest.importorskip("distributed")

# Closing a cluster leaves sockets to the garbage collector, and a killed worker its handles.
pytestmark = pytest.mark.filterwarnings("default")


def square(x, pause):
    time.sleep(pause)
    return x * x, os.getpid(), os.environ["OMP_NUM_THREADS"]


def poison(x):
    if x == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def fails(x):
    raise ArithmeticError(f"at {x}")


def test_one_of_two_workers_is_killed_in_the_middle():
    done = {}
    with Pool(2) as pool:
        for key, (value, pid, threads) in pool.run(square, [(f"{i}", (i, 0.05)) for i in range(40)]):
            assert key not in done
            done[key] = value
            assert pid != os.getpid()
            assert threads == ONE_THREAD["OMP_NUM_THREADS"] == "1"
            if len(done) == 10:
                os.kill(pid, signal.SIGKILL)
    assert done == {f"{i}": i * i for i in range(40)}


@pytest.mark.slow
def test_a_map_loses_no_finished_point_with_a_worker(plan, tmp_path):
    whole = run_map(plan("ratio=0.3..4", "offset=-1..1.5", n=12), tmp_path / "whole.nc")
    out = tmp_path / "map.nc"
    finished = []

    def advance(done, total):
        finished.append(done)
        if done == 30:
            import psutil

            children = psutil.Process().children(recursive=True)
            workers = [c for c in children if "spawn_main" in " ".join(c.cmdline())]
            os.kill(workers[-1].pid, signal.SIGKILL)

    ds = run_map(plan("ratio=0.3..4", "offset=-1..1.5", n=12), out, workers=2, advance=advance)
    assert finished == sorted(finished)
    assert ds.drop_attrs().identical(whole.drop_attrs())


@pytest.mark.slow
def test_a_point_that_kills_its_workers_is_named():
    with Pool(1) as pool, pytest.raises(DiffclaimsError, match="several workers died over the point bad"):
        list(pool.run(poison, [("bad", (3,))]))


@pytest.mark.slow
def test_a_cluster_by_address():
    import distributed

    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Pool(scheduler=cluster.scheduler_address) as pool,
    ):
        assert dict(pool.run(np.sqrt, [("a", (4.0,))])) == {"a": 2.0}


def test_this_process_alone():
    with Pool(0) as pool:
        assert dict(pool.run(abs, [("a", (-1,)), ("b", (2,))])) == {"a": 1, "b": 2}
        with pytest.raises(ArithmeticError):
            list(pool.run(fails, [("a", (1,))]))


def test_bad_input_is_refused():
    with pytest.raises(InvalidInput, match="workers"):
        Pool(-1)
    with pytest.raises(InvalidInput, match="address of a running dask scheduler"), Pool(scheduler="nonsense"):
        pass


@pytest.fixture
def no_dask(monkeypatch):
    import importlib

    def missing(name, *args):
        if name.partition(".")[0] in ("dask", "distributed"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.partition(".")[0])
        return actual_import(name, *args)

    actual_import = importlib.import_module
    monkeypatch.setattr(importlib, "import_module", missing)


def test_dask_is_asked_for_only_when_needed(no_dask):
    said = r"dask is not installed.*--workers 0 computes.*pip install 'diffclaims\[map\]'"
    with pytest.raises(DiffclaimsError, match=said), Pool(2):
        pass
    with Pool(0) as pool:
        assert pool.client is None


def test_a_map_that_has_no_workers_leaves_no_file(no_dask, tmp_path, plan):
    with pytest.raises(DiffclaimsError, match="--workers 0"):
        run_map(plan("ratio=0.3..4", n=2), tmp_path / "m.nc", workers=2)
    assert list(tmp_path.iterdir()) == []
    run_map(plan("ratio=0.3..4", n=2), tmp_path / "m.nc", workers=0)
    assert [p.name for p in tmp_path.iterdir()] == ["m.nc"]
