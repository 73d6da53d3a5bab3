"""Settings, presets, the command line's words. No torch."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from dataclasses import replace

import pytest

from diffclaims.errors import InvalidInput
from diffclaims.problem.experiment import Experiment
from diffclaims.storage.paths import baselines_dir
from diffclaims.unet import results
from diffclaims.unet.cli import main
from diffclaims.unet.config import RunConfig, parse_setting
from diffclaims.unet.data.fashion_mnist import CLASS_NAMES
from diffclaims.unet.train.presets import PRESETS, runs


def test_a_run_survives_json():
    run = RunConfig.of(
        "a-1", seed=3, classes=("Bag", "Coat"), weights=(0.25, 0.75), size_of="n_total", size=40
    )
    again = RunConfig.from_json(run.to_json())
    assert again == run
    assert again.key == run.key
    assert RunConfig.of("a-1", seed=4).key != RunConfig.of("a-1", seed=3).key


@pytest.mark.parametrize("preset", list(PRESETS))
def test_every_preset_is_valid_and_seed_by_seed(preset):
    found = runs(preset)
    assert len({r.folder for r in found}) == len(found)
    seeds = [r.seed for r in found]
    assert seeds == sorted(seeds)
    assert {r.name for r in found} == set(PRESETS[preset]["experiments"])


def test_flags_override_the_preset():
    found = runs("cpu", only=["swap-n64"], seeds=2, overrides=dict([parse_setting("steps=77")]))
    assert [(r.name, r.seed, r.optimizer.steps) for r in found] == [("swap-n64", 0, 77), ("swap-n64", 1, 77)]


@pytest.mark.parametrize(
    ("text", "value"),
    [("steps=5", ("steps", 5)), ("rate=0.1", ("rate", 0.1)), ("objective=eps", ("objective", "eps")),
     ("classes=Bag,Coat", ("classes", ("Bag", "Coat"))), ("low=0.2,0.35", ("low", (0.2, 0.35))),
     ("uturn_at=", ("uturn_at", ()))],
)  # fmt: skip
def test_settings_are_read_by_type(text, value):
    assert parse_setting(text) == value


@pytest.mark.parametrize("text", ["steps", "stepz=5", "steps=many", "weights=a,b"])
def test_bad_settings_are_refused(text):
    with pytest.raises(InvalidInput, match="setting = "):
        parse_setting(text)


@pytest.mark.parametrize(
    "settings",
    [{"optimizer": "adamw"}, {"rate": 0.0}, {"momentum": 1.0}, {"objective": "v"}, {"noise": "cosine"},
     {"sigma_min": 9.0}, {"sigma_data": 0.0}, {"levels": (1.0, 0.5)}, {"low": (0.3,)}, {"n_eval": 1001},
     {"snapshots": 1}, {"sample_at": (1.5,)}, {"n_samples": 2}, {"width": 6}, {"multipliers": ()},
     {"multipliers": (1, 1, 1)}, {"nonsense": 1}, {"noise": "fixed"}],
)  # fmt: skip
def test_values_out_of_range_are_refused(settings):
    with pytest.raises(InvalidInput):
        RunConfig.of("x", **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"batch": 0}, "batch = 0: batch must be at least 1; raise it"),
     ({"rate": float("nan")}, "rate = nan: rate must be positive; raise it"),
     ({"uturn_starts": 1}, "uturn_starts = 1: uturn_starts must be at least 2; raise it"),
     ({"noise": "cosine"}, "noise must be log-uniform, ddpm-uniform or fixed; choose one"),
     ({"sigma_min": 9.0}, r"sigma_min must lie in \(0, sigma_max\); lower it")],
)  # fmt: skip
def test_each_limit_is_told_of_its_own_setting(settings, message):
    with pytest.raises(InvalidInput, match=message):
        RunConfig.of("x", **settings)


@pytest.mark.parametrize("name", ["", "a/b", "a b"])
def test_names_are_those_of_folders(name):
    with pytest.raises(InvalidInput, match="name ="):
        RunConfig.of(name)


def test_snapshots_are_log_spaced_and_end_at_the_last_step():
    steps = RunConfig.of("x").probe.steps(3000)
    assert steps[0] == 20
    assert steps[-1] == 3000
    assert len(steps) == 30
    assert RunConfig.of("x").probe.steps(5) == (5,)


def test_dry_run_prints_configs_and_makes_nothing(tmp_path, capsys):
    assert (
        main(["train", "--preset", "cpu", "--results", str(tmp_path / "r"), "--dry-run", "--seeds", "1"]) == 0
    )
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == len(PRESETS["cpu"]["experiments"])
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--only", "balanced-n46"], "did you mean balanced-n64"), (["--set", "x=1"], "setting = 'x=1'"),
     (["--seeds", "0"], "seeds = 0"),
     (["--preset", "digits", "--dataset", "digits"], "0-1 and 0-2 would train the same; leave out --dataset"),
     (["--preset", "pairs", "--set", "classes=Bag,Coat"], "would train the same")],
)  # fmt: skip
def test_bad_words_end_with_one_message(tmp_path, capsys, words, message):
    assert main(["train", "--results", str(tmp_path), "--dry-run", *words]) == 2
    assert message in capsys.readouterr().err


def test_status_of_nothing(tmp_path, capsys):
    assert main(["status", "--results", str(tmp_path)]) == 1
    assert "0 of 2 done" in capsys.readouterr().out


def test_recorded_runs_need_no_torch():
    code = (
        "import sys\n"
        "class Without:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'torch':\n"
        "            raise ModuleNotFoundError('No module named torch', name='torch')\n"
        "sys.meta_path.insert(0, Without())\n"
        "import diffclaims.unet.results, diffclaims.unet.measure.oracle, diffclaims.unet.cli\n"
        "sys.exit(diffclaims.unet.cli.main(['train', '--results', 'x', '--data-dir', 'y']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert "install diffclaims[unet]" in done.stderr


def test_the_gpu_preset_asks_what_the_claims_need():
    found = runs("gpu9")
    first = {r.name: r for r in reversed(found)}
    pair = [r for r in first.values() if len(r.data.classes) == 2]
    assert {r.data.weights[0] for r in pair} == {0.5, 0.1, 0.05}
    assert {r.data.size for r in pair if r.data.size_of == "n_class"} == {64, 128}
    assert [r.name for r in pair if r.data.control == "variance-swap"] == ["swap-n64"]
    assert [r.name for r in first.values() if len(r.data.classes) == 10] == ["ten-n64"]
    assert all(r.sample.uturn_starts * r.sample.uturn_returns >= 128 for r in pair)
    assert all(r.data.resolution == 28 and 28 // 2 ** (len(r.network.multipliers) - 1) == 7 for r in found)
    # Seeds that no other campaign used, in turns: a cut leaves whole seeds of each experiment.
    assert min(r.seed for r in found) == 1000
    assert [r.seed for r in found] == sorted(r.seed for r in found)
    decides = ["balanced-n64", "bag0.1-n256", "bag0.05-n256", "swap-n64", "ten-n64", "balanced-n256"]
    assert [r.name for r in found[:6]] == decides
    assert min(sum(r.name == name for r in found) for name in first) >= 3


def test_the_preset_of_pairs_asks_all_of_them_alike():
    found = runs("pairs")
    # Seed by seed: a cut leaves whole seeds of all pairs.
    assert [r.seed for r in found] == [1000] * 45 + [1001] * 45
    assert [r.name for r in found[:45]] == [r.name for r in found[45:]]
    assert {frozenset(r.data.classes) for r in found} == set(
        map(frozenset, itertools.combinations(CLASS_NAMES, 2))
    )
    assert {"bag-trouser", "shirt-tshirt"} <= {r.name for r in found}
    first = found[0]
    alike = [
        replace(r, name=first.name, seed=0, data=replace(r.data, classes=("Bag", "Boot"))) for r in found
    ]
    assert set(alike) == {replace(first, seed=0)}
    assert first.data.counts() == (64, 64)
    assert first.sample.sample_at == first.sample.uturn_at == ()
    steps = first.probe.steps(first.optimizer.steps)
    assert (len(steps), steps[0], steps[-1]) == (20, 20, 1200)


def test_pairs_of_the_campaign_on_imbalance_follow_from_their_variances():
    """Ranks 1, 2, 22, 23, 44 and 45 of the ratio of total variances, the larger first, as the protocol says."""
    recorded = results.load(baselines_dir() / "unet" / "recorded" / "cpu")["ten-n64"]
    mixture = Experiment.from_json(recorded.attrs["experiment"]).mixture
    variance = dict(zip(mixture.classes, mixture.class_variance, strict=True))
    pairs = [tuple(sorted(p, key=lambda c: -variance[c])) for p in itertools.combinations(variance, 2)]
    pairs.sort(key=lambda p: -variance[p[0]] / variance[p[1]])
    ranked = [pairs[i - 1] for i in (1, 2, 22, 23, 44, 45)]
    assert list(dict.fromkeys(run.data.classes for run in runs("imbalance"))) == ranked
