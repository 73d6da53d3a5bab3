"""Maps of a toy claim whose boundary is known, interrupted and not."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
import time

import numpy as np
import pytest

from diffclaims import BaselineError, DiffclaimsError, InvalidInput
from diffclaims.studies.maps import read_map, run_map
from diffclaims.studies.maps.command import summary
from diffclaims.studies.maps.run import checkpoint_of

CLAIMS_RANGES = ("ratio=0.3..4", "offset=-1..1.5")


def same(one, other):
    return one.drop_attrs().identical(other.drop_attrs())


def test_the_boundary_is_found_by_roots_not_read_off(plan, tmp_path):
    # ln ratio + offset = 0; the values of the grid lie elsewhere.
    out = tmp_path / "map.nc"
    ds = run_map(plan("offset=-1..1.5", "ratio=0.3..4"), out)
    edge = ds["boundary"].isel(crossing=0)
    exact = np.exp(-ds["offset"].values)
    inside = (exact > 0.3) & (exact < 4)
    np.testing.assert_allclose(edge.values[inside], exact[inside], rtol=5e-3)
    assert (np.abs(edge.values - exact) <= ds["boundary_uncertainty"].isel(crossing=0).values)[inside].all()
    assert not np.isin(edge.values, ds["ratio"].values).any()
    assert (ds["boundary_rising"].values[inside] == 1).all()
    margin = np.log(ds["ratio"]) + ds["offset"]
    np.testing.assert_allclose(ds["margin"], margin.transpose(*ds["margin"].dims), atol=0.05)
    assert ((ds["verdict"] == "holds") == (ds["margin"] >= ds["uncertainty"])).all()
    assert same(read_map(out), ds)
    assert not checkpoint_of(out).exists()
    assert "boundary in ratio: on 4 of 5 lines" in summary(ds)[-1]


def test_one_axis_and_three_axes(plan, tmp_path):
    one = run_map(plan("ratio=0.3..4"), tmp_path / "one.nc")
    assert one["boundary"].dims == ("crossing",)
    np.testing.assert_allclose(one["boundary"], [1.0], rtol=5e-3)
    three = run_map(plan("ratio=0.5..4", "scale=0.5..2", "offset=-1..1", n=3), tmp_path / "three.nc")
    assert three["margin"].dims == ("ratio", "scale", "offset")
    exact = -three["scale"] * np.log(three["ratio"])
    edge = three["boundary"].isel(crossing=0).transpose("scale", "ratio")
    found = np.isfinite(edge.values)
    np.testing.assert_allclose(edge.values[found], exact.values[found], atol=5e-3)
    # Where the tie lies beyond the axis there is none.
    assert (np.abs(exact.values[~found]) > 0.99).all()


def test_the_axis_of_the_search_can_be_chosen(plan, tmp_path):
    ds = run_map(plan("ratio=0.5..2", "offset=-1..1", along="ratio"), tmp_path / "map.nc")
    assert ds["boundary"].dims == ("offset", "crossing")


def test_quasi_random_points_keep_a_boundary(plan, tmp_path):
    ds = run_map(plan("ratio=0.3..4", "offset=-1.5..1.5", points=20), tmp_path / "map.nc")
    assert ds["margin"].dims == ("point",)
    np.testing.assert_allclose(ds["margin"], np.log(ds["ratio"]) + ds["offset"], atol=0.05)
    np.testing.assert_allclose(ds["boundary"].isel(crossing=0), -np.log(ds["line_ratio"].values), atol=5e-3)


def test_infinite_margins_have_a_boundary(plan, tmp_path):
    # Far below, the second class is learned beyond the toy's last time.
    ds = run_map(plan("offset=-5..5", n=4, at={"scale": 3.0}), tmp_path / "map.nc")
    assert np.isfinite(ds["boundary"].values).all()


def test_what_cannot_be_measured_is_told(plan, tmp_path):
    asked = plan("ratio=0.3..4")
    asked = type(asked)(**{**vars(asked), "subject": "toy:REFUSES"})
    ds = run_map(asked, tmp_path / "map.nc")
    assert (ds["verdict"] == "not run").all()
    assert json.loads(ds.attrs["not_run"]) == ["it was asked on a Sunday"]


def test_a_finished_map_is_not_computed_again(plan, tmp_path):
    out = tmp_path / "map.nc"
    asked = plan("ratio=0.3..4")
    one = run_map(asked, out)
    told = []
    assert same(run_map(asked, out, advance=lambda *n: told.append(n)), one)
    assert told == []
    with pytest.raises(InvalidInput, match="not hold another map"):
        run_map(plan("ratio=0.3..5"), out)


class Interrupt(Exception):
    pass


def interrupted_after(n):
    seen = []

    def advance(done, total):
        seen.append(done)
        if done == n:
            raise Interrupt

    return advance


def points_in(kept):
    """How many points a checkpoint holds, also while it is written; 0 before it is begun."""
    with contextlib.suppress(sqlite3.OperationalError), contextlib.closing(sqlite3.connect(kept)) as base:
        return base.execute("SELECT count(*) FROM point").fetchone()[0]
    return 0


def test_an_interrupted_map_goes_on_where_it_was(plan, tmp_path):
    asked = plan(*CLAIMS_RANGES)
    whole = run_map(asked, tmp_path / "whole.nc")
    out = tmp_path / "map.nc"
    with pytest.raises(Interrupt):
        run_map(asked, out, advance=interrupted_after(11))
    assert not out.exists()
    assert points_in(checkpoint_of(out)) == 11
    told = []
    ds = run_map(asked, out, advance=lambda done, total: told.append(done))
    assert told[0] == 11
    assert sorted(p.name for p in tmp_path.iterdir()) == ["map.nc", "whole.nc"]
    assert same(ds, whole)


def test_another_configuration_is_refused(plan, tmp_path):
    out = tmp_path / "map.nc"
    with pytest.raises(Interrupt):
        run_map(plan(*CLAIMS_RANGES), out, advance=interrupted_after(3))
    with pytest.raises(InvalidInput, match="plan of the map"):
        run_map(plan(*CLAIMS_RANGES, n=6), out)
    assert points_in(checkpoint_of(out)) == 3


def test_a_damaged_checkpoint_is_an_error(plan, tmp_path):
    out = tmp_path / "map.nc"
    with pytest.raises(Interrupt):
        run_map(plan(*CLAIMS_RANGES), out, advance=interrupted_after(3))
    kept = checkpoint_of(out)
    whole = kept.read_bytes()
    with contextlib.closing(sqlite3.connect(kept)) as base, base:
        base.execute("UPDATE point SET content = 'no JSON'")
    half = whole[: len(whole) // 2] + b"garbage" * (len(whole) // 14)
    for content in (kept.read_bytes(), half, whole[: len(whole) // 2], b"another file"):
        kept.write_bytes(content)
        with pytest.raises(
            DiffclaimsError, match=r"map\.nc\.points\.sqlite is damaged, or no checkpoint of a map"
        ):
            run_map(plan(*CLAIMS_RANGES), out)


def test_points_of_an_earlier_version_are_not_passed_over(plan, tmp_path):
    out = tmp_path / "map.nc"
    old = tmp_path / "map.nc.points.jsonl"
    old.write_text('{"format": "diffclaims map checkpoint 1", "config": {}}\n')
    with pytest.raises(DiffclaimsError, match=r"map\.nc\.points\.jsonl holds points of an earlier version"):
        run_map(plan(*CLAIMS_RANGES), out)
    old.unlink()
    run_map(plan("ratio=0.5..2"), out)


def test_files_of_another_kind_are_refused(plan, tmp_path):
    out = tmp_path / "map.nc"
    run_map(plan("ratio=0.3..4"), out)
    content = bytearray(out.read_bytes())
    out.write_bytes(content[: len(content) // 2])
    with pytest.raises(BaselineError, match="truncated"):
        read_map(out)


@pytest.mark.parametrize(
    ("subject", "more", "message"),
    [
        ("nobody", {}, "Available: theory"),
        ("toy:SUBJECT", {"accuracy": 1e-3}, "be left out for other subjects"),
    ],
)
def test_subjects_are_checked_first(plan, tmp_path, subject, more, message):
    asked = plan("ratio=0.3..4", **more)
    asked = type(asked)(**{**vars(asked), "subject": subject})
    with pytest.raises(InvalidInput, match=message):
        run_map(asked, tmp_path / "map.nc")


# The command


def command(*words, cwd, env_path):
    code = (
        "import sys, time; sys.path[:0] = sys.argv[1].split(':'); del sys.argv[1]\n"
        "from diffclaims.cli import main; sys.exit(main())"
    )
    return [sys.executable, "-c", code, env_path, "map", "order", *words]


@pytest.fixture
def words():
    from tests.maps.conftest import CLAIMS, EXAMPLE

    root = EXAMPLE.parents[1]
    return f"{root}:{EXAMPLE}", [
        "--subject",
        "toy:SUBJECT",
        "--claims",
        CLAIMS,
        "--workers",
        "0",
        "--out",
        "m.nc",
    ]


def test_a_killed_command_resumes(words, tmp_path):
    path, rest = words
    asked = command("--x", "ratio=0.3..4", "--y", "offset=-1..1.5", "--nx", "20", "--ny", "20", *rest,
                    cwd=tmp_path, env_path=path)  # fmt: skip
    process = subprocess.Popen(asked, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    kept = checkpoint_of(tmp_path / "m.nc")
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and (not kept.exists() or points_in(kept) < 20):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert 20 <= points_in(kept) < 400
    assert not (tmp_path / "m.nc").exists()
    done = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "400 points" in done.stdout
    assert "boundary in offset: on " in done.stdout
    ds = read_map(tmp_path / "m.nc")
    assert ds.attrs["command"].startswith("diffclaims map order --x")
    assert ds["margin"].shape == (20, 20)


def test_a_wrong_axis_is_one_line(words, tmp_path):
    path, rest = words
    asked = command("--x", "rato=0.3..4", *rest, cwd=tmp_path, env_path=path)
    done = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "did you mean 'ratio'?" in done.stderr
