"""Terminal tables that become blocks of lines, one per row, where the terminal is too narrow.

Otherwise, a table that is too wide would lose columns, the ends of numbers, or break words, and a
cut-off `loss <= 0.` looks like a bound.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tinyrefinery.pages.word_wrap import longest_word, wrap_words

BETWEEN = 2
"""Spaces between columns."""


@dataclass(frozen=True)
class Column:
    """The layout of a column."""

    title: str
    least: int | None = None
    """Width in characters to which cells may be wrapped; None if they must not be. Words are never
    broken, so a column can be wider."""
    right: bool = False
    """Whether it is right-aligned, as numbers are."""


@dataclass(frozen=True)
class Fitted:
    """A table that fits into the terminal."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Text]]
    """One cell per column. A cell may have several lines."""
    head: int = 0
    """The column that is the heading of a block of lines."""
    caption: str = ""
    """A note below the table."""

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        """The table if it fits, else its rows as blocks of lines."""
        widths = self._widths(options.max_width)
        if widths is not None:
            yield self._table(widths)
        else:
            for row in self.rows:
                yield self._block(row, options.max_width)
        if self.caption:
            yield Text(self.caption, style="italic dim")

    def _widths(self, most: int) -> list[int] | None:
        """Width of each column in characters, or None if the table can't fit into `most`."""
        full = [max(map(_width, self._texts(i))) for i in range(len(self.columns))]
        widths = [
            width if column.least is None else min(width, max(column.least, self._word(i)))
            for i, (width, column) in enumerate(zip(full, self.columns, strict=True))
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

    def _texts(self, i: int) -> list[Text]:
        """The title and all cells of a column."""
        return [Text(self.columns[i].title), *(row[i] for row in self.rows)]

    def _word(self, i: int) -> int:
        """Length of a column's longest word in characters."""
        return max(map(longest_word, self._texts(i)))

    def _table(self, widths: Sequence[int]) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column, width in zip(self.columns, widths, strict=True):
            side = "right" if column.right else "left"
            title = wrap_words(Text(column.title), width)
            table.add_column(title, justify=side, width=width, overflow="fold")
        for row in self.rows:
            table.add_row(
                *(wrap_words(cell, width) for cell, width in zip(row, widths, strict=True))
            )
        return table

    def _block(self, row: Sequence[Text], width: int) -> RenderableType:
        """A row's heading, with one line per other column below."""
        titles = [" ".join(column.title.split()) for column in self.columns]
        pairs = [
            (Text(title), cell)
            for i, (title, cell) in enumerate(zip(titles, row, strict=True))
            if i != self.head and cell.plain and title
        ]
        left = min(max(map(cell_len, titles)), max(1, width // 2))
        right = max(1, width - left - 2 * BETWEEN)
        beside = all(longest_word(title) <= left for title, _ in pairs)
        beside &= all(longest_word(cell) <= right for _, cell in pairs)
        block = Table.grid()
        block.add_column(overflow="fold")
        block.add_row(wrap_words(row[self.head], width))
        lines = _beside(pairs, left, right) if beside else _below(pairs, width - 2 * BETWEEN)
        block.add_row(Padding(lines, (0, 0, 0, BETWEEN)))
        return block


@dataclass
class FittedTable:
    """A fitted table that is built line by line."""

    caption: str = ""
    """A note below the table."""
    columns: list[Column] = field(default_factory=list)
    rows: list[list[Text]] = field(default_factory=list)
    head: int = 0
    """The column that is the heading of a block of lines."""

    def add_text(self, title: str, least: int = 9) -> None:
        """Add a column of text, which may be wrapped to `least` characters."""
        self.columns.append(Column(title, least=least))

    def add_numbers(self, *titles: str) -> None:
        """Add right-aligned columns that are never wrapped."""
        self.columns += [Column(title, right=True) for title in titles]

    def add_row(self, *cells: str) -> None:
        """Add a row of cells in rich's markup. Cells that are left out are empty."""
        missing = [""] * (len(self.columns) - len(cells))
        self.rows.append([Text.from_markup(cell, emoji=False) for cell in [*cells, *missing]])

    def __rich__(self) -> Fitted:
        return Fitted(self.columns, self.rows, self.head, self.caption)


def _beside(pairs: Sequence[tuple[Text, Text]], left: int, right: int) -> Table:
    """Titles and values side by side."""
    lines = Table.grid(padding=(0, BETWEEN, 0, 0))
    lines.add_column(style="dim", overflow="fold", max_width=left)
    lines.add_column(overflow="fold")
    for title, cell in pairs:
        lines.add_row(wrap_words(title, left), wrap_words(cell, right))
    return lines


def _below(pairs: Sequence[tuple[Text, Text]], width: int) -> Table:
    """Each value below its title, for terminals where words would be broken otherwise."""
    lines = Table.grid()
    lines.add_column(overflow="fold")
    for title, cell in pairs:
        title.stylize("dim")
        lines.add_row(wrap_words(title, max(1, width)))
        lines.add_row(Padding(wrap_words(cell, max(1, width)), (0, 0, 0, BETWEEN)))
    return lines


def _width(text: Text) -> int:
    """Width of the longest line in terminal characters."""
    return max(map(cell_len, text.plain.splitlines()), default=0)
