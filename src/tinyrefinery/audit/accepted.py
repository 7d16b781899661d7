"""The accept list: associations that a person judged to be part of the task, with a reason."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinyrefinery.errors import DataError, RefineryError, did_you_mean
from tinyrefinery.reading.json_text import read_text
from tinyrefinery.recipe.document import parse

_EXAMPLE = (
    "Expected: accept: [{property: yellow_blue, class: ship, reason: water is part of the task}]"
)


def read_accepted(path: Path, classes: Sequence[str]) -> dict[tuple[str, str], str]:
    """Read an accept list as (property, class) -> reason.

    The file has a list `accept` of entries with `property` (a computed property or a column of
    the manifest), `class` and `reason`.

    Raises:
        DataError: when the file can't be read, an entry is incomplete, or a class is unknown.
    """
    try:
        content = parse(read_text(path))
    except RefineryError as error:
        raise DataError(f"{path}: can't read the accept list ({error}). {_EXAMPLE}") from error
    entries = content.get("accept") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise DataError(f"{path}: has no list 'accept'. {_EXAMPLE}")
    reasons = {}
    for number, entry in enumerate(entries, 1):
        column, label, reason = _entry(entry, f"{path}, entry {number}", classes)
        if (column, label) in reasons:
            raise DataError(f"{path}: two entries for {column} and {label}: delete one of them")
        reasons[column, label] = reason
    return reasons


def _entry(entry: Any, where: str, classes: Sequence[str]) -> tuple[str, str, str]:
    if not isinstance(entry, dict):
        raise DataError(f"{where}: is not a mapping. {_EXAMPLE}")
    keys = ("property", "class", "reason")
    if unknown := [str(key) for key in entry if key not in keys]:
        raise DataError(f"{where}: unknown key '{unknown[0]}'.{did_you_mean(unknown[0], keys)}")
    if missing := [key for key in keys if not _text(entry.get(key)).strip()]:
        raise DataError(f"{where}: has no {missing[0]}. {_EXAMPLE}")
    column, label, reason = (_text(entry[key]) for key in keys)
    if label not in classes:
        raise DataError(
            f"{where}: no class '{label}'.{did_you_mean(label, classes)} "
            f"The classes are {', '.join(classes[:8])}"
        )
    return column, label, reason


def _text(value: Any) -> str:
    """A value of an entry as text: a class may be called 0."""
    return "" if value is None else str(value)


def entry_to_accept(column: str, name: str) -> str:
    """An entry for an accept list, whose reason is to be filled in."""
    return f"{{property: {_in_flow(column)}, class: {_in_flow(name)}, reason: ...}}"


def _in_flow(text: str) -> str:
    """A text as a value of a YAML mapping in braces, quoted where it would be read as another."""
    try:
        plain = parse(f"{{key: {text}}}") == {"key": text}
    except RefineryError:
        plain = False
    return text if plain else json.dumps(text, ensure_ascii=False)
