"""What a reviewer is told of changed baselines."""

from __future__ import annotations

import re
import shutil

import pytest

from diffclaims.cli import main
from diffclaims.suite import baselines
from diffclaims.suite.changes import changes
from tests.test_baselines import curves, result


def record(folder, found):
    path = baselines.update(found, folder=folder, command="pytest here").path
    assert path.is_file()
    return path


@pytest.fixture
def folders(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    for case in ("same", "moved", "gone", "within"):
        record(old, result(case=case))
    shutil.copytree(old, new)
    (new / "toy" / "order" / "gone.nc").unlink()
    (new / "toy" / "order" / "moved.nc").unlink()
    record(new, result(curves(0.01), case="moved", value=0.9))
    (new / "toy" / "order" / "within.nc").unlink()
    record(new, result(curves(1e-5), case="within"))
    record(new, result(case="new"))
    return old, new


def test_each_file_is_told_for_what_happened_to_it(folders):
    found = {c.path.stem: c for c in changes(*folders)}
    assert {name: c.kind for name, c in found.items()} == {
        "gone": "gone",
        "moved": "beyond",
        "new": "new",
        "within": "within",
    }
    moved = {d.what: d for d in found["moved"].differences}
    assert moved["curves.test_loss"].size == pytest.approx(0.01)
    assert moved["curves.test_loss"].size / moved["curves.test_loss"].allowed == pytest.approx(50, rel=1e-4)
    assert "verdict.value" in moved


def test_the_table_and_the_exit_status(folders, capsys):
    old, new = folders
    assert main(["diff", str(old), str(new)]) == 1
    out = capsys.readouterr().out
    assert "0.5" in out
    assert "50 times" in out
    assert "1 moved beyond the stated errors, 1 within them, 1 new, 1 gone, 0 other" in out
    assert main(["diff", str(old), str(old)]) == 0
    one = "toy/order/within.nc"
    assert main(["diff", str(old / one), str(new / one)]) == 0


def test_other_files_and_damaged_ones(folders):
    old, new = folders
    for folder, value in ((old, 0.0), (new, 1.0)):
        baselines.storage.write(folder / "study.nc", curves(value).assign_attrs(schema="study"))
    (new / "toy" / "order" / "same.nc").write_bytes(b"not a file")
    found = {c.path.stem: c for c in changes(old, new)}
    assert found["study"].kind == "other"
    assert found["same"].kind == "unusable"


@pytest.mark.parametrize(
    ("old", "new", "limit"),
    [
        ("old", "none", "exist"),
        ("old", "old/toy/order/same.nc", "be a folder"),
        ("empty", "empty", "hold baselines"),
    ],
)
def test_what_cannot_be_compared_is_said(folders, tmp_path, monkeypatch, capsys, old, new, limit):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["diff", old, new]) == 2
    assert f"must {limit}" in capsys.readouterr().err


@pytest.mark.parametrize("width", [40, 80, 100, 120, 200])
def test_no_name_is_ever_shortened(folders, monkeypatch, capsys, width):
    old, new = folders
    long = "a-case-of-a-long-name-as-those-of-a-grid-of-experiments"
    for i in range(4):
        record(old, result(case=f"{long}-{i}"))
        record(new, result(curves(0.01), case=f"{long}-{i}"))
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.chdir(old.parent)
    assert main(["diff", "old", "new"]) == 1
    out = capsys.readouterr().out
    assert "…" not in out
    for name in (*(f"toy/order/{long}-{i}.nc" for i in range(4)), "toy/order/gone.nc", "curves.test_loss"):
        assert re.search(rf"(^|\s){re.escape(name)}($|\s|:)", out, re.MULTILINE), name
    assert ("of what is allowed" in out) is (width > 120)
    assert "50 times" in out


def test_a_wide_terminal_has_a_table(folders, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(folders[0].parent)
    main(["diff", "old", "new"])
    assert "of what is allowed" in capsys.readouterr().out


def test_what_one_side_alone_has_is_said_with_its_path(folders, monkeypatch, capsys):
    old, new = folders
    (new / "toy" / "order" / "same.nc").unlink()
    record(new, result(curves().assign(more=("class", [1.0, 2.0])), case="same"))
    monkeypatch.chdir(old.parent)
    main(["diff", "old", "new"])
    out = capsys.readouterr().out
    assert "file: in OLD only: old/toy/order/gone.nc" in out
    assert "file: in NEW only: new/toy/order/new.nc" in out
    assert "curves.more: in NEW only: new/toy/order/same.nc" in out
    main(["diff", "new", "old"])
    assert "curves.more: in OLD only: new/toy/order/same.nc" in capsys.readouterr().out
    assert "measured" not in out
