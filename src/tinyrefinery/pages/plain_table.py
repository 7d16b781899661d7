"""Tables for the terminal without a frame: columns of text, then columns of numbers."""

from collections.abc import Mapping, Sequence

from rich.table import Table


def plain_table(
    texts: Mapping[str, int | None], numbers: Sequence[str], caption: str | None = None
) -> Table:
    """A table without rows.

    Args:
        texts: titles of the text columns, with the smallest width in characters, or None. Texts
            that are too long are folded.
        numbers: titles of the number columns, which are never wrapped.
        caption: a note below the table.
    """
    table = Table(
        box=None,
        pad_edge=False,
        header_style="bold",
        caption=caption,
        caption_justify="left",
    )
    for title, width in texts.items():
        table.add_column(title, overflow="fold", min_width=width)
    for title in numbers:
        table.add_column(title, justify="right", no_wrap=True)
    return table
