"""The grid that ends a run: a table of claims and subjects, or a list where the terminal is too narrow for one."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich import box
from rich.table import Table
from rich.text import Text

from diffclaims import terminal
from diffclaims.api.case import Role
from diffclaims.api.claim import Claim
from diffclaims.api.outcome import Outcome
from diffclaims.api.verdict import combine
from diffclaims.suite.loading import Column
from diffclaims.suite.runner import Row

_STYLE = {
    "holds": "green",
    "fails": "red",
    "inconclusive": "yellow",
    "not run": "dim",
    "invalid": "bold red",
}
#: What stays on one line: a word with the spaces after it. Names and numbers are words, and what `_FIRM` joins.
_WORD = re.compile(r"[^ \n]+ *| +")
#: A space at which no line is broken; a plain one in what is printed.
_FIRM = "\N{NO-BREAK SPACE}"
_LEGEND = (
    "margin: effect minus threshold, in the effect's units, of the case that decides; controls: negative controls, "
    "which the check must reject and did; more on any word: diffclaims explain WORD"
)
_NO_CASE = "it has no case in the regime of this claim"
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
    #: Controls that were run, and those that there are.
    n_controls: int = 0
    all_controls: int = 0
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
    # A claim that is known by its rows alone states no cases.
    roles = [str(c.role) for c in column.cases(claim)] or [r.role for r in own]
    return summary(own, roles, column.reason or ("" if roles else _without_cases(claim, column)))


def summary(own: Sequence[Row], roles: Sequence[str], why: str) -> Cell:
    """Summarize rows of one claim on one subject, as `cell`.

    Parameters
    ----------
    own : sequence of Row
    roles : sequence of str
        Those of all cases that there are.
    why : str
        Why the subject does not run; empty where it does.
    """
    regime = [r for r in own if r.role == Role.REGIME]
    measured = [r for r in regime if r.value is not None and r.status != "invalid"]
    controls = [r for r in own if r.role == Role.CONTROL and r.value is not None]
    # A counterexample lies in the regime, whoever thought of it.
    found = [r for r in own if r.role == "explored" and r.outcome == Outcome.FAILS]
    deciding = measured + found
    result = Cell(
        outcome=str(combine(Outcome(r.outcome) for r in deciding)),
        n_run=len(measured),
        n_cases=sum(role == Role.REGIME for role in roles),
        caught=sum(r.outcome in r.expect for r in controls),
        n_controls=len(controls),
        all_controls=sum(role == Role.CONTROL for role in roles),
    )
    if deciding:
        rank = {"fails": 0, "inconclusive": 1, "holds": 2}
        result.worst = min(deciding, key=lambda r: (rank[r.outcome], r.margin))
    if any(r.status == "invalid" for r in own):
        result.outcome = "invalid"
        result.reason = next(r.reason for r in own if r.status == "invalid")
    elif not deciding:
        reasons = [r.reason for r in own if r.reason and r.value is None]
        if why:
            result.reason = why
        elif not roles:
            result.reason = _NO_CASE
        else:
            result.reason = reasons[0] if reasons else _NOT_SELECTED
    result.remarks += [
        f"explored: {'counterexample' if r.outcome == 'fails' else 'weakest'} {r.margin:+.3g}"
        for r in own
        if r.role == "explored" and r.value is not None
    ]
    result.remarks += [
        f"baseline {what}" for what in ("differs", "missing") if any(r.baseline == what for r in own)
    ]
    if any(r.status == "expected failure" for r in own):
        result.remarks.append("expected failure")
    return result


def _without_cases(claim: Claim, column: Column) -> str:
    missing = claim.measures - column.subject.tags.measures if column.subject is not None else ()
    if missing:
        return f"it does not measure {', '.join(sorted(missing))}"
    return _NO_CASE + (f", which takes {claim.takes}" if claim.takes else "")


def parts_of(one: Cell, mark: str = "") -> list[tuple[str, str]]:
    """Return what is said of a cell, each with its style: the outcome, the margin, and what else there is.

    Parameters
    ----------
    one : Cell
    mark : str
        Said beside the outcome.
    """
    parts = [(f"{one.outcome}{mark}", _STYLE[one.outcome])]
    if one.worst is not None:
        margin = one.worst.margin
        shown = f"{margin:+.3g}" if math.isfinite(margin) else f"{margin:+}"
        parts.append((f"{shown} in {one.worst.case}", "not bold default"))
        if one.n_run < one.n_cases:
            parts.append((f"{one.n_run} of {one.n_cases} cases", "yellow"))
    if one.n_controls:
        text = f"controls{_FIRM}{one.caught}/{one.n_controls}"
        if one.n_controls < one.all_controls:
            text += f", {one.all_controls - one.n_controls} not run"
        parts.append((text, "default" if one.caught == one.n_controls else "yellow"))
    return parts + [(remark, "yellow") for remark in one.remarks]


def _widths(body: Sequence[Sequence[Text]], width: int) -> list[int] | None:
    """Width of each column of a table; None where a word would have to be broken to fit."""
    lines = [
        [line for text in column for line in text.plain.split("\n")] for column in zip(*body, strict=True)
    ]
    needed = [max(map(len, column)) for column in lines]
    least = [max(len(word) for line in column for word in line.split(" ")) for column in lines]
    # Two characters of padding a column, and the frame.
    room = width - 3 * len(needed) - 1
    if sum(least) > room:
        return None
    while sum(needed) > room:
        widest = max((i for i in range(len(needed)) if needed[i] > least[i]), key=lambda i: needed[i])
        needed[widest] -= 1
    return needed


def _wrapped(text: Text, width: int, indent: str = "") -> Text:
    """Break lines that are too long at spaces."""
    out = Text()
    for i, line in enumerate(text.split("\n")):
        out.append("\n" if i else "")
        used = 0
        for word in _WORD.finditer(line.plain):
            if used and used + len(word.group().rstrip()) > width:
                out.rstrip()
                out.append(f"\n{indent}")
                used = len(indent)
            out.append_text(line[word.start() : word.end()])
            used += word.end() - word.start()
        out.rstrip()
    return out


def _table(body: Sequence[Sequence[Text]], widths: Sequence[int], ascii_only: bool) -> Table:
    """A table whose first row is its head."""
    table = Table(box=box.ASCII if ascii_only else box.SIMPLE_HEAD, show_lines=False, padding=(0, 1))
    head, *rows = body
    for text, room in zip(head, widths, strict=True):
        table.add_column(_wrapped(text, room), width=room, overflow="fold")
    for i, row in enumerate(rows):
        table.add_row(
            *(_wrapped(text, room) for text, room in zip(row, widths, strict=True)),
            end_section=ascii_only and i + 1 < len(rows),
        )
    return table


def _list(
    claims: Sequence[Claim],
    columns: Sequence[Column],
    cells: Mapping[tuple[str, str], Sequence[tuple[str, str]]],
) -> Text:
    """A block for each claim, with one line a verdict."""
    names = max((len(k.title) for k in columns), default=0)
    out = Text()
    for claim in claims:
        out.append(f"{claim.id}\n", style="bold")
        for column in columns:
            (outcome, style), *rest = cells[claim.id, column.name]
            out.append(f"  {column.title:<{names}}  ")
            out.append(outcome, style=style)
            for i, (text, more) in enumerate(rest):
                out.append(", " if i else "  ").append(text, style=more)
            out.append("\n")
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
        The claims and subjects to show, and what was run.
    width : int
        Of the terminal, in characters.
    color : bool
        Whether to add terminal colours.
    ascii_only : bool, optional
        Draw with plain characters; by default where the output cannot show others.
    """
    if ascii_only is None:
        ascii_only = terminal.ascii_only()
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
    parts = {
        key: parts_of(one, f" [{number[one.reason]}]" if one.reason else "") for key, one in cells.items()
    }
    body = [[Text("claim"), *(Text(k.title) for k in columns)]]
    body += [
        [Text(c.id), *(Text("\n").join(Text(*part) for part in parts[c.id, k.name]) for k in columns)]
        for c in claims
    ]
    width = max(40, width)
    widths = _widths(body, width)
    shown = (
        _table(body, widths, ascii_only)
        if widths is not None
        else _wrapped(_list(claims, columns, parts), width, indent=" " * 6)
    )
    lines = (_wrapped(Text(line), width) for line in (_LEGEND, *why))
    text = terminal.rendered(shown, width=width, color=color, soft_wrap=widths is None, plain=False)
    text += terminal.rendered(*lines, width=width, color=color, soft_wrap=True, plain=False)
    text = text.replace(_FIRM, " ")
    return text.encode("ascii", "replace").decode() if ascii_only else text
