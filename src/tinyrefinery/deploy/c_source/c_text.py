"""C and C++ source text of bytes, numbers and strings."""

from collections.abc import Sequence

import numpy as np

_WIDE = 96
"""Columns of a line of numbers."""


def c_string(text: str) -> str:
    r"""A string literal, quoted; what is not printable ASCII as octal escapes of its UTF-8.

    Octal escapes end after three digits, so that no digit that follows is taken for a part of
    them. `?` is escaped for trigraphs.
    """
    special = {ord('"'): '\\"', ord("\\"): "\\\\", ord("?"): "\\?"}
    parts = [
        special.get(byte, chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}")
        for byte in text.encode()
    ]
    return f'"{"".join(parts)}"'


def c_numbers(values: np.ndarray) -> str:
    """The numbers of an array in its order, indented lines without braces.

    Floats are written so that a C compiler reads the same float32.
    """
    if values.dtype.kind == "f":
        return _lines([f"{float(v):#.9g}f" for v in values.ravel()])
    return _lines([str(int(value)) for value in values.ravel()])


def _lines(words: Sequence[str]) -> str:
    lines, line = [], ""
    for word in words:
        if len(line) + len(word) + 2 > _WIDE:
            lines.append(line)
            line = ""
        line += f"{word}, " if line else f"    {word}, "
    return "\n".join(each.rstrip() for each in [*lines, line] if each)


def c_comment(text: str) -> str:
    """Text for a comment, on one line, which can't end it."""
    return " ".join(text.split()).replace("*/", "* /")
