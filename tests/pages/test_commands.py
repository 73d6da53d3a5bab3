"""Commands that write pages: whole files, only over pages of ours, and one error for what cannot be shown."""

from __future__ import annotations

import json

import pytest

from diffclaims import cli
from diffclaims.errors import DiffclaimsError, InvalidInput
from diffclaims.pages import render
from diffclaims.storage import netcdf as storage
from diffclaims.suite import report
from tests.pages import made

pytest.importorskip("jinja2")
MINE = "<p>my own page</p>"


@pytest.fixture
def sources(tmp_path):
    made.record(tmp_path / "run")
    (tmp_path / "verdicts.json").write_text(json.dumps(made.report()))
    storage.write(tmp_path / "advice.nc", made.advice())
    return tmp_path


@pytest.mark.parametrize(
    ("source", "title"),
    [
        ("run", "run: a monitored run"),
        ("verdicts.json", "verdicts.json: a run of claims"),
        ("advice.nc", "early: advice before training"),
    ],
)
def test_report_makes_the_page_of_a_folder_or_file(sources, source, title, capsys):
    out = sources / "page.html"
    assert cli.main(["report", str(sources / source), "--out", str(out)]) == 0
    assert f"<title>{title}</title>" in out.read_text(encoding="utf-8")
    assert capsys.readouterr().out == f"written to {out}\n"
    # Again, over a page of ours.
    assert cli.main(["report", str(sources / source), "--out", str(out)]) == 0
    assert not list(sources.glob(".*"))


def test_a_file_of_somebody_else_stays(sources, capsys):
    out = sources / "page.html"
    out.write_text(MINE)
    words = ["report", str(sources / "run"), "--out", str(out)]
    assert cli.main(words) == 2
    assert (
        "not be a file that diffclaims did not make; use another name, or --overwrite"
        in capsys.readouterr().err
    )
    assert out.read_text() == MINE
    assert cli.main([*words, "--overwrite"]) == 0
    assert MINE not in out.read_text()


@pytest.mark.parametrize(
    ("source", "out", "options", "message"),
    [
        ("nowhere", "page.html", [], "report must exist; correct the path"),
        (".", "page.html", [], "name the folder that holds monitor.json"),
        ("run", "missing/page.html", [], "lie in a folder that exists"),
        ("run", "run", [], "be a file; add a name to it"),
        ("run", "page.html", ["--weights", "ema"], "weights must be one of raw"),
        ("verdicts.json", "page.html", ["--weights", "ema"], "be asked of the folder of a Monitor"),
        ("run/monitor.json", "page.html", [], "is no report of claims"),
        ("data.npz", "page.html", [], "(NAME.json) or an advice (FILE.nc); this is a file .npz; the page of"),
        ("data", "page.html", [], "(NAME.json) or an advice (FILE.nc); this file has no such ending"),
        ("bytes.json", "page.html", [], "cannot be read as a report of claims: it is no text"),
        ("broken.json", "page.html", [], "cannot be read as a report of claims"),
        ("damaged.json", "page.html", [], "is a damaged report of claims"),
        ("verdicts.nc", "page.html", [], "name verdicts.json"),
    ],
)
def test_what_cannot_be_shown_is_one_error(sources, source, out, options, message, capsys):
    (sources / "broken.json").write_text("{")
    for name in ("data.npz", "data", "bytes.json"):
        (sources / name).write_bytes(b"PK\x92\x00")
    (sources / "damaged.json").write_text('{"schema": "verdicts", "verdicts": [{"claim": 1}]}')
    storage.write(sources / "verdicts.nc", report.to_dataset([made.row()]))
    words = ["report", str(sources / source), "--out", str(sources / out), *options]
    assert cli.main(words) == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1
    assert not (sources / "page.html").exists()


def test_nothing_is_left_of_a_page_that_fails(tmp_path, monkeypatch):
    def broken(path, write):
        raise OSError("no space left")

    monkeypatch.setattr(render, "write_atomic", broken)
    with pytest.raises(DiffclaimsError, match="no space left; name a file"):
        render.write(tmp_path / "page.html", "x")
    assert not list(tmp_path.iterdir())


def test_a_name_that_is_missing_in_a_page_is_an_error():
    import jinja2

    with pytest.raises(jinja2.UndefinedError):
        render._environment().from_string("{{ nothing }}").render()


def test_advise_refuses_the_page_before_it_computes(tmp_path, capsys):
    out = tmp_path / "page.html"
    out.write_text(MINE)
    assert cli.main(["advise", "no-such-data", "--html", str(out)]) == 2
    assert "did not make" in capsys.readouterr().err
    assert out.read_text() == MINE


def test_a_report_of_claims_brings_its_page(tmp_path):
    told = report.write([made.row()], tmp_path / "out")
    assert told.endswith("out.html")
    assert "<title>out.json: a run of claims</title>" in (tmp_path / "out.html").read_text(encoding="utf-8")
    (tmp_path / "out.html").write_text(MINE)
    with pytest.raises(InvalidInput, match="did not make"):
        report.write([made.row()], tmp_path / "out.json")
    assert (tmp_path / "out.html").read_text() == MINE


def test_without_jinja_a_report_of_claims_is_written_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "can_render", lambda: False)
    assert "out.html needs jinja2: pip install 'diffclaims[html]'" in report.write(
        [made.row()], tmp_path / "out"
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.json", "out.nc"]


def test_an_old_report_without_what_claims_say_has_a_page():
    from diffclaims.suite import page

    old = made.report()
    for key in ("command", "claims", "subjects"):
        del old[key]
    for one in old["verdicts"]:
        del one["low"], one["high"]
    assert "order[ratio-4] on early" in page.page(old, "old.json")
