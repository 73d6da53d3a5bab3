"""What commands show on a terminal: progress, tables as text, and a quiet end when nobody reads on."""

from __future__ import annotations

import functools
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec

P = ParamSpec("P")
#: Told how many are done, and of how many.
Advance = Callable[[int, int], None]


def tell(line: str) -> None:
    """Print a line of progress, on standard error."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def progress(title: str) -> Iterator[Advance]:
    """Show a bar on standard error while the block runs, where that is a terminal."""
    from rich import progress as bars
    from rich.console import Console

    console = Console(stderr=True)
    columns = (
        *(bars.TextColumn("{task.description}"), bars.BarColumn(), bars.MofNCompleteColumn()),
        *(bars.TimeElapsedColumn(), bars.TextColumn("left:"), bars.TimeRemainingColumn()),
    )
    with bars.Progress(*columns, console=console, disable=not console.is_terminal) as shown:
        bar = shown.add_task(title, total=None)
        yield lambda done, total: shown.update(bar, completed=done, total=total)


def printable(words: str, keep: str = "") -> str:
    """Return text of a user's data with characters that cannot be printed as escapes, but for those to `keep`."""
    return "".join(c if c.isprintable() or c in keep else repr(c)[1:-1] for c in words)


def ascii_only() -> bool:
    """Whether standard output can show no more than plain characters."""
    return "utf" not in (getattr(sys.stdout, "encoding", None) or "").lower()


def table(*heads: Any, title: str = "", **options: Any) -> Any:
    """Return an empty table in the one style, as `rich.table.Table` takes options."""
    from rich import box
    from rich.table import Table

    style = box.ASCII if ascii_only() else box.SIMPLE_HEAD
    return Table(*heads, title=title or None, title_justify="left", box=style, **options)


def rendered(
    *parts: Any, width: int, color: bool = False, soft_wrap: bool = False, plain: bool | None = None
) -> str:
    """Return tables and lines as text.

    Parameters
    ----------
    *parts
        Anything that rich prints; words in brackets are no markup.
    width : int
        In characters.
    color : bool
        Whether to add terminal colours.
    soft_wrap : bool
        Whether to leave lines that are too long as they are.
    plain : bool, optional
        Whether to leave out all but plain characters; by default where the output cannot show others.
    """
    from rich.console import Console

    system: Any = "standard" if color else None
    console = Console(
        width=width, force_terminal=color, color_system=system, legacy_windows=False, highlight=False
    )
    with console.capture() as capture:
        for part in parts:
            console.print(part, markup=False, soft_wrap=soft_wrap)
    text = capture.get()
    plain = ascii_only() if plain is None else plain
    return text.encode("ascii", "replace").decode() if plain else text


def ends_quietly(command: Callable[P, int]) -> Callable[P, int]:
    """Let a command end as others do when the reader of its output has gone, as in ``COMMAND | head``."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            try:
                return command(*args, **kwargs)
            finally:
                sys.stdout.flush()
        except BrokenPipeError:
            if not _reader_left():
                raise
            # Python writes what is left when it ends: to nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 128 + signal.SIGPIPE

    return run


def _reader_left() -> bool:
    """Whether standard output is a pipe that nobody reads: another pipe may have broken as well."""
    look = select.poll()
    try:
        look.register(sys.stdout.fileno(), 0)
    except (OSError, ValueError):
        return False
    return any(event & select.POLLERR for _, event in look.poll(0))
