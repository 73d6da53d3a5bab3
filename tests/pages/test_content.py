"""Pages show the numbers of what they are made of, each in its place."""

from __future__ import annotations

import re

import numpy as np
import pytest

from diffclaims.advice import page as advice_page
from diffclaims.advice.sentences import place, window
from diffclaims.monitor import page as monitor_page
from diffclaims.pages.bars import EDGE, WIDTH, bar
from diffclaims.pages.curves import LEFT, RIGHT, Line, chart
from diffclaims.pages.curves import WIDTH as CHART
from diffclaims.pages.numbers import number, spread
from diffclaims.suite import page as claims_page
from tests.pages import made
from tests.pages.read import Page

pytest.importorskip("jinja2")


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    return made.record(tmp_path_factory.mktemp("run"), pictures=True)


@pytest.fixture(scope="module")
def run(record):
    return Page(monitor_page.page(record))


# A monitored run


def test_each_class_stands_beside_its_own_numbers(record, run):
    status, states = record.status(), run.table("States")
    measures = run.table("Training samples against")
    assert list(states) == list(measures) == list(made.NAMES)
    assert [str(s) for s in status["state"].values] == ["learned", "learned", "memorized"]
    for k, name in enumerate(made.NAMES):
        one = status.isel({"class": k})

        def told(key, form=".2f", one=one):
            return spread(*(float(one[f"{key}{end}"]) for end in ("", "_low", "_high")), form, "not reached")

        row = states[name]
        assert row[0] == str(one["state"].values)
        assert row[1].startswith(f"{int(one['since']):,}")
        assert row[2] == told("generalization")
        assert row[3:6] == [told(key, ",.0f") for key in ("learned_at", "memorizing_at", "memorized_at")]
        assert row[7] == f"{30 + k} + {40 + k} measured: {made.N} + {made.N}"
        assert measures[name][:2] == [told("gap"), told("auc")]
        assert "[" in measures[name][0]


def test_copies_stand_beside_what_held_out_samples_give(run):
    rows = run.table("Samples generated at step 1,000")
    for k, name in enumerate(made.NAMES):
        value = 0.01 + 0.1 * k
        assert (
            rows[name][0] == f"{spread(value, value - 0.005, value + 0.005)} held out: {number(value + 0.02)}"
        )
        assert len(set(rows[name])) == 4


def test_intervals_are_drawn_where_they_are(record, run):
    status = record.status()
    limits = run.all("line", class_="limits")
    expected = bar(
        *(float(status[f"generalization{e}"].values[0]) for e in ("", "_low", "_high")), (0.0, 1.2), 0.8
    )
    assert limits[0]["x1"] == f"{expected.low:.1f}"
    assert limits[0]["x2"] == f"{expected.high:.1f}"
    assert float(limits[0]["x1"]) < float(limits[0]["x2"])
    # Four measures of each class with an interval in samples, two of losses, and what is learned.
    assert len(limits) == 3 * (4 + 2 + 1)


def test_the_window_is_marked_where_it_is(record, run):
    window = record.window()
    assert window.start < window.stop < made.STEPS[-1]
    assert not window.open
    (rect,) = {(a["x"], a["width"]) for a in run.all("rect", class_="window") if "x" in a}
    wide, far = CHART - LEFT - RIGHT, np.log1p(made.STEPS[-1])
    assert float(rect[0]) == pytest.approx(LEFT + wide * np.log1p(window.start) / far, abs=0.02)
    assert float(rect[1]) == pytest.approx(
        wide * np.log((1 + window.stop) / (1 + window.start)) / far, abs=0.03
    )
    assert len(run.all("rect", class_="window")) == 1 + len(made.NAMES)
    assert any(window.reason[1:] in t for t in run.texts)


def test_no_window_is_marked_where_there_is_none(tmp_path):
    record = made.record(tmp_path, opens=(9.0, 9.0, 1.0))
    assert record.window().reason.startswith("no window")
    text = monitor_page.page(record)
    assert not Page(text).all("rect", class_="window")
    assert "there is none" in text


def test_curves_have_bands_and_the_times_of_their_class(record, run):
    n = len(made.NAMES)
    assert len(run.all("polygon", class_="band first")) == len(run.all("polygon", class_="band second")) == n
    points = [a["points"] for a in run.all("polyline", class_="line first")]
    assert len(set(points)) == n
    assert all(len(p.split()) == len(made.STEPS) for p in points)
    status = record.status()
    assert np.isfinite(status["learned_at"].values).sum() == 3
    # One sign in the key, and one for each class that got there.
    assert len(run.all("circle", class_="event")) == 1 + 3
    assert len(run.all("path", class_="event")) == 1 + 1
    bands = record.loss_bands()
    assert (bands["train_loss_low"] < bands["train_loss"]).all()
    assert (bands["train_loss_high"] > bands["train_loss"]).all()


def test_pictures_stand_beside_each_other_and_copies_are_named(run):
    alts = [a["alt"] for a in run.all("img")]
    assert alts[:2] == ["generated sample of early", "nearest training sample, of early"]
    assert len(alts) == 2 * len(made.NAMES)
    assert run.texts.count("a copy") == 1


def test_without_pictures_the_page_says_how_to_get_them(tmp_path):
    assert "images=(height, width)" in monitor_page.page(made.record(tmp_path))


def test_what_is_missing_is_told(run):
    assert "early: told to be missing" in run.texts


# An advice


def test_an_advice_shows_each_class_with_its_own_numbers():
    advice = made.advice()
    found = Page(advice_page.page(advice))
    orders, classes = found.table("Predicted order"), found.table("What the samples say")
    marked = [f"{n} *" if str(m) else n for n, m in zip(made.NAMES, advice["mark"].values, strict=True)]
    assert marked[2] == "copied *"
    assert list(classes) == marked
    assert sorted(orders) == sorted(marked)
    first = float(np.nanmin(advice["tau_gen"]))
    for k, name in enumerate(marked):
        one = advice.isel({"class": k})
        assert orders[name][0] == place(one, "learned")
        assert orders[name][1].startswith(f"{float(one['tau_gen']) / first:.2f} ×/÷ ")
        assert classes[name][:2] == [f"{int(one['samples']):,}", f"{float(one['variance']):.3g}"]
    assert [r[0].split()[0] for r in orders.values()] == ["1", "2", "3"]
    assert any(window(advice).replace("x/÷", "×/÷") in t for t in found.texts)
    assert len(found.all("line", class_="limits")) >= 6
    shares = found.table("Shares of the classes")
    assert [r[0] for r in shares.values()] == [f"{v:.3f}" for v in advice["weight"].values]


# A claims run


@pytest.fixture(scope="module")
def claims():
    return Page(claims_page.page(made.report(), "verdicts.json"))


def test_failures_come_first(claims):
    texts = " ".join(claims.texts)
    assert texts.index("order[ratio-4] on early here") < texts.index("All claims and subjects")
    assert (
        "1 of 6 cases failed; 1 expected failures; 1 inconclusive; 2 as expected; 1 not run." in claims.texts
    )
    assert "pytest claims --subject copied -k order-ratio-4-early" in claims.texts
    (rows,) = (t for name, t in claims.tables.items() if name.startswith("Cases of order"))
    assert [r[0].strip() for r in rows[1:]] == ["ratio-4", "ratio-2", "ratio-8", "tie", "ratio-2"]


def test_each_case_has_its_effect_with_its_interval(claims):
    rows = claims.table("Cases of order")
    assert rows["ratio-4"][2] == "−1 [−1.5, −0.9] threshold 0; 8 seeds"
    assert rows["tie"][2] == "−0.5 [−0.6, −0.4] threshold 0; 8 seeds"
    assert rows["ratio-8"][2].startswith("+0.5 [−∞, +0.75] ")
    assert rows["tie"][1] == "fails expected: fails"
    assert rows["tie"][3] == "control"
    assert rows["ratio-2"][2].startswith("+0.5 [+0.25, +0.75] ")  # the last of two
    assert len(claims.all("line", class_="limits")) == len(claims.all("line", class_="reference")) == 5


def test_the_grid_says_what_each_claim_came_out_as(claims):
    grid = claims.table("What each claim")
    assert grid["order"][0] == "holds +0.5 in ratio-2; controls 1/1"
    assert grid["order"][1] == "fails −1 in ratio-4; expected failure".replace("−", "-")
    assert grid["order"][2] == "not run copied"


# Numbers and drawings


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ((0.333, 0.26, 0.4), "0.33 [0.26, 0.40]"),
        ((np.nan, 0, 1), "–"),
        ((-0.5, np.nan, 1), "−0.50"),
        ((np.inf, 3, np.inf), "∞ [3.00, ∞]"),
        ((np.inf, np.inf, np.inf), "∞"),
    ],
)
def test_numbers_with_limits(given, text):
    assert spread(*given) == text


def test_a_bar_that_leaves_its_axis_says_so():
    inside = bar(0.5, 0.4, 0.6, (0.0, 1.0), 0.0)
    assert (inside.open_low, inside.open_high) == (False, False)
    assert inside.value == WIDTH / 2
    assert inside.reference == EDGE
    far = bar(2.0, -np.inf, np.inf, (0.0, 1.0), 3.0)
    assert (far.low, far.high, far.value, far.reference) == (EDGE, WIDTH - EDGE, None, None)
    assert far.open_low
    assert far.open_high
    assert bar(np.nan, 0, 1, (0.0, 1.0)) is None
    assert bar(1.0, 0.1, 10.0, (0.1, 10.0), log=True).value == pytest.approx(WIDTH / 2)


def test_a_chart_of_one_measurement_and_of_nothing():
    nothing = np.full(1, np.nan)
    one = np.array([0.5])
    drawn = chart(
        "a",
        "b",
        np.zeros(1),
        [Line("first", one, nothing, nothing), Line("second", nothing, nothing, nothing)],
        y_range=(0.1, 1.0),
    )
    assert len(drawn.lines[0].dots) == 1
    assert drawn.lines[0].band == ""
    assert drawn.lines[1].dots == []


def test_ticks_of_a_chart_are_round_and_within():
    steps, values = np.array([0.0, 9.0, 20000.0]), np.array([0.5, 0.2, 0.012])
    drawn = chart(
        "a", "b", steps, [Line("first", values, values, values)], y_range=(0.01, 0.6), window=(100.0, np.inf)
    )
    assert [t for _, t in drawn.x_ticks] == ["0", "10", "100", "1,000", "10,000"]
    assert all(re.fullmatch(r"0\.0?[1-9]", t) for _, t in drawn.y_ticks)
    assert drawn.window[0] + drawn.window[1] == pytest.approx(CHART - RIGHT)
