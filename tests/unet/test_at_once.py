"""Several runs at once are the runs one by one: their results, their locks, their resumption, their errors."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
import torch

from diffclaims.errors import DiffclaimsError, InvalidInput
from diffclaims.storage.files import locked
from diffclaims.unet.config import RunConfig
from diffclaims.unet.model.options import Compute
from diffclaims.unet.train import campaign
from diffclaims.unet.train.campaign import run_campaign
from diffclaims.unet.train.run import RAW, STATE, STATUS, train
from tests.unet.synthetic import TINY

pytestmark = pytest.mark.usefixtures("one_thread", "alone")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture
def alone(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)


#: Settings of a run that is measured before its first step and after its last, and draws no images.
LIGHT = {"snapshots": 2, "sample_at": (), "uturn_at": ()}


def quiet(line: str) -> None:
    pass


def some_runs(**more) -> list[RunConfig]:
    """Four runs of two kinds and unequal lengths, so that they do not end together."""
    short, long = {**TINY, **more}, {**TINY, "steps": 17, **more}
    return [RunConfig.of("a", seed=0, **short), RunConfig.of("b", seed=0, **long),
            RunConfig.of("a", seed=1, **short), RunConfig.of("b", seed=1, **long)]  # fmt: skip


def arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return {n: file[n] for n in file.files if n != "info"}


def assert_equal(one: Path, two: Path) -> None:
    a, b = arrays(one), arrays(two)
    assert list(a) == list(b)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.fixture(scope="module")
def one_by_one(source, tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("one-by-one")
    for run in some_runs():
        train(run, source, folder / run.folder, report=quiet)
    return folder


@pytest.mark.parametrize("at_once", [2, pytest.param(3, marks=pytest.mark.slow), 9])
def test_runs_in_turn_are_the_runs_one_by_one(source, one_by_one, tmp_path, at_once):
    done = run_campaign(some_runs(), source, tmp_path, compute=Compute(), at_once=at_once, say=quiet)
    assert done == [tmp_path / r.folder / RAW for r in some_runs()]
    for run, raw in zip(some_runs(), done, strict=True):
        assert_equal(one_by_one / run.folder / RAW, raw)


def test_they_do_take_turns(source, tmp_path):
    said = []
    runs = some_runs(**LIGHT)[:3]
    run_campaign(runs, source, tmp_path, compute=Compute(report_every=0.0), at_once=2, say=said.append)
    steps = [line.split(",")[0] for line in said]
    # Two are advanced in turn; the third is taken up when the first has ended.
    assert steps[:4] == [
        "a/seed0: step 1/12",
        "b/seed0: step 1/17",
        "a/seed0: step 2/12",
        "b/seed0: step 2/17",
    ]
    assert steps[24:26] == ["b/seed0: step 13/17", "a/seed1: step 1/12"]
    assert steps[-1] == "a/seed1: step 12/12"


def test_kill_9_under_turns_continues_to_the_same_results(source, tmp_path):
    runs = [
        RunConfig.of("a", seed=s, **{**TINY, **LIGHT, "steps": 90, "snapshots": 2, "first_snapshot": 10})
        for s in (0, 1)
    ]
    results = tmp_path / "killed"
    script = f"""
import sys
sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(Path(__file__).parents[2])!r}]
import torch; torch.set_num_threads(1)
from pathlib import Path
from synthetic import make_source
from diffclaims.unet.train.campaign import run_campaign
from diffclaims.unet.model.options import Compute
from diffclaims.unet.config import RunConfig
runs = [RunConfig.from_json(t) for t in {[r.to_json() for r in runs]!r}]
run_campaign(runs, make_source(), Path({str(results)!r}), at_once=2, say=lambda line: None,
             compute=Compute(save_every=0.0))
"""
    process = subprocess.Popen([sys.executable, "-c", script])
    logs = [results / r.folder / STATUS for r in runs]
    limit = time.monotonic() + 60
    while not all(log.exists() and '"step": 1' in log.read_text() for log in logs):
        assert process.poll() is None, "the runs ended before they could be killed"
        assert time.monotonic() < limit
        time.sleep(0.005)
    with locked(results / runs[1].folder) as mine:
        assert not mine  # both are held while both are under way
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    reached = [torch.load(results / r.folder / STATE, weights_only=True)["step"] for r in runs]
    assert all(0 < step < 90 for step in reached)
    assert abs(reached[0] - reached[1]) <= 1
    said = []
    done = run_campaign(runs, source, results, compute=Compute(), at_once=2, say=said.append)
    assert [line for line in said if "continues" in line] == [
        f"a/seed{s}: continues at step {step}" for s, step in enumerate(reached)
    ]
    for run, raw in zip(runs, done, strict=True):
        whole = train(run, source, tmp_path / "whole" / run.folder, report=quiet)
        assert_equal(whole, raw)


def test_a_run_that_another_holds_is_waited_for_and_taken_over(source, tmp_path, monkeypatch):
    monkeypatch.setattr(campaign, "POLL", 0.01)
    runs = some_runs(**LIGHT)
    said = []
    with ExitStack() as other:
        assert other.enter_context(locked(tmp_path / runs[1].folder))

        def say(line):
            """The other process ends, without a result, once all others are done."""
            said.append(line)
            if "waiting for" in line:
                ready = [(tmp_path / r.folder / RAW).exists() for r in runs]
                assert ready == [True, False, True, True]
                other.close()

        done = run_campaign(runs, source, tmp_path, compute=Compute(), at_once=3, say=say)
    assert done == [tmp_path / r.folder / RAW for r in runs]
    assert sum("waiting for b/seed0" in line for line in said) == 1
    for run in runs:
        with locked(tmp_path / run.folder) as free:
            assert free


def test_one_that_diverges_does_not_cost_the_others_their_steps(source, tmp_path):
    quick = {**TINY, "steps": 60, "snapshots": 30, "sample_at": (), "uturn_at": ()}
    good, hot = (
        RunConfig.of("good", **quick),
        RunConfig.of("hot", **{**quick, "optimizer": "sgd", "rate": 1e12}),
    )
    with pytest.raises(DiffclaimsError, match="hot/seed0"):
        run_campaign([good, hot], source, tmp_path, compute=Compute(), at_once=2, say=quiet)
    assert torch.load(tmp_path / good.folder / STATE, weights_only=True)["step"] > 0
    assert not (tmp_path / hot.folder / STATE).exists()
    with locked(tmp_path / good.folder) as free:
        assert free


def test_nothing_is_started_late(source, tmp_path):
    said = []
    runs = some_runs(**LIGHT)
    assert (
        run_campaign(runs, source, tmp_path, compute=Compute(), at_once=2, say=said.append, stop_after=-1)
        == []
    )
    assert len(said) == 4
    assert all("not started" in line for line in said)


@pytest.mark.parametrize("at_once", [0, -1])
def test_fewer_than_one_is_refused(source, tmp_path, at_once):
    with pytest.raises(InvalidInput, match="at_once"):
        run_campaign(some_runs(), source, tmp_path, compute=Compute(), at_once=at_once)


@needs_cuda
@pytest.mark.parametrize("cuda_graph", [False, True])
def test_runs_on_streams_are_the_runs_one_by_one(source, tmp_path, cuda_graph):
    compute = Compute(device="cuda", cuda_graph=cuda_graph)
    runs = some_runs()
    together = run_campaign(runs, source, tmp_path / "t", compute=compute, at_once=4, say=quiet)
    for run, raw in zip(runs, together, strict=True):
        alone = train(run, source, tmp_path / "a" / run.folder, compute=compute, report=quiet)
        one, two = arrays(alone), arrays(raw)
        for name in one:
            if name.endswith("loss"):
                np.testing.assert_allclose(two[name], one[name], rtol=1e-3, err_msg=name)


def test_each_writes_its_own_status(source, tmp_path):
    runs = some_runs(**LIGHT)
    run_campaign(runs, source, tmp_path, compute=Compute(report_every=0.0), at_once=4, say=quiet)
    for run in runs:
        lines = [json.loads(x) for x in (tmp_path / run.folder / STATUS).read_text().splitlines()]
        assert lines[-1]["done"]
        assert [x["step"] for x in lines if "eta_s" in x] == list(range(1, run.optimizer.steps + 1))
