"""Wrap text between words, and names such as `dark_as_good_as_bright` after their separators."""

import re
from collections.abc import Sequence
from itertools import pairwise

from rich.cells import cell_len
from rich.text import Text

_BREAK = re.compile(
    r"(?<=\s)(?=\S)"
    r"|(?<=\w[_/\\.:=\[(<>-])(?=[^\W\d_])"
    r"|(?<=\w[\[(])(?=[<\[])"
    r"|(?<=\))(?=<)"
)
"""Places where a line may be broken: after spaces, and in a name after a separator that stands
before a letter, or between brackets. So numbers such as 0.93 and -1 stay whole."""
_SPACES = re.compile(r"(?<=\s)(?=\S)")


def longest_word(text: Text) -> int:
    """Length of the longest part that stays in one line, in terminal characters."""
    return max((cell_len(piece.strip()) for piece in _pieces(text.plain)), default=0)


def wrap_words(text: Text, width: int) -> Text:
    """Break a text into lines of at most `width` characters. A part that is longer stays whole."""
    return _wrap(text, _pieces(text.plain), width)


def wrap_spaces(text: Text, width: int) -> Text:
    """The same, but names and paths stay whole."""
    return _wrap(text, _pieces(text.plain, _SPACES), width)


def _wrap(text: Text, pieces: Sequence[str], width: int) -> Text:
    breaks, start, used = [], 0, 0
    for piece in pieces:
        fits = used + cell_len(piece.rstrip()) <= width
        if used and not fits:
            breaks.append(start)
            used = 0
        used = 0 if piece.endswith("\n") else used + cell_len(piece)
        start += len(piece)
    lines = text.divide(breaks)
    for line in lines[:-1]:
        line.rstrip()
    return Text("\n").join(lines)


def _pieces(line: str, pattern: re.Pattern[str] = _BREAK) -> list[str]:
    places = [0, *(found.start() for found in pattern.finditer(line)), len(line)]
    return [line[start:end] for start, end in pairwise(places) if end > start]
