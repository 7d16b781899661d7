"""Names in the terminal: control characters are written as their escapes, so a row is one row."""

import re

from rich import markup

_INVISIBLE = "\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069"
"""Control characters, line ends of Unicode, and what changes the direction of a line."""
_CONTROL = re.compile(f"[{_INVISIBLE}]")


def one_line(name: str) -> str:
    r"""A name with each control character as in Python, e.g. `\n`."""
    return _CONTROL.sub(_escaped, name)


def without_commands(text: str) -> str:
    """The same, but line ends stay."""
    return "\n".join(map(one_line, text.split("\n")))


def escape(name: str) -> str:
    """A name as a table's cell takes it: in one line, and its brackets are no markup."""
    return markup.escape(one_line(name))


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
