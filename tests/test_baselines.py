"""Baselines, alone and through nested runs of pytest."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import xarray as xr

from diffclaims.api.case import Case, CaseResult
from diffclaims.api.outcome import Effect
from diffclaims.api.verdict import Verdict
from diffclaims.errors import BaselineError, InvalidInput
from diffclaims.problem.experiment import Experiment
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.storage import netcdf as storage
from diffclaims.storage import paths as locate
from diffclaims.suite import baselines

TOY = "--subject=toy:SUBJECT"
EXPERIMENT = Experiment(
    mixture=GaussianMixture([0.5, 0.5], [2.0, 1.0]),
    model=RandomFeatures(psi_p=4.0, psi_n=2.0, diffusion_time=0.1),
)


def curves(shift=0.0, *, accuracy=1e-4, seeds=0, spread=0.0):
    loss = np.linspace(1.0, 0.5, 20)
    data, dims = np.array([loss, loss**2]), ("class", "training_time")
    attrs = {"accuracy": accuracy} if accuracy else {}
    if seeds:
        data = data + spread * np.random.default_rng(1).standard_normal((seeds, 1, 1))
        dims = ("seed", *dims)
    return xr.Dataset(
        {"test_loss": (dims, data + shift)},
        coords={"class": ["a", "b"], "training_time": np.geomspace(1, 100, 20)},
        attrs=attrs,
    )


def result(data=None, *, value=0.5, accuracy=1e-3, case="pair", claim="order", reason="", **more):
    verdict = None if reason else Verdict([Effect(name="e", value=value, accuracy=accuracy, **more)])
    return CaseResult(
        claim_id=claim,
        case=Case(name=case, experiments={"pair": EXPERIMENT}),
        subject="toy",
        verdict=verdict,
        data={} if reason else {"curves": curves() if data is None else data},
        seconds=0.0,
        reason=reason,
    )


def check(result, folder, **more):
    return baselines.check(
        result, folder=folder, obtained=folder.parent / "obtained", command="pytest here", **more
    )


def groups(*args, **more):
    return baselines.to_groups(result(*args, **more))


@pytest.mark.parametrize(
    ("a", "b"), [("a b", "a_b"), ("a/b", "a_b"), ("A", "a"), ("x" * 100, "x" * 101), (".a", "a")]
)
def test_different_names_have_different_files(a, b):
    assert baselines.sanitized(a) != baselines.sanitized(b)
    assert "/" not in baselines.sanitized(a)


def test_a_good_name_is_kept():
    assert baselines.sanitized("ratio=1.5") == "ratio=1.5"


def test_equal_results_do_not_differ():
    assert baselines.compare(groups(), groups()) == []
    assert baselines.compare(groups(), groups(), exactly=True) == []


def test_the_tolerance_is_the_stated_accuracy_of_both_runs():
    assert baselines.compare(groups(), groups(curves(1.9e-4))) == []
    (one,) = baselines.compare(groups(), groups(curves(2.1e-4)))
    assert one.what == "curves.test_loss"
    assert "40 of 40 values differ, max |diff| = 0.00021 > 0.0002 at class=" in one.text
    assert one.size == pytest.approx(2.1e-4)


def test_a_run_cannot_widen_its_own_tolerance():
    assert baselines.compare(groups(), groups(curves(0.01, accuracy=1.0)))


def test_without_a_stated_accuracy_only_rounding_is_allowed():
    a = groups(curves(accuracy=0))
    assert baselines.compare(a, groups(curves(1e-12, accuracy=0))) == []
    assert baselines.compare(a, groups(curves(1e-6, accuracy=0)))


def test_relative_accuracy():
    a, b = curves(accuracy=0), curves(accuracy=0) * 1.01
    for data in (a, b):
        data["test_loss"].attrs["accuracy_relative"] = 0.006
    assert baselines.compare(groups(a), groups(b)) == []
    assert baselines.compare(groups(a), groups(b * 1.01))


def test_seeds_give_the_tolerance_of_a_stochastic_subject():
    a = curves(accuracy=0, seeds=8, spread=0.1)
    error = float(a["test_loss"].std("seed", ddof=1).max()) / math.sqrt(8)
    q = 4.530  # Student-t with 7 degrees of freedom at the tail of 3 sigma
    near, far = a + 0.99 * q * error * math.sqrt(2), a + 1.01 * q * error * math.sqrt(2)
    assert baselines.compare(groups(a), groups(near)) == []
    (one,) = baselines.compare(groups(a), groups(far))
    assert "4.53 s.e. of both runs" in one.text


def test_stored_standard_errors_give_the_tolerance():
    a = curves(accuracy=0)
    a["test_loss_stderr"] = xr.full_like(a["test_loss"], 0.01)
    assert baselines.compare(groups(a), groups(a.assign(test_loss=a["test_loss"] + 0.042))) == []
    assert baselines.compare(groups(a), groups(a.assign(test_loss=a["test_loss"] + 0.043)))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda d: d.rename(test_loss="loss"), "is recorded, but was not measured"),
        (lambda d: d.isel(training_time=slice(10)), "has sizes"),
        (lambda d: d.assign_coords({"class": ["a", "c"]}), "was b, is c"),
        (lambda d: d.assign_coords(training_time=d.training_time * 2), "values differ"),
        (lambda d: d.assign(more=("class", [1.0, 2.0])), "was measured, but is not recorded"),
        (lambda d: d.where(d.test_loss < 0.9), "max |diff| = inf"),
    ],
)
def test_other_contents_differ(change, text):
    assert text in "\n".join(map(str, baselines.compare(groups(), groups(change(curves())))))


def test_infinite_values_equal_themselves():
    data = curves().assign(tau=("class", [1.0, np.inf]))
    assert baselines.compare(groups(data), groups(data)) == []
    assert baselines.compare(groups(data), groups(data.assign(tau=("class", [1.0, 2.0]))))


def test_another_verdict_differs_even_within_the_tolerance():
    differences = baselines.compare(groups(value=1.1e-3), groups(value=0.9e-3))
    assert [d.what for d in differences] == ["verdict"]
    assert "was holds, is inconclusive" in differences[0].text


def test_another_effect_differs():
    assert baselines.compare(groups(value=0.5), groups(value=0.5019)) == []
    assert baselines.compare(groups(value=0.5), groups(value=0.51))
    assert baselines.compare(groups(), groups(threshold=0.1))


def test_write_and_check(tmp_path):
    folder = tmp_path / "baselines"
    done = baselines.update(result(), folder=folder, command="pytest here")
    assert done.written
    assert done.text == "new"
    assert done.path == folder / "toy" / "order" / "pair.nc"
    assert check(result(), folder) == ""
    stored = baselines.read(done.path)
    assert stored["/config"].attrs["command"] == "pytest here --baselines=update"
    assert stored["/"].attrs["subject"] == "toy"
    assert str(stored["/verdict"].values("outcome")[0]) == "holds"


def test_a_difference_is_shown_with_the_command_that_accepts_it(tmp_path):
    folder = tmp_path / "baselines"
    baselines.update(result(), folder=folder, command="")
    with pytest.raises(BaselineError) as caught:
        check(result(curves(0.5), value=0.9), folder)
    text = str(caught.value)
    assert "differs from" in text
    assert "(schema 1, made 2" in text
    assert "obtained: " in text
    assert text.endswith("if intended:\n  pytest here --baselines=update")
    assert baselines.read(tmp_path / "obtained" / "toy" / "order" / "pair.nc")["/"].attrs["subject"] == "toy"


def test_an_update_writes_only_what_changed_and_says_how_much(tmp_path):
    folder = tmp_path / "baselines"
    path = baselines.update(result(), folder=folder, command="").path
    before = path.read_bytes()
    again = baselines.update(result(), folder=folder, command="")
    assert (again.written, again.text) == (False, "unchanged")
    assert path.read_bytes() == before
    changed = baselines.update(result(curves(0.25)), folder=folder, command="")
    assert changed.written
    assert "largest change: curves.test_loss: 40 of 40 values differ, max |diff| = 0.25" in changed.text
    assert check(result(curves(0.25)), folder) == ""
    kept = baselines.update(result(reason="no"), folder=folder, command="")
    assert not kept.written
    assert path.exists()


def test_an_interrupted_update_leaves_the_old_file(tmp_path, monkeypatch):
    folder = tmp_path / "baselines"
    path = baselines.update(result(), folder=folder, command="").path
    before = path.read_bytes()

    def interrupted(self, content):
        self.write_text("half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(type(path), "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        baselines.update(result(curves(0.1)), folder=folder, command="")
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path):
    (tmp_path / "baselines").write_text("a file")
    with pytest.raises(BaselineError, match=r"cannot write .*pair\.nc: .*the old file, if any, is as it was"):
        baselines.update(result(), folder=tmp_path / "baselines", command="")


def test_a_recorded_case_that_is_not_run_any_more_is_an_error(tmp_path):
    baselines.update(result(), folder=tmp_path, command="")
    with pytest.raises(BaselineError, match=r"has a baseline, .* but was not run: lost"):
        check(result(reason="lost"), tmp_path)
    assert check(result(reason="lost", case="other"), tmp_path) == ""


def test_a_subject_without_baselines(tmp_path):
    assert "nothing was compared" in check(result(), tmp_path)
    with pytest.raises(BaselineError, match="is missing"):
        check(result(), tmp_path, required=True)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path):
    path.write_bytes(b"")


def tamper(path):
    import h5py

    with h5py.File(path, "r+") as file:
        (name,) = file["measurement"]
        file[f"measurement/{name}/test_loss"][0, 3] += 0.1


def tamper_verdict(path):
    import h5py

    with h5py.File(path, "r+") as file:
        file["verdict/value"][0] = 9.0


def no_checksum(path):
    import h5py

    with h5py.File(path, "r+") as file:
        del file.attrs["checksum"]


def other_schema(path):
    tree = storage.read(path)
    tree.attrs["schema_version"] = 99
    storage.write(path, tree)


def another_file(path):
    storage.write(path, xr.Dataset(attrs={"schema": "curves", "schema_version": 1}))


DAMAGE = [
    (truncate, "cannot be read"),
    (empty, "cannot be read"),
    (tamper, "was changed after it was recorded"),
    (tamper_verdict, "was changed after it was recorded"),
    (no_checksum, "has no checksum"),
    (other_schema, "schema 'baseline' version 99; this version reads 'baseline' version 1"),
    (another_file, "has schema 'curves'"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGE, ids=[d.__name__ for d, _ in DAMAGE])
def test_a_damaged_file_is_one_clear_error_and_can_be_replaced(tmp_path, damage, message):
    folder = tmp_path / "baselines"
    path = baselines.update(result(), folder=folder, command="").path
    damage(path)
    with pytest.raises(BaselineError, match=message):
        check(result(), folder)
    done = baselines.update(result(), folder=folder, command="")
    assert done.written
    assert "replaced, for it was not usable" in done.text
    assert check(result(), folder) == ""


# Through pytest


def test_update_then_check(suite):
    done = suite.run(TOY, "--baselines=update")
    assert done.ret == 0
    done.stdout.fnmatch_lines(
        ["wrote *ratio-2.nc: new", "baselines: 5 files written, 0 left as they were, none deleted"]
    )
    files = {p: p.read_bytes() for p in suite.baselines.rglob("*.nc")}
    assert len(files) == 5
    assert suite.run(TOY).ret == 0
    again = suite.run(TOY, "--baselines=update")
    again.stdout.fnmatch_lines(["baselines: 0 files written, 5 left as they were, none deleted"])
    assert {p: p.read_bytes() for p in suite.baselines.rglob("*.nc")} == files


def test_a_run_that_differs_fails_with_a_command_that_can_be_pasted(suite):
    suite.run(TOY, "--baselines=update")
    drifted = suite.run("--subject=toy:FASTER")
    drifted.assert_outcomes(failed=5, skipped=1)
    drifted.stdout.fnmatch_lines(
        [
            "differs from baselines/toy/order/ratio-2.nc (schema 1, made *",
            "  pair.test_loss: 41 of 62 values differ, max |diff| = 0.11* > 2e-06 at class=class *",
            "obtained: .diffclaims/obtained/toy/order/ratio-2.nc",
            "  pytest 'statements/test_order.py::test_order?order-ratio-2-toy?' --subject toy:FASTER "
            "--baselines=update",
        ]
    )
    assert "Traceback" not in drifted.stdout.str()
    assert suite.run("--subject=toy:FASTER", "--baselines=off").ret == 0


@pytest.mark.parametrize("damage", [truncate, tamper, other_schema])
def test_a_damaged_file_never_passes(suite, damage):
    suite.run(TOY, "--baselines=update")
    damage(suite.baselines / "toy" / "order" / "ratio-2.nc")
    found = suite.run(TOY)
    found.assert_outcomes(failed=1, passed=4, skipped=1)
    found.stdout.fnmatch_lines(["*ratio-2.nc*", "*baseline differs*"])
    assert "Traceback" not in found.stdout.str()


def test_a_missing_file_never_passes(suite):
    suite.run(TOY, "--baselines=update")
    (suite.baselines / "toy" / "order" / "equal.nc").unlink()
    found = suite.run(TOY)
    found.assert_outcomes(failed=1, passed=4, skipped=1)
    found.stdout.fnmatch_lines(["baselines/toy/order/equal.nc is missing", "if intended:"])


def test_update_is_refused_under_ci(suite, monkeypatch):
    monkeypatch.setenv("CI", "true")
    refused = suite.run(TOY, "--baselines=update")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(["*--baselines=update is refused where CI is set (CI=true)*"])
    assert not suite.baselines.exists()


def test_the_recorded_baselines_are_small():
    files = [p for p in locate.baselines_dir().rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) < 12_000_000


def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path):
    away = tmp_path / "away"
    baselines.update(result(), folder=away, command="")
    before = baselines.path_of(away, "toy", "order", "pair").read_bytes()
    folder = tmp_path / "baselines"
    folder.mkdir()
    (folder / "toy").symlink_to(away / "toy")
    for act in (
        lambda: check(result(), folder),
        lambda: baselines.update(result(curves(0.1)), folder=folder, command=""),
    ):
        with pytest.raises(BaselineError, match=r"leads out of .*baselines, to .*replace the link"):
            act()
    assert baselines.path_of(away, "toy", "order", "pair").read_bytes() == before
    # A folder of baselines that is a link itself is where they are.
    whole = tmp_path / "whole"
    whole.symlink_to(away)
    assert check(result(), whole) == ""


def test_a_name_cannot_lead_out_of_the_folder(tmp_path):
    for name in ("..", "../up", "/etc/passwd", "a/../../b", ".hidden", "nul", "a\\b", ""):
        path = baselines.path_of(tmp_path, name or "x", "..", name or "x")
        assert path.resolve().is_relative_to(tmp_path.resolve())
        assert len(path.relative_to(tmp_path).parts) == 3


def test_no_code_comes_out_of_a_file(tmp_path):
    """An activation that a stored experiment names is looked up among the known ones, never imported."""
    text = json.dumps(
        {
            "mixture": {"weights": [1.0], "variances": [1.0], "fractions": [1.0], "centroid_gram": [[0.0]]},
            "model": {"psi_p": 1.0, "psi_n": 1.0, "diffusion_time": 0.1, "activation": "os:getcwd"},
            "data": "gaussian",
            "classes": [],
        }
    )
    with pytest.raises(InvalidInput, match="activation = 'os:getcwd'"):
        Experiment.from_json(text)
