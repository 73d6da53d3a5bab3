"""What changed between two baselines or two folders of them, for the one who reviews it."""

from __future__ import annotations

import argparse
import math
import shutil
import textwrap
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text

from diffclaims.errors import BaselineError, InvalidInput
from diffclaims.storage import netcdf as storage
from diffclaims.storage.files import finished
from diffclaims.suite import baselines
from diffclaims.suite.difference import Difference, compare
from diffclaims.terminal import rendered, table

#: Lines of one file in the table.
MOST = 6
#: Characters that a change needs in a table, to be read.
_LEAST = 30


@dataclass(frozen=True)
class Change:
    """What happened to one file.

    Attributes
    ----------
    path : Path
        Relative to both folders.
    kind : str
        "new", "gone", "unusable", "beyond" what both runs state of their errors, "within" that, or "other": no
        baseline of a case, whose contents are not the same.
    differences : tuple of Difference
        What differs.
    """

    path: Path
    kind: str
    differences: tuple[Difference, ...] = ()


def changes(old: Path, new: Path) -> list[Change]:
    """Compare two baselines, or all that two folders hold; files that are the same are left out.

    Parameters
    ----------
    old, new : Path
        Both files or both folders.

    Raises
    ------
    InvalidInput
        When one of them does not exist, one is a file and the other is none, or there is no baseline in either.
    """
    for name, path in (("old", old), ("new", new)):
        if not path.exists():
            raise InvalidInput.of(name, str(path), "exist", "name two files or two folders of baselines")
    if old.is_dir() != new.is_dir():
        kind = "folder" if old.is_dir() else "file"
        raise InvalidInput.of("new", str(new), f"be a {kind}, as {old} is", "name two alike")
    if not old.is_dir():
        one = _change(Path(new.name), old, new)
        return [one] if one else []
    before, after = ({p.relative_to(f) for p in finished(f.rglob("*.nc")) if p.is_file()} for f in (old, new))
    if not before | after:
        raise InvalidInput.of(
            "old", str(old), "hold baselines (*.nc), or new do so", "name the folder baselines"
        )
    found = [Change(p, "gone", (Difference("file", f"in OLD only: {old / p}"),)) for p in before - after]
    found += [Change(p, "new", (Difference("file", f"in NEW only: {new / p}"),)) for p in after - before]
    found += [c for path in before & after if (c := _change(path, old / path, new / path))]
    return sorted(found, key=lambda change: change.path)


def _change(path: Path, old: Path, new: Path) -> Change | None:
    if old.read_bytes() == new.read_bytes():
        return None
    try:
        schemas = {str(storage.read_once(file)["/"].attrs.get("schema")) for file in (old, new)}
        if schemas != {baselines.SCHEMA}:
            # Recordings, maps and studies lie beside baselines, and say nothing of their errors in one form.
            return Change(path, "other", (Difference(" and ".join(sorted(schemas)), "has other contents"),))
        before, after = baselines.read(old), baselines.read(new)
    except BaselineError as error:
        return Change(path, "unusable", (Difference("file", str(error)),))
    only = (f"in OLD only: {old}", f"in NEW only: {new}")
    beyond = compare(before, after, only=only)
    if beyond:
        return Change(path, "beyond", tuple(beyond))
    within = compare(before, after, exactly=True, only=only)
    return Change(path, "within", tuple(within)) if within else None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``diffclaims diff``."""
    parser.add_argument("old", type=Path, metavar="OLD", help="a baseline, or a folder of them")
    parser.add_argument("new", type=Path, metavar="NEW", help="the same, later")
    parser.add_argument(
        "--all", action="store_true", help="every value that moved, not the first few of a file"
    )


def run(args: argparse.Namespace) -> int:
    """Run ``diffclaims diff``; 1 when something moved by more than both runs state of their errors, or is gone."""
    found = changes(args.old, args.new)
    kinds = [change.kind for change in found]
    if found:
        print(shown(found, max(80, shutil.get_terminal_size().columns), None if args.all else MOST), end="")
    counts = [f"{kinds.count(kind)} {word}" for kind, word in _WORDS.items()]
    print(", ".join(counts))
    return int(any(kind in ("beyond", "gone", "unusable") for kind in kinds))


_WORDS = {
    "beyond": "moved beyond the stated errors",
    "within": "within them",
    "new": "new",
    "gone": "gone",
    "other": "other files with other contents",
    "unusable": "that cannot be read",
}


def shown(found: list[Change], width: int, most: int | None = None) -> str:
    """Return changes as a table, or as a list where that would have to break a name.

    Parameters
    ----------
    found : list of Change
    width : int
        In characters.
    most : int, optional
        Lines of one file; all by default.
    """
    heads = ("baseline", "what", "change", "of what is allowed")
    rows = [row for change in found for row in _rows(change, most)]
    names, what, text, times = (
        max(len(word) for cell in (head, *cells) for word in (cell.split() if head == "change" else [cell]))
        for head, *cells in zip(heads, *rows, strict=True)
    )
    # Two characters of padding a column, and the frame.
    if names + what + max(text, _LEAST) + times + 3 * len(heads) + 1 <= width:
        columns = table(show_lines=False)
        for head in heads:
            columns.add_column(head, no_wrap=head != "change", overflow="fold")
        for row in rows:
            columns.add_row(*row)
        return rendered(columns, width=width)
    lines = []
    for name, what_, text_, times_ in rows:
        lines += [name] if name else []
        line = ": ".join(s for s in (what_, text_) if s)
        line += f" ({times_} what is allowed)" if times_ else ""
        lines += [
            _filled(part.strip(), width, "      " if i else "  ") for i, part in enumerate(line.split("\n"))
        ]
    return rendered(Text("\n".join(lines)), width=width, soft_wrap=True)


def _filled(text: str, width: int, indent: str) -> str:
    """Break a line at spaces alone."""
    return textwrap.fill(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=" " * 6,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _rows(change: Change, most: int | None) -> list[tuple[str, str, str, str]]:
    """Lines of one file: its name in the first, what differs, the change, and that in units of what is allowed."""
    rows = [(one.what, one.text, _times(one)) for one in change.differences[:most]]
    left = len(change.differences) - len(change.differences[:most])
    rows += [(f"... and {left} more (--all)", "", "")] if left else []
    return [("" if i else str(change.path), *row) for i, row in enumerate(rows)]


def _times(one: Difference) -> str:
    """The change in units of what the errors of both runs allow."""
    return f"{one.size / one.allowed:.3g} times" if one.allowed > 0 and math.isfinite(one.size) else ""
