"""What `watch` prints: a table that changes in place on a terminal, else a line for each update."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from protobuf import Message

from ubmc.cli.output import Output
from ubmc.cli.terminal import COLOURS
from ubmc.cli.text import Column

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_REFRESHES_A_SECOND = 4


@dataclass(frozen=True, slots=True)
class Row:
    """One thing as it is now."""

    key: str
    cells: Sequence[str]
    """Printable already, as many as there are columns."""
    rank: int = 0
    """Rows of a higher rank stand above the others."""


class View(Protocol):
    """Where updates go."""

    def update(self, message: Message[Any], rows: Iterable[Row]) -> None:
        """Show these rows, which came with this message."""


@dataclass(frozen=True, slots=True)
class Lines:
    """A line for each row, or with `--json` for each message."""

    output: Output

    def update(self, message: Message[Any], rows: Iterable[Row]) -> None:
        """Print them."""
        if self.output.as_json:
            self.output.line(message, [])
        else:
            for row in rows:
                self.output.line(message, row.cells)


class Board:
    """The latest row of everything, in one table."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._rows: dict[str, Row] = {}

    def update(self, message: Message[Any], rows: Iterable[Row]) -> None:
        """Take them; they are drawn at the next turn."""
        self._rows = self._rows | {row.key: row for row in rows}

    def draw(self) -> Table:
        """The table as it is now."""
        from rich.box import SIMPLE
        from rich.table import Table
        from rich.text import Text

        table = Table(box=SIMPLE, pad_edge=False)
        for column in self._columns:
            table.add_column(Text(column.title.upper()), no_wrap=True, overflow="ellipsis")
        for row in sorted(self._rows.values(), key=lambda row: (-row.rank, row.key)):
            table.add_row(*(Text(cell, style=COLOURS.get(cell, "")) for cell in row.cells))
        return table


def is_live() -> bool:
    """Whether stdout is a terminal on which a table can change."""
    return sys.stdout.isatty() and os.environ.get("TERM") not in {None, "", "dumb"}


@contextmanager
def view(
    output: Output, columns: Sequence[Column], *, lines: bool = False, console: Console | None = None
) -> Iterator[View]:
    """Where updates go, for as long as the block lasts.

    Args:
        output: where results go.
        columns: the columns of the table.
        lines: lines are wanted even on a terminal.
        console: where to draw; stdout unless given.
    """
    if output.as_json or lines or (console is None and not is_live()):
        yield Lines(output)
        return
    from rich.live import Live

    table = Board(columns)
    with Live(console=console, get_renderable=table.draw, refresh_per_second=_REFRESHES_A_SECOND):
        yield table
