"""Print to any terminal, file or pipe: characters that it lacks are replaced, failures have a code.

Windows uses code pages for redirected output, containers often use ASCII. A stream can also end:
`tinyrefinery audit photos | head` closes the pipe, and a disk gets full.
"""

import codecs
import os
import re
import shutil
import sys
from contextlib import suppress
from errno import EPIPE
from typing import TYPE_CHECKING, Any

import typer

from tinyrefinery.errors import PIPE_CLOSED, StorageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

PLAIN = {
    **dict.fromkeys("−–—─━╌", "-"),
    **dict.fromkeys("│┃", "|"),
    **dict.fromkeys("╭╮╰╯┌┐└┘├┤┬┴┼╇╡╞╪", "+"),
    **dict.fromkeys("█▓", "#"),
    **dict.fromkeys("░▒·", "."),
    **{"±": "+-", "×": "x", "…": "...", "→": "->", "≤": "<=", "≥": ">=", "≈": "~"},
    **dict.fromkeys("‘’", "'"),
    **dict.fromkeys("“”", '"'),
}
"""ASCII for the characters that the commands print. Any other is written as its escape."""
NARROW = 40
"""Columns. Below, hardly any line that is worth copying fits."""
_COMMAND = "tinyrefinery "
HANDLER = "tinyrefinery-plain"
_COMMANDS = re.compile("[\x00-\x07\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f]|\x1b(?!\\[)")
"""Control characters but backspace, tab, line feed, carriage return and the ESC of a color."""
_failures: dict[str, OSError] = {}
"""The first error of each stream."""


def prepare_streams() -> None:
    """Let stdout and stderr replace characters that their encoding lacks, and keep what failed.

    A stream that is closed from the start is replaced by one that drops what is printed.
    """
    codecs.register_error(HANDLER, _plain)
    _failures.clear()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
            continue
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=HANDLER)
        for method in ("write", "flush"):
            setattr(stream, method, _watched(name, getattr(stream, method)))
        if stream.isatty():  # a file or another program gets names as they are
            stream.write = _without_commands(stream.write)


def _without_commands(write: Any) -> Any:
    """The method of a stream, which writes commands to the terminal as their escapes.

    Names of files and classes may hold them, and so set a window's title or fill its clipboard.
    Colors and moves of the cursor, which begin with ESC [, stay: progress bars need them.
    """

    def writes(text: str) -> Any:
        """Write what a terminal only shows."""
        return write(_COMMANDS.sub(lambda found: f"\\x{ord(found[0]):02x}", text))

    return writes


def _watched(name: str, method: Any) -> Any:
    """The method of a stream, which keeps its error: a second try would not fail again."""

    def watched(*arguments: Any) -> Any:
        """Call it, and keep the first error."""
        try:
            return method(*arguments)
        except OSError as error:
            _failures.setdefault(name, error)
            raise

    return watched


def echo(text: str = "", *, err: bool = False, nl: bool = True, color: bool | None = None) -> None:
    """Print as `typer.echo` does, which writes UTF-8 to streams that hold only ASCII."""
    typer.echo(text, file=sys.stderr if err else sys.stdout, nl=nl, color=color)


def narrowed(message: str) -> str:
    """A message on stderr, broken at spaces where that is a narrow terminal."""
    width = shutil.get_terminal_size().columns
    if not sys.stderr.isatty() or width >= NARROW:
        return message
    from rich.text import Text

    from tinyrefinery.pages.word_wrap import wrap_spaces

    return wrap_spaces(Text(message), width).plain


def _plain(error: UnicodeError) -> tuple[str, int]:
    """The replacement of what an encoding can't hold, as `codecs.register_error` takes it."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    return "".join(PLAIN.get(each) or _escape(each) for each in lost), error.end


def _escape(character: str) -> str:
    r"""`\u65e5`, or the byte of a file name that is not UTF-8, e.g. `\xff`."""
    byte = ord(character) - 0xDC00
    if 0x80 <= byte <= 0xFF:
        return f"\\x{byte:02x}"
    return character.encode("ascii", "backslashreplace").decode()


def console(**options: Any) -> "Console":
    """A rich console on stdout, for paths that hold `:x:` as well."""
    from rich.console import Console  # not needed for --help

    class Terminal(Console):
        def on_broken_pipe(self) -> None:
            """Let the error through: rich would exit with 1, as a failed check does."""
            raise

    return Terminal(emoji=False, **options)


def print_lines(console: "Console", *lines: "str | Text", copied: bool = False) -> None:
    """Print lines without breaking a word: on a terminal they are broken at spaces.

    A file or pipe gets each line whole, and so does a terminal that is not narrow if the line is
    copied: all of `lines`, or those that name a command. No markup is read.
    """
    from rich.text import Text

    from tinyrefinery.pages.cell_text import without_commands
    from tinyrefinery.pages.word_wrap import wrap_spaces

    narrow = console.width < NARROW
    for line in lines:
        text = (
            line
            if isinstance(line, Text)
            else Text(without_commands(line) if console.is_terminal else line)
        )
        if narrow:
            text = text[len(text) - len(text.plain.lstrip(" ")) :]
        if console.is_terminal and (narrow or not (copied or _COMMAND in text.plain)):
            text = wrap_spaces(text, console.width)
        console.print(text, soft_wrap=True, highlight=False)


def output_failure(code: int = 0) -> int:
    """Write out what was printed; where that fails or has failed, report it.

    Args:
        code: the exit code of the command so far.

    Returns:
        `code` where all is written, or where it is not 0. Otherwise `PIPE_CLOSED` when the reader
        went away, and 4 when the output could not be stored.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        with suppress(OSError):
            stream.flush()
        error = _failures.pop(name, None)
        if error is None:
            continue
        _discard(stream)
        if error.errno == EPIPE:
            return code or PIPE_CLOSED
        with suppress(OSError):
            print(f"{name} is not writable: {error.strerror}", file=sys.stderr, flush=True)
        return code or StorageError.exit_code
    return code


def _discard(stream: Any) -> None:
    """Send the rest of a stream nowhere, so that Python doesn't try again when it ends."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
