"""The grid fits the terminal without cutting names in two."""

import pytest

from diffclaims.api.case import Role
from diffclaims.api.claim import load_claims
from diffclaims.suite import grid
from diffclaims.suite.loading import Column
from diffclaims.suite.runner import Row


def rendered(width, **options):
    claims = load_claims()
    columns = [Column(name=f"subject-{i}", reason="" if i < 3 else "it cannot run here") for i in range(4)]
    rows = []
    for claim in claims:
        for column in columns[:3]:
            for case in claim.cases:
                row = Row.of(claim, case, column)
                row.value, row.bar, row.outcome, row.status = 0.1234, 0.01, "holds", "as expected"
                rows.append(row)
    return claims, grid.render(claims, columns, rows, width=width, **options)


@pytest.mark.parametrize("width", [60, 80, 100, 130, 200])
def test_no_line_is_longer_than_the_terminal(width):
    for ascii_only in (True, False):
        _, text = rendered(width, ascii_only=ascii_only)
        assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("width", [60, 80, 100, 130, 200])
def test_no_name_and_no_number_is_broken(width):
    claims, text = rendered(width, ascii_only=False)
    words = {w.strip(",;:") for line in text.splitlines() for w in line.split()}
    _, wide = rendered(1000, ascii_only=False)
    assert {c.id for c in claims} <= words
    assert {w.strip(",;:") for line in wide.splitlines() for w in line.split() if set(w) != {"─"}} - {
        "claim"
    } <= words


def test_controls_that_were_not_run_are_not_counted_as_missed():
    claim = load_claims()[0]
    column = Column(name="subject")
    regime = next(c for c in claim.cases if c.role is Role.REGIME)
    row = Row.of(claim, regime, column)
    row.value, row.outcome, row.status = 0.1, "holds", "as expected"
    text = grid.render([claim], [column], [row], width=200, ascii_only=False)
    assert "controls 0" not in text
    assert "+0.1 in" in text


@pytest.mark.parametrize("what", ["missing", "differs"])
def test_a_missing_baseline_is_not_one_that_differs(what):
    claim = load_claims()[0]
    column = Column(name="subject")
    row = Row.of(claim, claim.cases[0], column)
    row.value, row.outcome, row.status, row.baseline = 0.1, "holds", "baseline", what
    text = grid.render([claim], [column], [row], width=200, ascii_only=False)
    assert f"baseline {what}" in text
    assert f"baseline {({'missing', 'differs'} - {what}).pop()}" not in text


def test_a_wide_terminal_breaks_nothing():
    claims, text = rendered(250, ascii_only=False)
    for claim in claims:
        assert f"+0.123 in {claim.cases[0].name}" in text
