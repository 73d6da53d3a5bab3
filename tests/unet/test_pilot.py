"""The pilot: what is measured, refused, chosen and planned; and that a plan is trained as it says."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")
import torch

from diffclaims.errors import InvalidInput
from diffclaims.unet import cli, pilot
from diffclaims.unet.config import RunConfig
from diffclaims.unet.data.data_set import DataSet
from diffclaims.unet.data.prepare import prepare
from diffclaims.unet.model.options import Compute
from diffclaims.unet.model.stepper import Stepper
from diffclaims.unet.pilot import Bench, TooLong, timed
from diffclaims.unet.train.loops import diffusers_loop, plain_loop
from diffclaims.unet.train.plan import SHARES, Cost, Row, TrainingPlan, fastest, make_plan, size
from diffclaims.unet.train.presets import runs
from diffclaims.unet.train.run import aside
from tests.unet.synthetic import TINY

pytestmark = pytest.mark.usefixtures("one_thread")
CONFIG = RunConfig.of("tiny", **TINY)


@pytest.fixture
def bench(source):
    images = prepare(CONFIG.data, source, seed=0, n_held_out=2).train
    found = Bench(CONFIG, images, "cpu", 30.0, lambda row: None)
    found.seconds = 2.0  # of which a hundredth is spent on each timing; it may take longer all the same
    return found


# What is measured


def test_a_call_is_timed_by_the_median_of_blocks():
    calls = []
    assert 0.002 <= timed(lambda i: calls.append(time.sleep(0.002)), torch.device("cpu"), 0.1) < 0.2
    assert len(calls) >= 6


def test_a_candidate_is_measured_and_compared(bench):
    row = bench.candidate(["channels_last"], 2)
    assert (row.name, row.status) == ("channels_last x2", "measured")
    assert 0 < row.differs < 1e-4
    assert row.images_per_s > 0
    assert row.peak_mib is None


def test_what_the_device_lacks_is_told_with_the_reason(bench):
    row = bench.candidate(["cuda_graph"])
    assert row.status == "not here"
    assert "must be off on the device cpu" in row.reason


def test_a_failure_is_a_finding(bench, monkeypatch):
    def fail(*args, **more):
        raise RuntimeError("out of something\nand a trace")

    monkeypatch.setattr(pilot, "Stepper", fail)
    row = bench.candidate([])
    assert (row.status, row.reason) == ("failed", "RuntimeError: out of something")


def test_a_candidate_that_takes_too_long_is_left(bench, monkeypatch):
    def stubborn(*args, **more):
        for _ in range(200):
            try:
                time.sleep(0.05)
            except Exception:  # as a compiler that hides what goes wrong
                continue

    monkeypatch.setattr(pilot, "LONGEST", 0.2)
    monkeypatch.setattr(pilot, "Stepper", stubborn)
    began = time.monotonic()
    row = bench.candidate([])
    assert row.status == "no time"
    assert time.monotonic() - began < 5
    assert not issubclass(TooLong, Exception)


def test_what_comes_too_late_is_skipped(bench):
    bench.rows.append(Row(name="first"))
    bench._ends = time.monotonic()
    assert bench.candidate([]).status == "no time"


class StaleRate(Stepper):
    """What a capture would do that froze the learning rate of its step."""

    def _set_rate(self, step):
        super()._set_rate(0)


class StaleNoise(Stepper):
    """What a capture would do that reads the noise of its step for ever."""

    def _draw(self, step):
        index, sigma, noise = super()._draw(step)
        self.first = getattr(self, "first", noise)
        return index, sigma, self.first


@pytest.mark.parametrize("wrong", [StaleRate, StaleNoise])
@pytest.mark.parametrize("words", [[], ["bf16"]])
def test_steps_that_are_not_those_of_float32_are_found_out(bench, monkeypatch, wrong, words):
    bench._difference(0, Stepper(CONFIG, bench.images, Compute()))  # the right answer, once
    monkeypatch.setattr(pilot, "Stepper", wrong)
    row = bench.candidate(words)
    assert row.status == "wrong"
    assert "differ by" in row.reason
    monkeypatch.setattr(pilot, "Stepper", Stepper)
    assert bench.candidate(words).status == "measured"


def test_other_ways_are_references_and_may_be_missing(bench, monkeypatch):
    assert bench.reference("plain", plain_loop).status == "measured"
    monkeypatch.setitem(sys.modules, "diffusers", None)
    missing = bench.reference("diffusers", diffusers_loop)
    assert (missing.status, missing.reason) == ("not here", "diffusers is not installed")
    assert fastest(bench.rows, 0) is None


def test_what_is_no_training_is_measured_in_a_whole_run(source):
    each, snapshot = aside(CONFIG, source, Compute())
    assert each > 0
    assert snapshot > 0


# What is chosen and planned


def row(name: str, rate: float, words=(), **more) -> Row:
    return Row(name=name, images_per_s=rate, setup_s=1.0, options=dict.fromkeys(words, True), **more)


def test_the_fastest_right_candidate_of_an_arithmetic():
    rows = [row("a", 100), row("b", 200), row("wrong", 900, status="wrong"),
            row("other", 900, reference=True), row("t", 300, ["tf32"]), row("h", 400, ["bf16"])]  # fmt: skip
    assert [fastest(rows, a).name for a in (0, 1, 2)] == ["b", "t", "h"]
    assert fastest(rows[2:4], 0) is None


def test_fewer_at_once_are_preferred_at_the_same_rate():
    rows = [row("x1", 100), row("x4", 198, at_once=4), row("x8", 200, at_once=8)]
    assert fastest(rows, 0).name == "x4"


ASIDE = {2: (1.0, 0.05), 10: (3.0, 0.1)}


def cost(rate: float = 40000.0) -> Cost:
    return Cost(images_per_s=rate, alone_per_s=rate / 2, once=5.0, start=0.5, aside=ASIDE, at_once=8)


def test_time_is_that_of_training_and_of_all_else():
    one = RunConfig.of("a", steps=100, batch=10, snapshots=2)
    c = cost(100.0)
    # Two snapshots, and what is measured before the first step.
    assert c.apart(one) == pytest.approx(0.5 + 1 + 3 * 0.05)
    # The longest run is counted again, as if it were alone.
    assert c.seconds([one, one]) == pytest.approx(5 + 2 * 1.65 + 20 + 20)
    assert c.beside(one) == pytest.approx(8 * (10 + 1.65))


@settings(max_examples=25)
@given(st.floats(10, 1e4), st.floats(1000, 1e6))
def test_a_plan_keeps_to_its_time(seconds, rate):
    wanted = runs("gpu9")
    found = size(wanted, cost(rate), seconds)
    assert found.seconds <= seconds
    assert found.share in SHARES
    seeds = {n: sum(r.name == n for r in found.runs) for n in {r.name for r in wanted}}
    if found.enough:
        assert len(found.runs) == len(wanted)
        larger = [s for s in SHARES if s > found.share]
        if larger:
            more = [
                replace(r, optimizer=replace(r.optimizer, steps=round(r.optimizer.steps * larger[-1])))
                for r in wanted
            ]
            assert cost(rate).seconds(more) > seconds
    else:
        # Whole seeds are left out, the last ones first.
        assert found.share == SHARES[-1]
        assert {min(v, 3) for n, v in seeds.items()} == {min(max(seeds.values()), 3)}


def test_coarser_arithmetic_is_taken_only_for_steps_that_do_not_fit_otherwise():
    wanted = runs("gpu9")

    def planned(fine: float, coarse: float):
        rows = [row("fine", fine), row("coarse", coarse, ["tf32"]), row("half", 1e9, ["bf16"])]
        plan = make_plan(wanted, rows, ASIDE, 600.0, "gpu9", {"steps": 5}, "cuda:0")
        return plan["why"].split(",")[0], plan

    assert planned(1e5, 1e6)[0] == "fine"
    assert planned(2e4, 1e5)[0] == "coarse"
    assert planned(2e4, 2e4)[0] == "fine"
    name, plan = planned(10.0, 10.0)
    assert (name, plan["enough"], plan["experiments"]) == ("fine", False, {})
    assert (plan["device"], plan["settings"]) == ("cuda", {})


def test_the_whole_way_from_a_pilot_to_trained_runs(source, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setattr(DataSet, "load", lambda *a, **k: source)
    out, results = tmp_path / "pilot.json", str(tmp_path / "runs")
    words = ["--preset", "gpu9", "--only", "swap-n64", "--only", "bag0.1-n256", "--seconds", "20"]
    words += ["--at-once", "2", "--budget", "5", "--set", "width=4", "--set", "steps=10", "--set", "size=100"]
    for word in ("n_eval=12", "n_samples=8", "sampler_steps=4", "uturn_starts=4", "uturn_returns=2"):
        words += ["--set", word]
    words += ["--out", str(out)]
    assert cli.main(["pilot", *words]) == 0
    text = capsys.readouterr().out
    found = json.loads(out.read_text())
    plan = found["plan"]
    assert "predicted: " in text
    assert "cuda_graph x1: not here" in text
    assert "steps" not in plan["settings"]  # the plan's own would not count
    assert plan["settings"]["width"] == 4  # what is said wins over what a rehearsal has
    assert set(plan["experiments"]) == {"swap-n64", "bag0.1-n256"}
    assert plan["at_once"] in (1, 2)

    chosen = ["--plan", str(out), "--results", results, "--seeds", "2"]
    assert cli.main(["train", *chosen, "--dry-run"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    names = [f"{n}/seed{s}" for s in (1000, 1001) for n in ("bag0.1-n256", "swap-n64")]
    assert [x["run"] for x in lines] == names
    assert all(x["network"]["width"] == 4 and x["optimizer"]["batch"] == 8 for x in lines)
    assert {x["optimizer"]["steps"] for x in lines} == {plan["experiments"]["swap-n64"]["steps"]}
    assert cli.main(["train", *chosen, "--at-once", "3"]) == 0
    with np.load(tmp_path / "runs" / "swap-n64" / "seed1001" / "raw.npz") as file:
        compute = json.loads(str(file["info"]))["compute"]
    assert {k: compute[k] for k in plan["options"]} == plan["options"]
    assert cli.main(["status", *chosen]) == 0
    assert "4 of 4 done" in capsys.readouterr().out


def test_a_pilot_that_ends_early_leaves_what_it_found(source, tmp_path, monkeypatch):
    def stop(*args, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(pilot, "aside", stop)
    monkeypatch.setattr(DataSet, "load", lambda *a, **k: source)
    out = tmp_path / "pilot.json"
    words = ["pilot", "--seconds", "10", "--at-once", "1", "--set", "width=4", "--out", str(out)]
    with pytest.raises(KeyboardInterrupt):
        cli.main(words)
    assert [r["status"] for r in json.loads(out.read_text())["candidates"]].count("measured") == 2
    with pytest.raises(InvalidInput, match="KeyError"):
        TrainingPlan.read(out)


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "JSONDecodeError"), ("[]", "TypeError"), ("{}", "KeyError"),
     ('{"pilot_version": 0, "plan": {}}', "be of version 2, and is of 0"),
     ('{"pilot_version": 2, "plan": {"experiments": {}}}', "larger --budget")],
)  # fmt: skip
def test_a_file_without_a_plan_is_refused(tmp_path, capsys, content, message):
    path = tmp_path / "pilot.json"
    path.write_text(content)
    assert cli.main(["train", "--plan", str(path), "--results", str(tmp_path / "r")]) == 2
    assert message in capsys.readouterr().err
    with pytest.raises(InvalidInput, match="FileNotFoundError"):
        TrainingPlan.read(tmp_path / "none.json")


PLAN = {"preset": "gpu9", "settings": {}, "device": "cuda", "options": {"cuda_graph": True, "tf32": True},
        "at_once": 8, "experiments": {"ten-n64": {"seeds": 1, "steps": 5}}}  # fmt: skip


def write_plan(path, **more):
    path.write_text(json.dumps({"pilot_version": 2, "plan": {**PLAN, **more}}))
    return ["--plan", str(path), "--results", str(path.parent / "r")]


def test_what_is_said_wins_over_a_plan(tmp_path, capsys, monkeypatch):
    words = write_plan(tmp_path / "pilot.json", settings={"width": 8, "uturn_levels": [1.0]})
    assert cli.main(["train", *words, "--dry-run", "--set", "width=4"]) == 0
    (run,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    found = run["optimizer"]["steps"], run["network"]["width"], run["sample"]["uturn_levels"]
    assert found == (5, 4, [1.0])
    given = {}
    monkeypatch.setattr("diffclaims.unet.train.campaign.run_campaign", lambda *a, **k: given.update(k) or [])
    monkeypatch.setattr(DataSet, "load", lambda *a, **k: None)
    off = ["--device", "cpu", "--no-cuda-graph", "--no-tf32", "--bf16"]
    assert cli.main(["train", *words, *off]) == 1
    assert given["compute"] == Compute(bf16=True)
    assert given["at_once"] == 8
    assert cli.main(["train", *words, "--preset", "cpu"]) == 2
    assert "be that of the plan, gpu9" in capsys.readouterr().err
    assert cli.main(["train", *words, "--only", "swap-n64"]) == 2
    assert "only must be one of ten-n64" in capsys.readouterr().err


def test_a_plan_for_experiments_that_are_no_more_is_refused(tmp_path, capsys):
    words = write_plan(tmp_path / "pilot.json", experiments={"balanced-n46": {"seeds": 1, "steps": 5}})
    assert cli.main(["train", *words, "--dry-run"]) == 2
    assert "did you mean balanced-n64" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--seconds", "0"], "seconds must be positive"), (["--budget", "-1"], "budget must be positive"),
     (["--at-once", "0"], "at_once must be positive"), (["--device", "tpu"], "device must be cpu"),
     (["--set", "wodth=4"], "setting = ")],
)  # fmt: skip
def test_bad_words_end_with_one_message(source, tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.setattr(DataSet, "load", lambda *a, **k: source)
    assert cli.main(["pilot", "--out", str(tmp_path / "p.json"), *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "p.json").exists()


def test_experiments_of_different_networks_are_not_one_pilot(source, tmp_path):
    found = runs("gpu9", overrides={"steps": 5})
    found[-1] = replace(found[-1], network=replace(found[-1].network, width=8))
    with pytest.raises(InvalidInput, match="one network"):
        pilot.pilot(found, source, tmp_path / "p.json", preset="gpu9", settings={})
