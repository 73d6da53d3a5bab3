"""Training: the same result however often it is interrupted, and refusals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
import torch

from diffclaims.errors import DiffclaimsError, InvalidInput
from diffclaims.storage.files import locked, write_atomic
from diffclaims.unet.config import NetworkConfig, ObjectiveConfig, RunConfig
from diffclaims.unet.model.network import UNet
from diffclaims.unet.model.objective import NetworkDenoiser, ddpm_levels, draw_levels
from diffclaims.unet.model.options import Compute
from diffclaims.unet.train.campaign import order_for, place_of, run_campaign
from diffclaims.unet.train.run import CONFIG, STATE, STATUS, RunRefused, train
from tests.unet.synthetic import TINY

pytestmark = pytest.mark.usefixtures("one_thread")


def quiet(line: str) -> None:
    pass


def arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return {n: file[n] for n in file.files if n != "info"}


def assert_same(a: Path, b: Path) -> None:
    one, two = arrays(a), arrays(b)
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_allclose(one[name], two[name], rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.fixture(scope="module")
def config():
    return RunConfig.of("tiny", **TINY)


@pytest.fixture(scope="module")
def whole(config, source, tmp_path_factory):
    torch.set_num_threads(1)
    return train(config, source, tmp_path_factory.mktemp("whole"), report=quiet)


def test_a_run_writes_what_it_measured(config, whole):
    found = arrays(whole)
    assert found["probe/12/test_loss"].shape == (2, 6, 12)
    assert np.isfinite(found["probe/12/train_log_ratio"]).all()
    assert found["sample/12/samples_heun"].shape == (8, 1, 14, 14)
    assert found["sample/12/uturns"].shape == (2, 2, 4, 2, 1, 14, 14)
    lines = [json.loads(line) for line in (whole.parent / STATUS).read_text().splitlines()]
    assert lines[-1]["done"]
    assert set(lines[0]["test_loss"]) == {"Bag", "Trouser"}
    with np.load(whole) as file:
        info = json.loads(str(file["info"]))
    assert info["counts"] == [16, 16]
    assert RunConfig.from_json(json.dumps(info["config"])) == config


def test_a_stopped_run_continues_to_the_same_result(config, whole, source, tmp_path):
    assert train(config, source, tmp_path, report=quiet, stop_at=5) is None
    assert train(config, source, tmp_path, report=quiet, stop_at=9) is None
    assert_same(whole, train(config, source, tmp_path, report=quiet))


def test_kill_9_in_the_middle_continues_to_the_same_result(source, tmp_path):
    config = RunConfig.of(
        "tiny",
        **{**TINY, "steps": 90, "snapshots": 2, "first_snapshot": 10, "sample_at": (), "uturn_at": ()},
    )
    script = f"""
import sys
sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(Path(__file__).parents[2])!r}]
import torch; torch.set_num_threads(1)
from pathlib import Path
from synthetic import make_source
from diffclaims.unet.config import RunConfig
from diffclaims.unet.model.options import Compute
from diffclaims.unet.train.run import train
train(RunConfig.from_json({config.to_json()!r}), make_source(), Path({str(tmp_path / "killed")!r}),
      compute=Compute(save_every=0.0), report=lambda line: None)
"""
    process = subprocess.Popen([sys.executable, "-c", script])
    state, log = tmp_path / "killed" / STATE, tmp_path / "killed" / STATUS
    limit = time.monotonic() + 60
    while not (state.exists() and log.exists() and '"step": 1' in log.read_text()):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < limit
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    reached = torch.load(state, weights_only=True)["step"]
    assert 0 < reached < 90
    said = []
    resumed = train(config, source, tmp_path / "killed", report=said.append)
    assert f"continues at step {reached}" in said[0]
    assert_same(train(config, source, tmp_path / "whole", report=quiet), resumed)


def test_a_finished_run_is_left_alone(config, whole, source):
    before = whole.stat().st_mtime_ns
    assert train(config, source, whole.parent, report=quiet) == whole
    assert whole.stat().st_mtime_ns == before


def test_another_config_is_refused_and_named(whole, source):
    other = RunConfig.of("tiny", **{**TINY, "rate": 5e-4})
    with pytest.raises(RunRefused, match=r"optimizer\.rate: 0\.001 there, 0\.0005 now"):
        train(other, source, whole.parent, report=quiet)
    with pytest.raises(RunRefused, match="seed: 0 there, 1 now"):
        train(RunConfig.of("tiny", seed=1, **TINY), source, whole.parent, report=quiet)


def test_a_damaged_state_is_named(config, source, tmp_path):
    train(config, source, tmp_path, report=quiet, stop_at=4)
    raw = (tmp_path / STATE).read_bytes()
    (tmp_path / STATE).write_bytes(raw[: len(raw) // 2])
    with pytest.raises(RunRefused, match=r"state\.pt cannot be read .*delete it"):
        train(config, source, tmp_path, report=quiet)


def test_a_state_of_another_config_is_refused(config, source, tmp_path):
    train(config, source, tmp_path, report=quiet, stop_at=4)
    other = RunConfig.of("tiny", **{**TINY, "steps": 13})
    (tmp_path / CONFIG).write_text(other.to_json())
    with pytest.raises(RunRefused, match="belongs to another config"):
        train(other, source, tmp_path, report=quiet)


def test_a_diverging_run_stops_with_the_fix(source, tmp_path):
    config = RunConfig.of("hot", **{**TINY, "optimizer": "sgd", "rate": 1e12})
    with pytest.raises(DiffclaimsError, match=r"loss is (nan|inf) .* lower `rate`"):
        train(config, source, tmp_path, report=quiet)


@pytest.mark.parametrize(
    "settings",
    [{"optimizer": "sgd", "rate": 0.05, "momentum": 0.9}, {"objective": "eps", "noise": "ddpm-uniform"},
     {"noise": "fixed"}, {"resolution": 28, "multipliers": (1, 1, 2)},
     {"classes": ("Bag:1/2", "Bag:2/2"), "sample_at": (), "uturn_at": ()}],
)  # fmt: skip
def test_other_objectives_optimizers_and_sizes_learn(source, tmp_path, settings):
    config = RunConfig.of("other", **{**TINY, "steps": 30, "sample_at": (), "uturn_at": (), **settings})
    found = arrays(train(config, source, tmp_path, report=quiet))
    steps = sorted(int(n.split("/")[1]) for n in found if n.endswith("test_loss"))
    level = config.probe.levels.index(0.35)
    first, last = (found[f"probe/{s}/test_loss"][:, level].mean() for s in (steps[0], steps[-1]))
    assert last < first


def test_snapshots_are_kept_on_request(config, source, tmp_path):
    train(config, source, tmp_path, report=quiet, compute=Compute(keep_snapshots=True), stop_at=6)
    kept = sorted(tmp_path.glob("snapshot-*.pt"))
    assert kept
    assert all(v.dtype == torch.float32 for v in torch.load(kept[0], weights_only=True).values())


def test_the_untrained_network_is_the_skip_connection():
    denoiser = NetworkDenoiser(UNet(NetworkConfig(), 14), ObjectiveConfig())
    y, sigma = torch.randn(3, 1, 14, 14), torch.tensor([0.2, 1.0, 5.0])
    skip = 0.25 / (sigma**2 + 0.25)
    torch.testing.assert_close(denoiser(y, sigma), y * skip[:, None, None, None])
    eps = NetworkDenoiser(UNet(NetworkConfig(), 14), ObjectiveConfig(objective="eps"))
    torch.testing.assert_close(eps(y, sigma), y)
    # Both weightings make the loss of doing nothing of order one at every level.
    x, noise = torch.zeros(3, 1, 14, 14), torch.randn(3, 1, 14, 14)
    torch.testing.assert_close(eps.loss(x, sigma, noise), (noise**2).mean(dim=(1, 2, 3)))


def test_noise_levels_have_the_stated_density():
    g = torch.Generator().manual_seed(0)
    u = torch.log(draw_levels(ObjectiveConfig(), 20000, g, torch.device("cpu")))
    assert u.min() >= np.log(0.1) - 1e-5
    assert u.max() <= np.log(8) + 1e-5
    assert float(u.mean()) == pytest.approx((np.log(0.1) + np.log(8)) / 2, abs=0.03)
    fixed = draw_levels(ObjectiveConfig(noise="fixed"), 5, g, torch.device("cpu"))
    assert fixed.tolist() == pytest.approx([0.35] * 5)
    table = ddpm_levels()
    assert (table.diff() > 0).all()
    assert float(table[0]) == pytest.approx(0.01, rel=0.01)


@pytest.mark.parametrize(("env", "place"), [({}, (0, 1)), ({"RANK": "2", "WORLD_SIZE": "4"}, (2, 4))])
def test_torchrun_tells_the_place(env, place):
    assert place_of(env) == place


@pytest.mark.parametrize(
    "env", [{"RANK": "4", "WORLD_SIZE": "4"}, {"RANK": "x"}, {"RANK": "-1", "WORLD_SIZE": "2"}]
)
def test_a_bad_place_is_refused(env):
    with pytest.raises(InvalidInput, match="RANK, WORLD_SIZE"):
        place_of(env)


def test_processes_share_all_runs_their_own_first():
    runs = [RunConfig.of("r", seed=s) for s in range(5)]
    orders = [order_for(runs, r, 2) for r in (0, 1)]
    assert [r.seed for r in orders[0]] == [0, 2, 4, 1, 3]
    assert [r.seed for r in orders[1]] == [1, 3, 0, 2, 4]


def test_nothing_starts_after_its_time(source, tmp_path, monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    quick = {**TINY, "steps": 3, "sample_at": (), "uturn_at": ()}
    runs = [RunConfig.of("r", seed=s, **quick) for s in (0, 1)]
    with locked(tmp_path / runs[0].folder):
        assert run_campaign(runs, source, tmp_path, compute=Compute(), say=quiet, stop_after=-1) == []


@pytest.mark.slow
def test_processes_of_a_launcher_end_together_when_all_is_done(tmp_path):
    """A process that is done must not end with a failure, or torchrun kills the ones that are not."""
    script = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import torch; torch.set_num_threads(1)
from pathlib import Path
from synthetic import make_source, TINY
from diffclaims.unet.train.campaign import run_campaign
from diffclaims.unet.model.options import Compute
from diffclaims.unet.config import RunConfig
runs = [RunConfig.of("r", seed=s, **{{**TINY, "steps": 5 if s else 400}}) for s in (0, 1, 2)]
done = run_campaign(runs, make_source(), Path({str(tmp_path / "runs")!r}), compute=Compute())
raise SystemExit(0 if len(done) == 3 else 1)
"""
    path = tmp_path / "script.py"
    path.write_text(script)
    words = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", str(path)]
    assert subprocess.run(words, capture_output=True, text=True, timeout=300).returncode == 0


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    write_atomic(path, lambda p: p.write_text("old"))

    def fail(p: Path) -> None:
        p.write_text("half")
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError):
        write_atomic(path, fail)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
