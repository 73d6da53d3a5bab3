"""The grid fits the terminal without cutting names in two."""

import pytest

from diffclaims.api.claim import load_claims
from diffclaims.suite import grid
from diffclaims.suite.runner import Column, Row


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


@pytest.mark.parametrize("width", [80, 100, 200])
def test_no_line_is_longer_than_the_terminal(width):
    for ascii_only in (True, False):
        _, text = rendered(width, ascii_only=ascii_only)
        assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("width", [80, 100])
def test_names_break_at_their_joints_only(width):
    claims, text = rendered(width, ascii_only=False)
    words = {w for line in text.splitlines() for w in line.split()}
    for claim in claims:
        parts = claim.id.split("-")
        assert claim.id in words or {f"{p}-" for p in parts[:-1]} | {parts[-1]} <= words


def test_a_wide_terminal_breaks_nothing():
    claims, text = rendered(250, ascii_only=False)
    for claim in claims:
        assert f"+0.123 in {claim.cases[0].name}" in text
