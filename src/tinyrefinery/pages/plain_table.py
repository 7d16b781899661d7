"""Tables for the terminal without a frame: columns of text, then columns of numbers."""

from collections.abc import Mapping, Sequence

from tinyrefinery.pages.narrow_tables import FittedTable

LEAST = 9
"""Characters to which text is wrapped, unless a word is longer."""


def plain_table(
    texts: Mapping[str, int | None], numbers: Sequence[str], caption: str | None = None
) -> FittedTable:
    """A table without rows. In a terminal that is too narrow, each row becomes a block of lines.

    Args:
        texts: titles of the text columns, with the smallest width in characters, or None. Texts
            that are too long are wrapped between words.
        numbers: titles of the number columns, which are never wrapped.
        caption: a note below the table.
    """
    table = FittedTable(caption or "")
    for title, width in texts.items():
        table.add_text(title, width or LEAST)
    table.add_numbers(*numbers)
    return table
