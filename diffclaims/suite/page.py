"""The page of a claims run: it reads the report, and runs nothing."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from diffclaims.errors import BaselineError
from diffclaims.pages.bars import Bar, bar
from diffclaims.pages.numbers import number, spread
from diffclaims.pages.render import render
from diffclaims.pages.tables import Cell, Column, Table
from diffclaims.suite.grid import parts_of, summary
from diffclaims.suite.runner import Row
from diffclaims.suite.words import WORDS

_LOOKS = {"holds": "badge good", "fails": "badge bad", "inconclusive": "badge warn", "invalid": "badge bad"}
#: Values of `Row.status` that make a run red, and all of them, worst first.
_RED = ("invalid", "baseline", "unexpected")
_ORDER = (*_RED, "expected failure", "inconclusive", "as expected", "not run")
_COLUMNS = (
    Column("case", WORDS["case"]),
    Column("subject", WORDS["subject"]),
    Column(
        "verdict",
        f"Holds: {WORDS['holds']} Fails: {WORDS['fails']} Inconclusive: {WORDS['inconclusive']} Below it, "
        f"whether it "
        "came out as expected.",
    ),
    Column(
        "effect",
        f"{WORDS['effect']} Brackets: its limits, each wrong in at most 1 % of cases, or the decision "
        f"threshold around it. "
        "The tick is the threshold; each drawing has a scale of its own. "
        f"Threshold: {WORDS['threshold']} Seed: {WORDS['seed']}",
    ),
    Column("regime", f"{WORDS['regime']} Control: {WORDS['control']} Outside: {WORDS['outside']}"),
    Column("baseline", WORDS["baseline"]),
    Column(
        "why",
        "The effect that decides and how it is judged, or the reason of a failure; below it what the case is.",
    ),
)


def read(path: Path) -> dict[str, Any]:
    """Return the report in a JSON file.

    Raises
    ------
    BaselineError
        For a file that is none.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise BaselineError(f"{path} cannot be read as a report of claims: it is no text") from None
    except (OSError, ValueError) as error:
        raise BaselineError(f"{path} cannot be read as a report of claims: {error}") from error
    if not isinstance(document, dict) or document.get("schema") != "verdicts":
        raise BaselineError(f"{path} is no report of claims: make one by pytest claims --claims-report NAME")
    try:
        rows_of(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BaselineError(f"{path} is a damaged report of claims ({error!r}): make it again") from error
    return document


def rows_of(document: Mapping[str, Any]) -> list[Row]:
    """Return the rows of a report."""
    known = {f.name: f.type for f in fields(Row)}

    def value(name: str, given: Any) -> Any:
        return float(given) if known[name].startswith("float") and given is not None else given

    return [Row(**{k: value(k, v) for k, v in one.items() if k in known}) for one in document["verdicts"]]


def page(document: Mapping[str, Any], name: str) -> str:
    """Return the page of a claims run.

    Parameters
    ----------
    document : mapping
        A report, as JSON has it.
    name : str
        Of its file.

    Raises
    ------
    DiffclaimsError
        Without Jinja2.
    """
    rows = sorted(rows_of(document), key=lambda r: (_rank(r), r.margin if r.value is not None else math.inf))
    titles = {n: str(s["title"]) for n, s in document.get("subjects", {}).items()}
    titles |= {r.subject: r.subject for r in rows if r.subject not in titles}
    claims = list(dict.fromkeys([*document.get("claims", {}), *(r.claim for r in rows)]))
    red = [r for r in rows if r.status in _RED]
    known = [r for r in rows if r.status == "expected failure"]
    return render(
        "claims.html",
        name=name,
        verdict=_verdict(rows),
        look="bad" if red else "good",
        failures=[_failure(r, titles, document) for r in red],
        known=[(f"{r.claim}[{r.case}] on {titles[r.subject]}", r.expected_failure) for r in known],
        grid=_grid(claims, titles, rows, document),
        claims=[_claim(c, titles, rows, document) for c in claims],
        facts=_facts(document),
        command=str(document.get("command", "")),
    )


def _rank(row: Row) -> int:
    return _ORDER.index(row.status) if row.status in _ORDER else 0


def _verdict(rows: Sequence[Row]) -> str:
    counts = {s: sum(r.status == s for r in rows) for s in _ORDER}
    red = sum(counts[s] for s in _RED)
    said = [f"{red} of {len(rows)} cases failed" if red else f"None of {len(rows)} cases failed"]
    names = {"expected failure": "expected failures"}
    said += [f"{counts[s]} {names.get(s, s)}" for s in _ORDER if s not in _RED and counts[s]]
    return f"{'; '.join(said)}."


def _failure(row: Row, titles: Mapping[str, str], document: Mapping[str, Any]) -> dict[str, str]:
    command = str(document.get("command", ""))
    again = f"{command} -k {shlex.quote(f'{row.claim}-{row.case}-{row.subject}')}" if command else ""
    return {
        "title": f"{row.claim}[{row.case}] on {titles[row.subject]}",
        "status": {"baseline": f"baseline {row.baseline}"}.get(row.status, row.status),
        "reason": row.reason or row.sentence,
        "again": again,
    }


def _grid(
    claims: Sequence[str], titles: Mapping[str, str], rows: Sequence[Row], document: Mapping[str, Any]
) -> Table:
    columns = [Column("claim", WORDS["claim"])]
    columns += [Column(title, "") for title in titles.values()]
    subjects = document.get("subjects", {})
    body = []
    for claim in claims:
        cells = [Cell(claim, "long")]
        for name in titles:
            own = [r for r in rows if r.claim == claim and r.subject == name]
            roles = [r.role for r in own if r.role != "explored"]
            one = summary(own, roles, str(subjects.get(name, {}).get("reason", "")))
            (outcome, _), *rest = parts_of(one)
            said = [text.replace("\N{NO-BREAK SPACE}", " ") for text, _ in rest]
            said += [one.reason.partition("\n")[0]] if one.reason else []
            cells.append(Cell(outcome, f"{_LOOKS.get(outcome, 'badge none')} name", mark="; ".join(said)))
        body.append(cells)
    note = (
        "The margin is the effect minus its threshold, of the case that decides. Controls are negative "
        "controls: of those "
        "run, how many the check rejected, as it must."
    )
    return Table("What each claim came out as on each subject", columns, body, note)


def _claim(
    claim: str, titles: Mapping[str, str], rows: Sequence[Row], document: Mapping[str, Any]
) -> dict[str, Any]:
    told = document.get("claims", {}).get(claim, {})
    own = [r for r in rows if r.claim == claim]
    run = [r for r in own if r.status != "not run"]
    notes = told.get("cases", {})
    left = [r for r in own if r.status == "not run"]
    reasons = dict.fromkeys(r.reason for r in left)
    return {
        "id": claim,
        "says": str(told.get("says", "")),
        "facts": [(k, str(told[k])) for k in ("source", "regime", "definitions") if told.get(k)],
        "table": Table(f"Cases of {claim}, failures first", _COLUMNS, [_row(r, titles, notes) for r in run])
        if run
        else None,
        "left": [
            (reason, ", ".join(f"{r.case} on {titles[r.subject]}" for r in left if r.reason == reason))
            for reason in reasons
        ],
    }


def _row(row: Row, titles: Mapping[str, str], notes: Mapping[str, str]) -> list[Cell]:
    known = row.value is not None
    value = math.nan if row.value is None else row.value
    why = row.expected_failure or row.sentence or row.reason
    return [
        Cell(row.case, "long"),
        Cell(titles[row.subject], "name"),
        Cell(row.outcome, _look(row), mark=_status(row)),
        Cell(
            spread(value, row.low, row.high, "+.3g"),
            bar=_bar(row) if known else None,
            mark=f"threshold {number(row.threshold, '.3g')}; {_repeated(row)}" if known else "",
        ),
        Cell(row.role),
        Cell(row.baseline, "name"),
        Cell(why, "wide", mark=str(notes.get(row.case, ""))),
    ]


def _repeated(row: Row) -> str:
    return f"{row.n_seeds} seed{'s' if row.n_seeds != 1 else ''}" if row.n_seeds else "no seeds"


def _look(row: Row) -> str:
    """Of a control that fails, as it must, no alarm."""
    if row.status == "as expected" and row.outcome != "holds":
        return "badge"
    return _LOOKS.get(row.outcome, "badge none")


def _status(row: Row) -> str:
    wanted = f"expected: {' or '.join(row.expect)}"
    return wanted if row.status in ("as expected", row.outcome) else f"{row.status}; {wanted}"


def _bar(row: Row) -> Bar | None:
    """The effect about its threshold, on a scale that holds its finite limits."""
    assert row.value is not None
    far = [abs(v - row.threshold) for v in (row.value, row.low, row.high)]
    reach = 1.1 * max([v for v in far if math.isfinite(v)], default=0.0) or 1.0
    axis = (row.threshold - reach, row.threshold + reach)
    return bar(row.value, row.low, row.high, axis, row.threshold)


def _facts(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    commit = f"{document.get('commit', '')}{' with changes' if document.get('dirty') else ''}" or "–"
    names = ("diffclaims", "python", "numpy", "scipy")
    versions = ", ".join(f"{n} {document[f'{n}_version']}" for n in names if f"{n}_version" in document)
    seconds = sum(r.seconds for r in rows_of(document))
    return [
        ("made", str(document.get("created_at", "–"))),
        ("commit", commit),
        ("versions", versions or "–"),
        ("device", f"{document.get('device', '–')}, {document.get('dtype', '–')}"),
        ("time of all cases", f"{seconds:.1f} s"),
    ]
