"""The pilot: what is counted, measured, refused, chosen and planned; and that a plan is trained as it says."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")
import torch

from diffclaims.errors import DiffclaimsError, InvalidInput
from diffclaims.unet import cli
from diffclaims.unet.config import RunConfig
from diffclaims.unet.data.data_set import DataSet
from diffclaims.unet.data.prepare import prepare
from diffclaims.unet.measure.probes import Probe
from diffclaims.unet.measure.wiener import ClassMoments
from diffclaims.unet.model.objective import NetworkDenoiser
from diffclaims.unet.model.options import Compute
from diffclaims.unet.model.stepper import Stepper
from diffclaims.unet.pilot import bench as benches
from diffclaims.unet.pilot import command, others, power, table
from diffclaims.unet.pilot.bench import Bench, BenchResult
from diffclaims.unet.pilot.candidates import Candidate, single
from diffclaims.unet.pilot.command import Request, choose, pilot
from diffclaims.unet.pilot.evaluation import synthetic
from diffclaims.unet.pilot.fit import LEAST_SEEDS, MOST_SEEDS, SHARES, Costs, fit, training_seconds
from diffclaims.unet.pilot.flops import flops_per_image
from diffclaims.unet.pilot.plan import TrainingPlan
from diffclaims.unet.pilot.timing import timed
from diffclaims.unet.pilot.work import Work
from diffclaims.unet.train.presets import runs
from diffclaims.unet.train.run import train
from tests.unet.synthetic import TINY

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
CONFIG = RunConfig.of("tiny", **TINY)


def make_bench(**more):
    return Bench(CONFIG, synthetic(CONFIG, 32), device="cpu", seconds=0.01, flops=10**6, **more)


# What is counted


def test_work_is_what_a_run_does(source, tmp_path):
    config = RunConfig.of(
        "w", **{**TINY, "weights": (0.25, 0.75), "size": 20, "size_of": "n_total", "uturn_at": (0.5, 1.0)}
    )
    work = Work.of(config)
    with np.load(train(config, source, tmp_path, report=lambda line: None)) as file:
        assert work.result_bytes == sum(file[n].nbytes for n in file.files if n != "info")
    data = prepare(config.data, source, seed=0, n_held_out=12)
    moments = tuple(ClassMoments.of(x) for x in data.population)
    probe = Probe(data, config.probe, seed=0, moments=moments, device=CPU)
    assert work.probe_evaluations == 5 * probe.n_pairs
    assert work.images == 12 * 8
    assert work.classes == 2


def test_evaluations_of_samplers_are_counted(source, monkeypatch, tmp_path):
    config = RunConfig.of("w", **{**TINY, "sample_at": (1.0,), "snapshots": 2, "first_snapshot": 12})
    seen = 0
    forward = NetworkDenoiser.forward

    def counted(self, y, sigma):
        nonlocal seen
        seen += 0 if self.training else len(y)
        return forward(self, y, sigma)

    monkeypatch.setattr(NetworkDenoiser, "forward", counted)
    train(config, source, tmp_path, report=lambda line: None)
    work = Work.of(config)
    assert seen == work.probe_evaluations + work.sample_evaluations


def test_operations_are_counted():
    training, evaluation = flops_per_image(CONFIG)
    # Backward takes as much twice, but for the first layer, whose input needs no gradient.
    assert 2.8 < training / evaluation < 3
    wide = replace(CONFIG, network=replace(CONFIG.network, width=8))
    assert 3 < flops_per_image(wide)[1] / evaluation < 4


# What is measured


def test_a_call_is_timed_by_the_median_of_blocks():
    calls = []
    found = timed(lambda: calls.append(time.sleep(0.002)), CPU, 0.1)
    assert 0.002 <= found.seconds < 0.02
    assert len(calls) > 10


def test_a_candidate_is_measured_and_compared():
    row = make_bench().candidate(Candidate({"channels_last": True}, 2))
    assert row.status == "measured"
    assert row.name == "channels-last x2"
    assert 0 < row.differs < 1e-4
    assert row.images_per_s == pytest.approx(1e3 * 8 / row.step_ms)
    assert row.tflops == pytest.approx(row.images_per_s * 1e6 / 1e12)
    assert row.peak_mib is None


def test_what_the_device_lacks_is_told_with_the_reason():
    row = make_bench().candidate(Candidate({"cuda_graph": True}))
    assert row.status == "not here"
    assert "must be off on the device cpu" in row.reason


def test_a_failure_is_a_finding(monkeypatch):
    def fail(*args, **more):
        raise RuntimeError("out of something\nand a trace")

    monkeypatch.setattr(benches, "Stepper", fail)
    row = make_bench().candidate(Candidate({}))
    assert (row.status, row.reason) == ("failed", "RuntimeError: out of something")


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
@pytest.mark.parametrize("options", [{}, {"bf16": True}])
def test_steps_that_are_not_those_of_float32_are_found_out(monkeypatch, wrong, options):
    bench = make_bench()
    bench._difference(0, Stepper(CONFIG, bench.images, Compute()))  # the right answer, once
    monkeypatch.setattr(benches, "Stepper", wrong)
    row = bench.candidate(Candidate(options))
    assert row.status == "wrong"
    assert "differ by" in row.reason
    monkeypatch.setattr(benches, "Stepper", Stepper)
    assert bench.candidate(Candidate(options)).status == "measured"


def test_other_ways_are_references_and_may_be_missing(monkeypatch):
    bench = make_bench()
    images = bench.images
    plain = bench.reference("plain", lambda: others.plain(CONFIG, images, CPU))
    many = bench.reference("vmap", lambda: others.batched(CONFIG, images, CPU, 3), models=3)
    assert plain.reference
    assert many.status == "measured"
    assert many.images_per_s == pytest.approx(1e3 * 8 / many.step_ms)
    monkeypatch.setitem(__import__("sys").modules, "diffusers", None)
    missing = bench.reference("diffusers", lambda: others.diffusers(CONFIG, images, CPU))
    assert (missing.status, missing.reason) == ("not here", "diffusers is not installed")


def test_power_is_read_while_something_runs():
    values = iter([100.0, 300.0] + [200.0] * 1000)
    with power.Meter(lambda: next(values)) as meter:
        time.sleep(0.35)
    assert meter.watts == pytest.approx(200)
    with power.Meter(None) as meter:
        pass
    assert meter.watts is None
    assert power.reader(CPU)[0] is None


def test_power_falls_back_and_says_why_it_cannot_be_read(monkeypatch):
    cuda = torch.device("cuda:0")

    def nothing(device):
        raise ModuleNotFoundError("pynvml")

    monkeypatch.setattr(torch.cuda, "power_draw", nothing)
    monkeypatch.setattr(power, "_nvidia_smi", lambda device: lambda: 70.0)
    read, name = power.reader(cuda)
    assert (read(), name) == (70.0, "nvidia-smi")
    monkeypatch.setattr(power, "_nvidia_smi", nothing)
    read, why = power.reader(cuda)
    assert read is None
    assert "nvml: ModuleNotFoundError" in why


# What is chosen


def row(name: str, rate: float, *, coarseness: int = 0, **more) -> BenchResult:
    return BenchResult(name=name, images_per_s=rate, coarseness=coarseness, **more)


def test_the_fastest_right_candidate_is_chosen():
    rows = [
        row("a", 100),
        row("b", 200),
        row("wrong", 900, status="wrong"),
        row("other", 900, reference=True),
    ]
    assert choose(rows)[0].name == "b"
    with pytest.raises(DiffclaimsError, match="no candidate"):
        choose(rows[2:])


def test_coarser_arithmetic_must_pay():
    fine = row("fine", 100)
    assert choose([fine, row("tf32", 120, coarseness=1)])[0].name == "fine"
    assert choose([fine, row("tf32", 130, coarseness=1)])[0].name == "tf32"
    best, why = choose([fine, row("tf32", 130, coarseness=1), row("bf16", 140, coarseness=2)])
    assert best.name == "tf32"
    assert "1.30 times fine" in why


def test_fewer_at_once_are_preferred_at_the_same_rate():
    rows = [row("x1", 100), row("x4", 198, at_once=4), row("x8", 200, at_once=8)]
    assert choose(rows)[0].name == "x4"


def test_every_candidate_has_a_name_of_its_own():
    found = [c.name for c in single(compiled=True)]
    assert len(set(found)) == len(found)
    assert found[0] == "eager x1"
    assert {"compile graph bf16 x1", "graph tf32 channels-last x1"} <= set(found)
    assert not any("compile" in c.name for c in single(compiled=False))


# What is planned


def costs(rate: float = 1000.0, **more) -> Costs:
    return Costs(
        **{
            "images_per_s": {1: rate, 4: 2 * rate},
            "probe_evaluations_per_s": 1e6,
            "sample_evaluations_per_s": 1e6,
            "prepare_s": 0.1,
            "start_s": 0.2,
            "once_s": 5.0,
            "write_bytes_per_s": 1e8,
            **more,
        }
    )


def test_training_time_counts_who_is_left():
    rates = {1: 100.0, 2: 160.0}
    assert training_seconds([1000], 4, rates) == pytest.approx(10)
    # Two share 160 until the first has ended, then the other has 100 alone.
    assert training_seconds([800, 1000], 2, rates) == pytest.approx(10 + 2)
    assert training_seconds([800, 1000], 1, rates) == pytest.approx(18)
    assert training_seconds([], 2, rates) == 0
    # The third begins when the first ends.
    assert training_seconds([800, 1600, 800], 2, rates) == pytest.approx(20)


@settings(max_examples=25)
@given(st.floats(1, 1e6), st.floats(100, 1e6), st.integers(1, 8))
def test_a_plan_keeps_to_its_time(seconds, rate, at_once):
    wanted = runs("gpu")
    found = fit(wanted, costs(rate), at_once=at_once, seconds=seconds)
    assert found.seconds <= seconds
    names = list(dict.fromkeys(r.name for r in wanted))
    seeds = [len(found.of(n)) for n in names]
    assert max(seeds) - min(seeds) <= 1  # each experiment has its share
    assert max(seeds) <= MOST_SEEDS
    assert found.enough == (min(seeds) >= LEAST_SEEDS)
    shares = {r.optimizer.steps / 20000 for r in found.runs}
    assert shares <= set(SHARES)
    assert len(shares) <= 1
    # Steps are cut only where a few seeds would not fit otherwise.
    if found.enough and max(seeds) > LEAST_SEEDS:
        larger = [s for s in SHARES if s > min(shares)]
        if larger:
            more = [r for r in wanted if r.seed < LEAST_SEEDS]
            more = [replace(r, optimizer=replace(r.optimizer, steps=round(20000 * larger[-1]))) for r in more]
            assert costs(rate).seconds([Work.of(r) for r in more], at_once) > seconds


def test_more_time_is_never_a_smaller_plan():
    wanted = runs("gpu")
    sizes = []
    for minutes in (0.01, 1, 5, 25, 100, 1000):
        found = fit(wanted, costs(30000.0), at_once=4, seconds=60 * minutes)
        steps = found.runs[0].optimizer.steps if found.runs else 0
        sizes.append((steps if found.enough else 0, len(found.runs)))
    assert sizes == sorted(sizes)
    assert sizes[0] == (0, 0)
    assert sizes[-1] == (20000, MOST_SEEDS * 8)


def test_the_whole_way_from_a_pilot_to_trained_runs(source, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setattr(DataSet, "load", lambda *a, **k: source)
    out, results = tmp_path / "pilot.json", str(tmp_path / "runs")
    words = ["--preset", "gpu", "--only", "swap-n64", "--only", "bag0.3-n256", "--seconds", "0.5"]
    words += ["--at-once", "2", "--budget", "1", "--set", "width=4", "--set", "steps=10", "--out", str(out)]
    status = cli.main(["pilot", *words])
    text = capsys.readouterr().out
    found = json.loads(out.read_text())
    plan = found["plan"]
    assert status == (0 if plan["enough"] else 1)
    assert "predicted: " in text
    assert "not here: graph x1" in text
    assert {r["status"] for r in found["candidates"]} == {"measured", "not here"}
    assert "steps" not in plan["settings"]  # the plan's own would not count
    assert plan["settings"]["width"] == 4  # what is said wins over what a rehearsal has
    assert set(plan["experiments"]) == {"swap-n64", "bag0.3-n256"}
    assert plan["at_once"] in (1, 2)

    chosen = ["--plan", str(out), "--results", results, "--seeds", "2"]
    assert cli.main(["train", *chosen, "--dry-run"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [x["run"] for x in lines] == [f"{n}/seed{s}" for s in (0, 1) for n in ("swap-n64", "bag0.3-n256")]
    assert all(x["network"]["width"] == 4 and x["optimizer"]["batch"] == 8 for x in lines)
    assert {x["optimizer"]["steps"] for x in lines} == {plan["experiments"]["swap-n64"]["steps"]}
    assert cli.main(["train", *chosen, "--at-once", "3"]) == 0
    with np.load(tmp_path / "runs" / "swap-n64" / "seed1" / "raw.npz") as file:
        compute = json.loads(str(file["info"]))["compute"]
    assert {k: compute[k] for k in plan["options"]} == plan["options"]
    assert cli.main(["status", *chosen]) == 0
    assert "4 of 4 done" in capsys.readouterr().out


def test_a_pilot_that_ends_early_leaves_what_it_found(tmp_path, monkeypatch):
    def stop(*args, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "evaluate", stop)
    out = tmp_path / "pilot.json"
    request = Request(preset="smoke", seconds=0.1, at_once=1, overrides={"width": 4})
    with pytest.raises(KeyboardInterrupt):
        pilot(request, out, say=lambda line: None)
    assert [r["status"] for r in json.loads(out.read_text())["candidates"]].count("measured") >= 4
    with pytest.raises(InvalidInput, match="the pilot did not end"):
        TrainingPlan.read(out)


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "JSONDecodeError"), ("[]", "TypeError"), ("{}", "KeyError"),
     ('{"pilot_version": 0, "plan": {}}', "be of version 1, and is of 0"),
     ('{"pilot_version": 1, "plan": {"experiments": {}}}', "larger --budget")],
)  # fmt: skip
def test_a_file_without_a_plan_is_refused(tmp_path, capsys, content, message):
    path = tmp_path / "pilot.json"
    path.write_text(content)
    assert cli.main(["train", "--plan", str(path), "--results", str(tmp_path / "r")]) == 2
    assert message in capsys.readouterr().err
    with pytest.raises(InvalidInput, match="FileNotFoundError"):
        TrainingPlan.read(tmp_path / "none.json")


PLAN = {"preset": "gpu", "settings": {}, "device": "cuda", "options": {"cuda_graph": True, "tf32": True},
        "at_once": 8, "experiments": {"ten-n64": {"seeds": 1, "steps": 5, "minutes": 0.1}}}  # fmt: skip


def write_plan(path, **more):
    path.write_text(json.dumps({"pilot_version": 1, "plan": {**PLAN, **more}}))
    return ["--plan", str(path), "--results", str(path.parent / "r")]


def test_what_is_said_wins_over_a_plan(tmp_path, capsys, monkeypatch):
    words = write_plan(tmp_path / "pilot.json", settings={"width": 8, "uturn_levels": [1.0]})
    assert cli.main(["train", *words, "--dry-run", "--set", "width=4"]) == 0
    (run,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (run["optimizer"]["steps"], run["network"]["width"], run["sample"]["uturn_levels"]) == (
        5,
        4,
        [1.0],
    )
    given = {}
    monkeypatch.setattr("diffclaims.unet.train.campaign.run_campaign", lambda *a, **k: given.update(k) or [])
    monkeypatch.setattr(DataSet, "load", lambda *a, **k: None)
    off = ["--device", "cpu", "--no-cuda-graph", "--no-tf32", "--bf16"]
    assert cli.main(["train", *words, *off]) == 1
    assert given["compute"] == Compute(bf16=True)
    assert given["at_once"] == 8
    assert cli.main(["train", *words, "--preset", "cpu"]) == 2
    assert "be that of the plan, gpu" in capsys.readouterr().err
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
def test_bad_words_end_with_one_message(tmp_path, capsys, words, message):
    assert cli.main(["pilot", "--out", str(tmp_path / "p.json"), *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "p.json").exists()


def test_experiments_of_different_networks_are_not_one_pilot(monkeypatch):
    found = runs("gpu", overrides={"steps": 5})
    found[-1] = replace(found[-1], network=replace(found[-1].network, width=8))
    monkeypatch.setattr(command, "runs", lambda *a, **k: found)
    with pytest.raises(InvalidInput, match="one network"):
        Request(preset="gpu").runs()


def test_a_plan_that_holds_too_little_says_so():
    plan = {
        "candidate": "eager x1", "device": "cpu", "why": "the fastest", "experiments": {}, "left_out": ["ten-n64"],
        "memory_mib": 10.0, "energy_wh": 2.0, "predicted_minutes": 0.0, "budget_minutes": 1, "margin": 0.15,
        "result_mib": 0.0, "enough": False,
    }  # fmt: skip
    text = table.plan(plan)
    assert "raise --budget" in text
    assert "2 Wh" in text
    assert (
        table.rates([asdict(row("a", 10.0, watts=50.0, step_ms=1.0))]).splitlines()[1].split()[-3] == "5e+03"
    )
