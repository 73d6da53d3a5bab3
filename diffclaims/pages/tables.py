"""Tables of a page: what their columns mean stands beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from diffclaims.pages.bars import Bar


@dataclass(frozen=True)
class Column:
    """A column: its head, and what its numbers mean in plain words."""

    head: str
    meaning: str


@dataclass(frozen=True)
class Cell:
    """What stands in one place of a table.

    Attributes
    ----------
    text : str
    look : str
        Class of the style sheet, of this package's making: never a user's text.
    bar : Bar, optional
        The same as a drawing.
    mark : str
        Said beside the text, in smaller letters.
    """

    text: str
    look: str = ""
    bar: Bar | None = None
    mark: str = ""


@dataclass(frozen=True)
class Table:
    """A table whose first column names its rows.

    Attributes
    ----------
    caption : str
    columns : sequence of Column
    rows : sequence of sequence of Cell
        One cell a column.
    note : str
        Said above the table.
    """

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]] = field(default_factory=list)
    note: str = ""

    def __post_init__(self) -> None:
        wrong = [i for i, row in enumerate(self.rows) if len(row) != len(self.columns)]
        assert not wrong, f"rows {wrong} of {self.caption!r} do not have {len(self.columns)} cells"
