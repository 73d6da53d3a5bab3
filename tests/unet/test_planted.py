"""Denoisers with known answers, through the code that measures networks; then whole runs, analysed."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

pytest.importorskip("torch")
import torch

from diffclaims.errors import BaselineError, InvalidInput
from diffclaims.problem.experiment import Experiment
from diffclaims.storage import schema
from diffclaims.storage.recordings import record
from diffclaims.subjects.recorded import Recorded
from diffclaims.times import definitions
from diffclaims.times.speciation import detailed_balance_violation
from diffclaims.unet import cli, results
from diffclaims.unet.config import DataConfig, ProbeConfig, RunConfig
from diffclaims.unet.data.data_set import DataSet, pixels
from diffclaims.unet.data.prepare import prepare
from diffclaims.unet.measure.checks import planted_checks
from diffclaims.unet.measure.classifier import train_classifier
from diffclaims.unet.measure.planted import GaussianDenoiser
from diffclaims.unet.measure.probes import Probe
from diffclaims.unet.measure.sampling import noise_grid, sample, starting_points, uturns
from diffclaims.unet.measure.wiener import ClassMoments
from diffclaims.unet.model.stepper import build
from diffclaims.unet.record.analyse import _with_start, analyse
from diffclaims.unet.record.raw import RawRun
from diffclaims.unet.record.sheets import COLUMNS, sample_sheet
from diffclaims.unet.train.run import train
from tests.unet.synthetic import TINY

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(source):
    return prepare(DataConfig(size=24), source, seed=0, n_held_out=40)


def test_planted_checks_pass(data):
    checks = planted_checks(data, probe=ProbeConfig(n_eval=40), n_samples=64, steps=24, n_uturns=60)
    assert len(checks) == 10
    assert not [c for c in checks if not c.passed]


def test_the_wiener_filter_measures_as_itself(data):
    moments = tuple(ClassMoments.of(x) for x in data.population)

    for k in range(2):
        denoiser = GaussianDenoiser([moments[k]], [1.0])
        probe = Probe(data, ProbeConfig(n_eval=40), seed=0, moments=moments, device=CPU)
        found = probe(denoiser)
        np.testing.assert_allclose(found["test_log_ratio"][k], 0, atol=2e-3)
        np.testing.assert_allclose(found["train_log_ratio"][k][:, :24], 0, atol=2e-3)
        same = probe(denoiser)
        np.testing.assert_array_equal(found["test_loss"], same["test_loss"])


def test_samplers_reach_the_moments(data):
    m = ClassMoments.of(data.population[0])
    gaussian = GaussianDenoiser([m], [1.0])
    train_like = data.population[0]
    for sampler, tolerance in (("heun", 0.15), ("ancestral", 0.15)):
        x = sample(
            gaussian, train_like, n=1500, sampler=sampler, high=8.0, low=0.02, steps=60, seed=1, device=CPU
        )
        flat = x.reshape(len(x), -1)
        assert flat.var(axis=0).sum() == pytest.approx(m.total_variance, rel=tolerance)
        np.testing.assert_allclose(flat.mean(axis=0), m.mean, atol=0.06)


def test_starting_points_have_the_training_moments(data):
    g = torch.Generator().manual_seed(0)
    y = starting_points(data.train, 0.5, 20000, g, CPU).reshape(20000, -1).numpy()
    flat = data.train.reshape(len(data.train), -1)
    np.testing.assert_allclose(y.mean(axis=0), flat.mean(axis=0), atol=0.03)
    assert y.var(axis=0).sum() == pytest.approx(flat.var(axis=0).sum() + 0.25 * 196, rel=0.02)


def test_u_turns_keep_their_shape_and_return_from_low_noise(data):
    gaussian = GaussianDenoiser([ClassMoments.of(x) for x in data.population], [0.5, 0.5])
    ends = uturns(
        gaussian, data.held_out[0][:5], level=0.1, returns=3, high=8.0, low=0.1, steps=8, seed=0, device=CPU
    )
    assert ends.shape == (5, 3, 1, 14, 14)
    assert np.abs(ends - data.held_out[0][:5, None]).mean() < 0.1
    assert noise_grid(0.1, 0.1, 8).tolist() == [0.1]


def test_the_classifier_learns_rejects_and_is_cached(source, tmp_path):
    classifier = train_classifier(source, DataConfig(), epochs=6, cache=tmp_path)
    assert classifier.accuracy > 0.8
    for label, position in ((8, 0), (1, 1), (5, 2)):
        images = pixels(source.test_images[source.test_labels == label], 14)
        assert (classifier.classes_of(images, (8, 1)) == position).mean() > 0.6
    again = train_classifier(source, DataConfig(), cache=tmp_path)
    assert again.accuracy == classifier.accuracy
    assert classifier.classes_of(np.zeros((0, 1, 14, 14)), (8,)).shape == (0,)


@pytest.fixture(scope="module")
def trained(source, tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs")
    return [
        train(RunConfig.of("tiny", seed=s, **TINY), source, folder / str(s), report=lambda line: None)
        for s in (0, 1)
    ]


@pytest.fixture(scope="module")
def analysed(source, trained):
    return analyse(trained, source, campaign="smoke", command="none", cache=trained[0].parents[1])


def test_runs_that_did_not_measure_step_0_are_recorded_alike(source, trained, analysed, tmp_path):
    with np.load(trained[1]) as file:
        arrays = {n: file[n] for n in file.files}
    assert arrays["probe/0/test_loss"].shape == (2, 6, 12)
    old = tmp_path / "raw.npz"
    np.savez(old, **{n: a for n, a in arrays.items() if not n.startswith("probe/0/")})
    paths = [trained[0], old]
    _, found = analyse(paths, source, campaign="smoke", command="none", cache=trained[0].parents[1])
    for kind, dataset in analysed[1].items():
        xr.testing.assert_identical(dataset.drop_attrs(), found[kind].drop_attrs())


def test_the_images_are_prepared_once(source, trained, monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    asked = []

    def counted(config, source, *, seed, n_held_out):
        asked.append((seed, n_held_out))
        return prepare(config, source, seed=seed, n_held_out=n_held_out)

    monkeypatch.setattr("diffclaims.unet.record.analyse.prepare", counted)
    sheet = tmp_path / "a.png"
    cache = trained[0].parents[1]
    analyse(trained, source, campaign="smoke", command="none", cache=cache, sheet=sheet)
    assert [seed for seed, _ in asked] == [0, 1]
    assert sheet.exists()


def test_a_sheet_has_a_row_for_each_of_three_training_times(trained, source, tmp_path):
    imread = pytest.importorskip("matplotlib.image").imread
    run = RawRun.read(trained[0])
    data = prepare(run.config.data, source, seed=0, n_held_out=1)
    last = run.samples[max(run.samples)]["samples_ancestral"]
    shades = {step: np.full_like(last, shade) for step, shade in ((1, -1.0), (2, 0.0), (3, 1.0), (4, 1.0))}
    shown = replace(run, samples={s: {"samples_ancestral": x} for s, x in shades.items()})
    sample_sheet(tmp_path / "a.png", shown, data)
    side = imread(tmp_path / "a.png").shape[1] // COLUMNS
    rows = imread(tmp_path / "a.png")[side // 2 : 3 * side : side, side // 2, 0]
    # The first, the third of four, the last.
    np.testing.assert_allclose(rows, [0, 1, 1], atol=0.01)


def test_a_run_becomes_valid_datasets(analysed):
    experiment, found = analysed
    curves, speciation = found["curves"], found["speciation"]
    assert schema.validate(curves, "curves") is curves
    assert schema.validate(speciation, "speciation") is speciation
    assert curves.sizes["seed"] == 2
    assert json.loads(curves.attrs["seeds"]) == [0, 1]
    assert Experiment.from_json(curves.attrs["experiment"]) == experiment
    assert experiment.classes == ("Bag", "Trouser")
    assert experiment.model.psi_n == pytest.approx(32 / 196)
    np.testing.assert_allclose(speciation["transition"].sum("to_class"), 1, atol=1e-6)
    assert (speciation["transition_stderr"] > 0).all()
    np.testing.assert_allclose(speciation["oracle_transition"].sum("to_class"), 1, atol=1e-5)
    balance = detailed_balance_violation(speciation, speciation["weight"].isel(seed=0).values)
    assert balance.sizes["diffusion_time"] == 2
    np.testing.assert_allclose(curves["test_loss"].sel(training_time=0), 1, atol=1e-6)
    low = curves["low"].values.astype(bool)
    ratio = (curves["wiener_loss"] / curves["test_loss_by_noise"].sel(training_time=0)).transpose(
        "seed", "class", "noise_level"
    )
    np.testing.assert_allclose(curves["bayes_loss"], ratio.values[:, :, low].mean(axis=2), rtol=1e-5)


def test_recordings_play_back_and_times_follow_from_curves(analysed, tmp_path):
    experiment, found = analysed
    for dataset in found.values():
        record(tmp_path, experiment, dataset, name="tiny")
    subject = Recorded("unet-smoke", tmp_path, "smoke")
    played = subject.learning_curves(subject.experiments()["tiny"])
    for definition in ("gap_0.25", "auc_0.6"):
        times = results.named_times(played, mem=definition)
        schema.validate(times, "times")
        stored = played["tau_mem_by_definition"].sel(mem_definition=definition)
        np.testing.assert_allclose(times["tau_mem"], stored.transpose("seed", "class"), rtol=1e-3)
    stored = played["tau_gen_by_definition"].sel(gen_definition="iso_0.8").transpose("seed", "class")
    np.testing.assert_allclose(results.named_times(played)["tau_gen"], stored, rtol=1e-3)
    assert results.load(tmp_path).keys() == {"tiny"}
    levels = results.return_level(results.load(tmp_path, "speciation")["tiny"])
    assert levels.dims == ("seed", "class")
    with pytest.raises(BaselineError, match="holds no recorded curves"):
        results.load(tmp_path / "none")


def test_paired_effects_count_what_was_not_reached():
    tau = xr.DataArray(
        [[1.0, 2.0], [2.0, 4.4], [3.0, 5.7], [1.0, np.inf], [np.inf, np.inf]],
        dims=("seed", "class"), coords={"class": ["A", "B"]},
    )  # fmt: skip
    effect = results.paired_effect(tau, "A", "B")
    assert effect.mean == pytest.approx(np.log([1 / 2, 2 / 4.4, 3 / 5.7]).mean())
    assert (effect.n_finite, effect.n_one_sided, effect.n_neither) == (3, 1, 1)
    assert effect.low < effect.mean < effect.high < 0
    assert effect.per_seed[3] == -np.inf
    alone = results.paired_effect(tau.isel(seed=[0]), "A", "B")
    assert alone.stderr == np.inf


def resampled(log_times, spread, n=100, seed=0):
    """Curves whose ln tau has the given values by (seed, class), and that spread over images."""
    log_times = np.asarray(log_times)
    noise = np.random.default_rng(seed).normal(size=(*log_times.shape, n)) * spread
    classes = [f"c{k}" for k in range(log_times.shape[1])]
    return xr.Dataset(
        {
            "tau_gen_resampled": (("seed", "class", "resampling"), np.exp(log_times[..., None] + noise)),
            "tau_gen_by_definition": (("seed", "class", "gen_definition"), np.exp(log_times)[..., None]),
        },
        {"class": classes, "gen_definition": ["main"]},
    )


def test_an_interval_joins_the_spread_of_seeds_and_of_images():
    rng = np.random.default_rng(1)
    between, within, n = 0.2, 0.3, 40
    effects = 0.5 + between * rng.normal(size=n)
    found = resampled(np.stack([effects, np.zeros(n)], axis=1), within)
    low, high = results.joint_interval(found, "c0", "c1", "gen")
    expected = 1.96 * np.sqrt((between**2 + 2 * within**2) / n)
    assert (high - low) / 2 == pytest.approx(expected, rel=0.25)
    assert low < 0.5 < high
    assert results.joint_interval(resampled([[0.0, np.inf]] * 3, 0.0), "c0", "c1", "gen") == (
        -np.inf,
        -np.inf,
    )
    assert results.joint_interval(resampled([[np.inf, np.inf]] * 3, 0.0), "c0", "c1", "gen") == (
        -np.inf,
        np.inf,
    )


def test_agreement_of_ranks_is_one_for_the_same_order_and_wide_where_noise_decides():
    times = np.arange(1.0, 9.0)
    clear = results.rank_agreement(resampled([times] * 4, 0.01), np.exp(times))
    assert (clear.correlation, clear.low, clear.high) == pytest.approx((1, 1, 1))
    assert clear.p_value < 1e-6
    assert results.rank_agreement(resampled([times[::-1]] * 4, 0.01), times).correlation == pytest.approx(-1)
    noisy = results.rank_agreement(resampled([times] * 4, 20.0), times)
    assert noisy.low < 0.2 < noisy.high
    with pytest.raises(InvalidInput, match="one time for each of three classes or more"):
        results.rank_agreement(resampled([times] * 4, 0.1), times[:2])


def test_return_levels_are_interpolated_in_ln_sigma():
    sigma = np.array([0.5, 1.0, 2.0, 4.0])
    values = np.array(
        [[[1.0, 0.9, 0.65, 0.5], [1.0, 1.0, 1.0, 0.9]], [[0.7, 0.6, 0.5, 0.4], [1.0, 0.8, 0.8, 0.5]]]
    )
    ds = xr.Dataset(
        {"return_probability": (("seed", "class", "diffusion_time"), values)},
        {"seed": [0, 1], "class": ["A", "B"], "noise_level": ("diffusion_time", sigma)},
    )
    found = results.return_level(ds).values
    assert found[0, 0] == pytest.approx(np.exp(np.log(2) * 0.5))
    assert found[0, 1] == np.inf
    assert found[1, 0] == 0
    assert 2 < found[1, 1] < 4


def test_every_definition_is_described_in_the_attributes(analysed):
    assert json.loads(analysed[1]["curves"].attrs["mem_definitions"]) == definitions.sentences("mem")


def test_the_command_line_trains_records_and_reports(source, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(DataSet, "load", lambda *a, **k: source)
    monkeypatch.delenv("RANK", raising=False)
    words = ["--preset", "smoke", "--seeds", "1", "--results", str(tmp_path / "runs")]
    for key, value in TINY.items():
        shown = ",".join(map(str, value)) if isinstance(value, tuple) else value
        words += ["--set", f"{key}={shown}"]
    assert cli.main(["record", *words, "--out", str(tmp_path / "out")]) == 2
    assert "no finished run" in capsys.readouterr().err
    assert cli.main(["train", *words, "--threads", "1"]) == 0
    assert cli.main(["status", *words]) == 0
    assert cli.main(["record", *words, "--out", str(tmp_path / "out")]) == 0
    assert "1 of 1 seeds" in capsys.readouterr().out
    assert len(list((tmp_path / "out").glob("*.nc"))) == 2
    assert cli.main(["train", *words, "--device", "cuda"]) == (0 if torch.cuda.is_available() else 2)


@pytest.mark.parametrize("objective", ["edm", "eps"])
def test_step_0_of_a_recording_is_the_untrained_network(data, objective):
    config = RunConfig.of("start", seed=3, **{**TINY, "objective": objective})
    moments = tuple(ClassMoments.of(x) for x in data.population)
    probe = Probe(data, config.probe, seed=3, moments=moments, device=CPU)
    empty = RawRun(config, {}, np.array([1]), {k: v[None] for k, v in probe(build(config, CPU)).items()}, {})
    found = _with_start(empty, data, moments)
    assert found.steps.tolist() == [0, 1]
    for values in found.probes.values():
        np.testing.assert_array_equal(values[0], values[1])
