"""Tables and texts in Markdown."""

import re
from collections.abc import Sequence

_SPECIAL = re.compile(r"([\\`*_\[\]<|])")


def text_of(text: object) -> str:
    """A text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(str(text).split()))


def code(text: object) -> str:
    """A text as code, also for a cell of a table."""
    return "`" + " ".join(str(text).split()).replace("`", "'").replace("|", r"\|") + "`"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table. Cells are Markdown."""
    lines = [_line(head), _line(["---"] * len(head))]
    return lines + [_line(row) for row in rows]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
