"""Terminal tables that become blocks of lines, one per row, where the terminal is too narrow.

Otherwise, a table that is too wide would lose columns or the ends of numbers, and a cut-off
`loss <= 0.` looks like a bound.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

BETWEEN = 2
"""Spaces between columns."""


@dataclass(frozen=True)
class Column:
    """The layout of a column."""

    title: str
    least: int | None = None
    """Smallest width in characters to which cells may be wrapped; None if they must not be."""
    right: bool = False
    """Whether it is right-aligned, as numbers are."""


@dataclass(frozen=True)
class Fitted:
    """A table that fits into the terminal."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Text]]
    """One cell per column. A cell may have several lines."""
    head: int
    """The column that is the heading of a block of lines."""

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        """The table if it fits, else its rows as blocks of lines."""
        widths = self._widths(options.max_width)
        if widths is not None:
            yield self._table(widths)
            return
        for row in self.rows:
            yield self._block(row, options.max_width)

    def _widths(self, most: int) -> list[int] | None:
        """Width of each column in characters, or None if the table can't fit into `most`."""
        full = [
            max(map(_width, (Text(column.title), *(row[i] for row in self.rows))))
            for i, column in enumerate(self.columns)
        ]
        widths = [
            min(width, column.least or width)
            for width, column in zip(full, self.columns, strict=True)
        ]
        room = most - BETWEEN * (len(widths) - 1) - sum(widths)
        if room < 0:
            return None
        for _ in range(room):  # widen the narrowest of the wrapped columns
            wrapped = [i for i, width in enumerate(widths) if width < full[i]]
            if not wrapped:
                break
            widths[min(wrapped, key=lambda i: widths[i])] += 1
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
        """A row's heading, with one line per other column below."""
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
    """Width of the longest line in terminal characters."""
    return max(map(cell_len, text.plain.splitlines()), default=0)
