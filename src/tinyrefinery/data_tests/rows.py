"""The rows that data tests are judged on: a dataset's columns, joined with further columns."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tinyrefinery.data.arrow import pc
from tinyrefinery.data.manifest import Manifest
from tinyrefinery.errors import DataError, DataTestError, did_you_mean

KEYS = ("id", "path", "file_name")
"""Columns by which a file of further columns may identify its images."""
TEXT = ("id", "path", "split")
"""Columns of a manifest that stay text even if all values are numbers."""


@dataclass(frozen=True)
class Rows:
    """The N images of one dataset."""

    columns: pa.Table = field(repr=False)
    """id, path, label (the class's name), split, and all further columns."""
    labels: np.ndarray = field(repr=False)
    """(N,) int64."""
    classes: tuple[str, ...]
    computable: tuple[str, ...] = ()
    """Image properties that can be computed on demand, to list in errors about columns."""

    def category(self, name: str) -> int:
        """Number of a class.

        Raises:
            DataTestError: when there is no such class.
        """
        if name not in self.classes:
            names = ", ".join(self.classes[:20]) + (", ..." if len(self.classes) > 20 else "")
            raise DataTestError(
                f"no class is named '{name}'.{did_you_mean(name, self.classes)} Classes: {names}"
            )
        return self.classes.index(name)


def rows_of(manifest: Manifest, further: Sequence[pa.Table] = ()) -> Rows:
    """Join a manifest's rows with further columns.

    A text column with numbers only becomes numeric. Empty text and NaN become NULL.

    Args:
        manifest: the data.
        further: tables, each with a column of `KEYS`.

    Raises:
        DataTestError: when two tables have a column of the same name, a table has two lines for one
            image or an ambiguous line, or none of its lines matches an image.
    """
    names = np.array(manifest.classes, object)[manifest.labels]
    table = manifest.table.drop_columns(["label"])
    columns = {"label": pa.chunked_array([pa.array(names, pa.string())])}
    for name in table.column_names:
        columns[name] = table.column(name) if name in TEXT else typed(table.column(name))
    joined = pa.table({name: value for name, value in columns.items() if value is not None})
    for other in further:
        joined = _join(joined, other)
    return Rows(joined, manifest.labels, manifest.classes)


def typed(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """A column as numbers, booleans or text. None for other types (bytes, lists)."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return typed(column.cast(kind.value_type))
    if pa.types.is_boolean(kind):
        return column
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _nan_is_null(column.cast(pa.float64()))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _parse_text(column.cast(pa.string()))
    if pa.types.is_temporal(kind):
        return column.cast(pa.string())
    return pa.nulls(len(column), pa.string()) if pa.types.is_null(kind) else None


def _nan_is_null(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column)


def _parse_text(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Convert text to numbers or booleans if all values allow it. Codes like 007 stay text."""
    filled = pc.if_else(pc.equal(pc.utf8_trim_whitespace(text), ""), None, text)
    values = filled.drop_null()
    if not len(values):
        return filled
    first = values[0].as_py().strip().lower()
    if first in ("true", "false"):
        lower = pc.utf8_lower(pc.utf8_trim_whitespace(filled))
        if set(pc.unique(lower.drop_null()).to_pylist()) <= {"true", "false"}:
            return pc.equal(lower, "true")
    if not (first[:1].isdigit() or first[:1] in "+-.ni"):
        return filled
    if pc.any(pc.match_substring_regex(values, r"^\s*[+-]?0[0-9]")).as_py():
        return filled
    try:
        return _nan_is_null(pc.utf8_trim_whitespace(filled).cast(pa.float64()))
    except pa.ArrowInvalid:
        return filled


def _join(table: pa.Table, further: pa.Table) -> pa.Table:
    """Append the columns of another table, NULL for rows without a line there."""
    names = further.column_names
    key = next((name for name in KEYS if name in names), None)
    if key is None:
        raise DataTestError(
            f"no column identifies the images: add one of {', '.join(KEYS)} to the columns "
            f"{', '.join(names)}"
        )
    if repeated := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise DataTestError(f"there are two columns '{repeated[0]}': rename one of them")
    place = _places(table, further.column(key).to_pylist(), key)
    for name in names:
        if name in KEYS:
            continue
        if name in table.column_names:
            raise DataTestError(f"the data already has a column '{name}': rename this one")
        if (values := typed(further.column(name))) is not None:
            table = table.append_column(name, values.take(place))
    return table


def _places(table: pa.Table, keys: list, key: str) -> pa.Array:
    """For each row of `table`, the matching line of another table, or NULL."""
    values = table.column("id" if key == "id" else "path").to_pylist()
    lines: dict[str, int] = {}
    for number, value in enumerate(map(str, keys)):
        if lines.setdefault(value, number) != number:
            raise DataTestError(f"two lines have the {key} '{value}': delete one of them")
    places = [lines.get(value) for value in values]
    if key != "id" and all(place is None for place in places):
        ends = endings(values, lines)
        _check_unambiguous(table, ends)
        places = [lines[ends[path]] if path in ends else None for path in values]
    if lines and all(place is None for place in places):
        raise DataTestError(
            f"no '{key}' matches an image of this data: for example '{next(iter(lines))}', but "
            f"the data has '{values[0] if values else ''}'"
        )
    return pa.array(places, pa.int64())


def _check_unambiguous(table: pa.Table, ends: Mapping[str, str]) -> None:
    """Reject the end of a path that several different images share."""
    first: dict[str, tuple[str, str]] = {}
    pairs = zip(table.column("id").to_pylist(), table.column("path").to_pylist(), strict=True)
    for identity, path in pairs:
        if (end := ends.get(path)) is None:
            continue
        other, where = first.setdefault(end, (identity, path))
        if other != identity:
            raise DataTestError(f"'{end}' may be {where} or {path}: write more of the path")


def endings(paths: Sequence[str], ends: Mapping[str, object] | set[str]) -> dict[str, str]:
    """For each path, the longest of `ends` that it ends with, in whole folder names, if any."""
    plain_ends = {end.replace(os.sep, "/").removeprefix("./"): end for end in ends}
    most = max((end.count("/") for end in plain_ends), default=0) + 1
    matches = {}
    for path in paths:
        parts = path.replace(os.sep, "/").split("/")
        for length in range(min(most, len(parts)), 0, -1):
            if (end := "/".join(parts[-length:])) in plain_ends:
                matches[path] = plain_ends[end]
                break
    return matches


def read_columns(path: Path) -> pa.Table:
    """Read a table from CSV, JSON Lines or Parquet. Numbers in CSV stay text for now.

    Raises:
        DataError: when the file is missing or can't be read.
    """
    from pyarrow import csv, json

    try:
        if path.suffix in (".parquet", ".pq"):
            return pq.read_table(path)
        if path.suffix in (".jsonl", ".ndjson"):
            return json.read_json(path)
        names = path.read_bytes().split(b"\n", 1)[0].decode("utf-8-sig").strip().split(",")
        kinds = {name.strip().strip('"'): pa.string() for name in names}
        return csv.read_csv(path, convert_options=csv.ConvertOptions(column_types=kinds))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{path}: can't be read as a table ({error})") from error
