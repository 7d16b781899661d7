"""Metadata files of folders of images: `metadata.csv` and `metadata.jsonl`."""

import csv
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow as pa

from tinyrefinery.errors import DataError
from tinyrefinery.reading.json_text import parse_json_object


def read_metadata(file: Path) -> pa.Table:
    """All rows of a metadata file, as text; values of JSONL keep their type.

    CSV is read as spreadsheets write it: with commas, semicolons or tabs, and with spaces behind
    them. NaN in JSONL is a missing value.

    Raises:
        DataError: if the file can't be read, has no rows, two columns of one name, or a column with
            values of several kinds.
    """
    kind = file.suffix[1:].upper()
    try:
        text = file.read_bytes().decode("utf-8-sig")  # keeps line ends: csv interprets them
        rows = list(_csv_rows(text, file)) if kind == "CSV" else list(_json_rows(text, file))
        if number := next((n for n, row in enumerate(rows, 1) if None in row), None):
            raise ValueError(f"entry {number} has more fields than the header")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file}: is not UTF-8 text (byte {error.start}). Save it as UTF-8"
        ) from error
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{file}: can't be read as {kind} ({error})") from error
    if not rows:
        raise DataError(f"{file}: lists no images")
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: _column([row.get(name) for row in rows], name, file) for name in names})


def _csv_rows(text: str, file: Path) -> Iterator[dict[str, Any]]:
    """The rows of a CSV file by column."""
    header = text.partition("\n")[0]
    separator = next((each for each in ",;\t" if each in header), ",")
    spaces = f"{separator} " in header
    reader = csv.DictReader(
        StringIO(text), delimiter=separator, skipinitialspace=spaces, strict=True
    )
    names = list(reader.fieldnames or [])
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f"{file}: has two columns '{twice}'. Rename or remove one")
    yield from reader


def _json_rows(text: str, file: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSONL file; NaN becomes null, as in other sources."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            row = parse_json_object(line, f"{file}, line {number}")
            yield {name: None if value != value else value for name, value in row.items()}


def _column(values: list[Any], name: str, file: Path) -> pa.Array:
    """One column.

    Raises:
        DataError: if its values are of several kinds. Names the column and the first such row.
    """
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        present = [(n, type(v).__name__) for n, v in enumerate(values, 1) if v is not None]
        other = next((each for each in present if each[1] != present[0][1]), None)
        what = f"{present[0][1]} and, in entry {other[0]}, {other[1]}" if other else str(error)
        raise DataError(
            f"{file}: the column '{name}' is {what}. Write it as one kind everywhere"
        ) from error
