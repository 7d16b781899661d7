"""Tables that stay whole in narrow terminals: a block of lines for each row where they don't fit.

A table that is too wide loses columns or the ends of numbers, and `loss <= 0.` looks like a bound.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

BETWEEN = 2
"""Blanks between columns."""


@dataclass(frozen=True)
class Column:
    """How a column is set."""

    title: str
    least: int | None = None
    """Characters that it may be folded to; None: its cells are never broken."""
    right: bool = False
    """Whether it is set flush right, as numbers are."""


@dataclass(frozen=True)
class Fitted:
    """A table for the terminal, printed as wide as that is."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Text]]
    """A cell for each column; a cell may have several lines."""
    head: int
    """The column that stands above a block of lines."""

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        """The table if there is room for it, else its rows as blocks of lines."""
        widths = self._widths(options.max_width)
        if widths is not None:
            yield self._table(widths)
            return
        for row in self.rows:
            yield self._block(row, options.max_width)

    def _widths(self, most: int) -> list[int] | None:
        """Characters of each column, all of the table at most `most`; None where that can't be."""
        whole = [
            max(map(_width, (Text(column.title), *(row[i] for row in self.rows))))
            for i, column in enumerate(self.columns)
        ]
        widths = [
            min(width, column.least or width)
            for width, column in zip(whole, self.columns, strict=True)
        ]
        room = most - BETWEEN * (len(widths) - 1) - sum(widths)
        if room < 0:
            return None
        for _ in range(room):  # to the narrowest of those that are folded
            short = [i for i, width in enumerate(widths) if width < whole[i]]
            if not short:
                break
            widths[min(short, key=lambda i: widths[i])] += 1
        return widths

    def _table(self, widths: Sequence[int]) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column, width in zip(self.columns, widths, strict=True):
            side = "right" if column.right else "left"
            table.add_column(Text(column.title), justify=side, width=width, overflow="fold")
        for row in self.rows:
            table.add_row(*row)
        return table

    def _block(self, row: Sequence[Text], width: int) -> RenderableType:
        """The head of a row, and below it what the other columns say, a line each."""
        lines = Table.grid(padding=(0, BETWEEN, 0, 0))
        lines.add_column(style="dim", overflow="fold", max_width=max(1, width // 2))
        lines.add_column(overflow="fold")
        for i, (column, cell) in enumerate(zip(self.columns, row, strict=True)):
            if i != self.head and cell.plain and column.title:
                lines.add_row(Text(column.title), cell)
        block = Table.grid()
        block.add_column(overflow="fold")
        block.add_row(row[self.head])
        block.add_row(Padding(lines, (0, 0, 0, BETWEEN)))
        return block


def _width(text: Text) -> int:
    """Of the longest line, in characters of the terminal."""
    return max(map(cell_len, text.plain.splitlines()), default=0)
