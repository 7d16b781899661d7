"""The one reader of JSON: whatever is wrong with a text becomes one error with its place."""

import json
from pathlib import Path
from typing import Any

from tinyrefinery.errors import DataError, RefineryError

_BITS = 64


def parse_json(
    text: str | bytes, where: str | Path, remedy: str = "", error: type[RefineryError] = DataError
) -> Any:
    """The value of a JSON text.

    Args:
        text: the text; bytes must be UTF-8.
        where: file and line, for the message.
        remedy: what the user can do, a sentence for the message.
        error: class of the error.

    Raises:
        RefineryError: of the class `error`, if the text is not JSON, is not UTF-8, is nested too
            deeply, or has an integer that needs more than 64 bits.
    """
    try:
        text = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        text.encode()  # lone surrogates can't be written anywhere
        return json.loads(text, parse_int=_integer)
    except (ValueError, RecursionError) as cause:
        raise error(_message(where, f"is not JSON ({_reason(cause)})", remedy)) from cause


def parse_json_object(
    text: str | bytes, where: str | Path, remedy: str = "", error: type[RefineryError] = DataError
) -> dict[str, Any]:
    """The JSON object of a text. Arguments and errors are those of `parse_json`."""
    content = parse_json(text, where, remedy, error)
    if not isinstance(content, dict):
        kind = type(content).__name__
        raise error(_message(where, f"holds {kind}, not a JSON object", remedy))
    return content


def read_json(path: Path, remedy: str = "", error: type[RefineryError] = DataError) -> Any:
    """The value of a JSON file.

    Raises:
        RefineryError: of the class `error`, if the file can't be read, and as `parse_json`.
    """
    return parse_json(_bytes(path, remedy, error), path, remedy, error)


def read_json_object(
    path: Path, remedy: str = "", error: type[RefineryError] = DataError
) -> dict[str, Any]:
    """The JSON object of a file. Arguments and errors are those of `read_json`."""
    return parse_json_object(_bytes(path, remedy, error), path, remedy, error)


def read_text(path: Path, remedy: str = "", error: type[RefineryError] = DataError) -> str:
    """The text of a UTF-8 file, with or without a byte order mark.

    Raises:
        RefineryError: of the class `error`, if the file can't be read or is not UTF-8.
    """
    try:
        return _bytes(path, remedy, error).decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        what = f"is not a text file (byte {cause.start} is not UTF-8)"
        raise error(_message(path, what, remedy)) from cause


def _bytes(path: Path, remedy: str, error: type[RefineryError]) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as cause:  # ValueError: a NUL in the path
        reason = getattr(cause, "strerror", None) or cause
        raise error(_message(path, f"can't be read ({reason})", remedy)) from cause


def _integer(digits: str) -> int:
    """An integer of at most 64 bits, since tables have no larger ones."""
    if len(digits) > _BITS or not -(1 << _BITS - 1) <= int(digits) < 1 << _BITS - 1:
        raise ValueError(f"the integer {digits[:24]} needs more than {_BITS} bits")
    return int(digits)


def _reason(cause: Exception) -> str:
    return "nested too deeply" if isinstance(cause, RecursionError) else str(cause)


def _message(where: str | Path, what: str, remedy: str) -> str:
    return f"{where}: {what}.{f' {remedy}' if remedy else ''}"
