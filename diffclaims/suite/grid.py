"""The grid that ends a run: every claim, every subject, whatever was selected."""

from __future__ import annotations

import io
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from diffclaims.api.case import Role
from diffclaims.api.claim import Claim
from diffclaims.api.verdict import Outcome, combine
from diffclaims.suite.runner import Column, Row

_STYLE = {
    "holds": "green",
    "fails": "red",
    "inconclusive": "yellow",
    "not run": "dim",
    "invalid": "bold red",
}
#: What stays on one line: a word with the spaces after it, or a part of one that ends in a hyphen.
_JOINT = re.compile(r"[^\s-]+-+(?=\S)|\S+\s*|\s+")
#: A column is not made narrower than this, however little room there is.
_NARROWEST = 9
_NOT_SELECTED = "not selected by -k, -m or a path"


@dataclass
class Cell:
    """What one claim came out as on one subject."""

    outcome: str
    #: The decisive row of the regime.
    worst: Row | None = None
    n_run: int = 0
    n_cases: int = 0
    caught: int = 0
    n_controls: int = 0
    reason: str = ""
    remarks: list[str] = field(default_factory=list)


def complete(claims: Sequence[Claim], columns: Sequence[Column], rows: Sequence[Row]) -> list[Row]:
    """Return the rows of all claims, cases and subjects; what is missing as not run, with the reason."""
    found = {(r.claim, r.case, r.subject): r for r in rows}
    full: list[Row] = []
    for claim in claims:
        for column in columns:
            for case in column.cases(claim):
                row = found.pop((claim.id, case.name, column.name), None)
                full.append(row or Row.of(claim, case, column, reason=column.reason or _NOT_SELECTED))
    return full + list(found.values())


def cell(claim: Claim, column: Column, rows: Sequence[Row]) -> Cell:
    """Summarize the rows of one claim on one subject.

    The verdict is that of the cases in the regime, counterexamples that were found there among them: fails if
    any fails, holds if all hold, else inconclusive. The margin shown is the one that decides: of the worst
    outcome, the least.
    """
    own = [r for r in rows if r.claim == claim.id and r.subject == column.name]
    cases = column.cases(claim)
    regime = [r for r in own if r.role == Role.REGIME]
    measured = [r for r in regime if r.value is not None and r.status != "invalid"]
    controls = [r for r in own if r.role == Role.CONTROL and r.value is not None]
    # A counterexample lies in the regime, whoever thought of it.
    found = [r for r in own if r.role == "explored" and r.outcome == Outcome.FAILS]
    deciding = measured + found
    result = Cell(
        outcome=str(combine(Outcome(r.outcome) for r in deciding)),
        n_run=len(measured),
        n_cases=sum(c.role is Role.REGIME for c in cases),
        caught=sum(r.outcome in r.expect for r in controls),
        n_controls=sum(c.role is Role.CONTROL for c in cases),
    )
    if deciding:
        rank = {"fails": 0, "inconclusive": 1, "holds": 2}
        result.worst = min(deciding, key=lambda r: (rank[r.outcome], r.margin))
    if any(r.status == "invalid" for r in own):
        result.outcome = "invalid"
        result.reason = next(r.reason for r in own if r.status == "invalid")
    elif not deciding:
        reasons = [r.reason for r in own if r.reason]
        if column.reason:
            result.reason = column.reason
        elif not cases:
            result.reason = "it has no case in the regime of this claim"
        else:
            result.reason = reasons[0] if reasons else _NOT_SELECTED
    result.remarks += [
        f"explored: {'counterexample' if r.outcome == 'fails' else 'weakest'} {r.margin:+.3g}"
        for r in own
        if r.role == "explored" and r.value is not None
    ]
    if any(r.baseline == "differs" for r in own):
        result.remarks.append("baseline differs")
    if any(r.status == "expected failure" for r in own):
        result.remarks.append("expected failure")
    return result


def _cell_text(one: Cell, number: dict[str, int]) -> Text:
    mark = f" [{number[one.reason]}]" if one.reason else ""
    text = Text(f"{one.outcome}{mark}", style=_STYLE[one.outcome])
    if one.worst is not None:
        margin = one.worst.margin
        shown = f"{margin:+.3g}" if math.isfinite(margin) else f"{margin:+}"
        text.append(f"\n{shown} in {one.worst.case}", style="not bold default")
    if one.worst is not None and one.n_run < one.n_cases:
        text.append(f"\n{one.n_run} of {one.n_cases} cases", style="yellow")
    if one.n_controls and (one.worst is not None or one.caught):
        style = "default" if one.caught == one.n_controls else "yellow"
        text.append(f"\ncontrols {one.caught}/{one.n_controls}", style=style)
    for remark in one.remarks:
        text.append(f"\n{remark}", style="yellow")
    return text


def _widths(heads: Sequence[str], body: Sequence[Sequence[Text]], width: int) -> list[int]:
    """Width of each column: what its text needs, or less of the widest where that is too much."""
    needed = [
        max(len(line) for text in (head, *(row[i].plain for row in body)) for line in text.split("\n"))
        for i, head in enumerate(heads)
    ]
    # Two characters of padding a column, and the frame.
    room = width - 3 * len(heads) - 1
    while sum(needed) > room and max(needed) > _NARROWEST:
        needed[needed.index(max(needed))] -= 1
    return needed


def _wrapped(text: Text, width: int) -> Text:
    """Break lines that are too long at spaces and hyphens, where names of cases have joints."""
    out = Text()
    for i, line in enumerate(text.split("\n")):
        out.append("\n" if i else "")
        used = 0
        for joint in _JOINT.finditer(line.plain):
            size = joint.end() - joint.start()
            if used and used + len(joint.group().rstrip()) > width:
                out.rstrip()
                out.append("\n")
                used = 0
            out.append_text(line[joint.start() : joint.end()])
            used += size
        out.rstrip()
    return out


def render(
    claims: Sequence[Claim],
    columns: Sequence[Column],
    rows: Sequence[Row],
    *,
    width: int = 100,
    color: bool = False,
    ascii_only: bool | None = None,
) -> str:
    """Return the grid as text.

    Parameters
    ----------
    claims, columns, rows
        All claims, all subjects, and what was run.
    width : int
        Of the terminal, in characters.
    color : bool
        Whether to add terminal colours.
    ascii_only : bool, optional
        Draw with plain characters; by default where the output cannot show others.
    """
    if ascii_only is None:
        ascii_only = "utf" not in (getattr(sys.stdout, "encoding", None) or "").lower()
    cells = {(c.id, k.name): cell(c, k, rows) for c in claims for k in columns}
    number: dict[str, int] = {}
    why: list[str] = []
    for column in columns:
        for claim in claims:
            reason = cells[claim.id, column.name].reason
            if reason and reason not in number:
                number[reason] = len(number) + 1
    for reason, index in number.items():
        heads = [k.title for k in columns if any(cells[c.id, k.name].reason == reason for c in claims)]
        why.append(f"[{index}] {', '.join(heads)}: {reason}")
    texts = [[_cell_text(cells[c.id, k.name], number) for k in columns] for c in claims]
    heads = ["claim", *(k.title for k in columns)]
    body = [[Text(c.id), *row] for c, row in zip(claims, texts, strict=True)]
    widths = _widths(heads, body, max(40, width))
    table = Table(box=box.ASCII if ascii_only else box.SIMPLE_HEAD, show_lines=False, padding=(0, 1))
    for head, room in zip(heads, widths, strict=True):
        table.add_column(_wrapped(Text(head), room), width=room, overflow="fold")
    for i, row in enumerate(body):
        table.add_row(
            *(_wrapped(text, room) for text, room in zip(row, widths, strict=True)),
            end_section=ascii_only and i + 1 < len(claims),
        )
    out = io.StringIO()
    console = Console(
        file=out,
        width=max(40, width),
        force_terminal=color,
        color_system="standard" if color else None,
        legacy_windows=False,
        highlight=False,
    )
    console.print(table)
    console.print(
        "margin: effect minus threshold, in the effect's units, of the case that decides; "
        "controls: negative controls that the check rejects as it must",
        markup=False,
    )
    for line in why:
        console.print(line, markup=False)
    text = out.getvalue()
    return text.encode("ascii", "replace").decode() if ascii_only else text
