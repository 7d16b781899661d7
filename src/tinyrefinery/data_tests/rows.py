"""What data tests are judged on: columns of a data set, and what networks said of its images."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tinyrefinery.data.arrow import pc
from tinyrefinery.data.manifest import Manifest
from tinyrefinery.errors import DataError, DataTestError
from tinyrefinery.names import did_you_mean

KEYS = ("id", "path", "file_name")
"""Columns by which a file of further columns may name its images."""
TEXT = ("id", "path", "split")
"""Columns of a manifest that are text even where they look like numbers, as numbered paths do."""


@dataclass(frozen=True)
class Rows:
    """Images of one data set: N rows."""

    columns: pa.Table = field(repr=False)
    """id, path, label (the class's name), split, and whatever else is known."""
    labels: np.ndarray = field(repr=False)
    """(N,) int64."""
    classes: tuple[str, ...]
    computable: tuple[str, ...] = ()
    """Names of image properties that were not asked for; an error about a column tells them."""

    def category(self, name: str) -> int:
        """Number of a class.

        Raises:
            DataTestError: when there is no such class.
        """
        if name not in self.classes:
            known = ", ".join(self.classes[:20]) + (", ..." if len(self.classes) > 20 else "")
            raise DataTestError(
                f"no class is named '{name}'.{did_you_mean(name, self.classes)} Classes: {known}"
            )
        return self.classes.index(name)


def rows_of(manifest: Manifest, further: Sequence[pa.Table] = ()) -> Rows:
    """A manifest's rows, with further columns joined to them.

    Text that is a number in every row becomes a number, an empty text NULL, NaN too.

    Args:
        manifest: the data.
        further: tables with a column of `KEYS` each.

    Raises:
        DataTestError: when two tables have a column of the same name, or a table two lines for one
            image, one line for two, or none of its lines is about these images.
    """
    names = np.array(manifest.classes, object)[manifest.labels]
    table = manifest.table.drop_columns(["label"])
    columns = {"label": pa.chunked_array([pa.array(names, pa.string())])}
    for name in table.column_names:
        columns[name] = table.column(name) if name in TEXT else typed(table.column(name))
    joined = pa.table({name: value for name, value in columns.items() if value is not None})
    for each in further:
        joined = _joined(joined, each)
    return Rows(joined, manifest.labels, manifest.classes)


def typed(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """A column as numbers, truth values or text; None for what is none of these (bytes, lists)."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return typed(column.cast(kind.value_type))
    if pa.types.is_boolean(kind):
        return column
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _nan_is_null(column.cast(pa.float64()))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _read(column.cast(pa.string()))
    if pa.types.is_temporal(kind):
        return column.cast(pa.string())
    return pa.nulls(len(column), pa.string()) if pa.types.is_null(kind) else None


def _nan_is_null(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column)


def _read(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text as numbers or truth values where all of it is such; codes like 007 stay text."""
    filled = pc.if_else(pc.equal(pc.utf8_trim_whitespace(text), ""), None, text)
    some = filled.drop_null()
    if not len(some):
        return filled
    first = some[0].as_py().strip().lower()
    if first in ("true", "false"):
        lower = pc.utf8_lower(pc.utf8_trim_whitespace(filled))
        if set(pc.unique(lower.drop_null()).to_pylist()) <= {"true", "false"}:
            return pc.equal(lower, "true")
    if not (first[:1].isdigit() or first[:1] in "+-.ni"):
        return filled
    if pc.any(pc.match_substring_regex(some, r"^\s*[+-]?0[0-9]")).as_py():
        return filled
    try:
        return _nan_is_null(pc.utf8_trim_whitespace(filled).cast(pa.float64()))
    except pa.ArrowInvalid:
        return filled


def _joined(table: pa.Table, further: pa.Table) -> pa.Table:
    """A table with the columns of another, in its own order; NULL where the other has no line."""
    key = next((name for name in KEYS if name in further.column_names), None)
    if key is None:
        raise DataTestError(
            f"further columns need one of {', '.join(KEYS)} to say which image is meant; "
            f"there are {', '.join(further.column_names)}"
        )
    names = further.column_names
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise DataTestError(f"further columns: '{twice[0]}' stands there twice; rename one of them")
    place = _places(table, further.column(key).to_pylist(), key)
    for name in further.column_names:
        if name in KEYS:
            continue
        if name in table.column_names:
            raise DataTestError(f"the column '{name}' is there already; rename one of the two")
        if (values := typed(further.column(name))) is not None:
            table = table.append_column(name, values.take(place))
    return table


def _places(table: pa.Table, keys: list, key: str) -> pa.Array:
    """For each row of `table` the line of another table that is about it, or NULL."""
    own = table.column("id" if key == "id" else "path").to_pylist()
    lines: dict[str, int] = {}
    for number, value in enumerate(map(str, keys)):
        if lines.setdefault(value, number) != number:
            raise DataTestError(f"further columns: two lines are about '{value}'")
    places = [lines.get(value) for value in own]
    if key != "id" and all(place is None for place in places):
        ends = endings(own, lines)
        _check_unambiguous(table, ends)
        places = [lines[ends[path]] if path in ends else None for path in own]
    if lines and all(place is None for place in places):
        raise DataTestError(
            f"further columns: no line's '{key}' is that of an image of this data, e.g. "
            f"'{next(iter(lines))}' against '{own[0] if own else ''}'"
        )
    return pa.array(places, pa.int64())


def _check_unambiguous(table: pa.Table, ends: Mapping[str, str]) -> None:
    """Refuse the end of a path that different images share: one line would be about all of them."""
    first: dict[str, tuple[str, str]] = {}
    pairs = zip(table.column("id").to_pylist(), table.column("path").to_pylist(), strict=True)
    for identity, path in pairs:
        if (end := ends.get(path)) is None:
            continue
        other, where = first.setdefault(end, (identity, path))
        if other != identity:
            raise DataTestError(
                f"further columns: '{end}' may be {where} or {path}; write more of the path"
            )


def endings(paths: Sequence[str], wanted: Mapping[str, object] | set[str]) -> dict[str, str]:
    """For each path that ends with one of the wanted paths, from a folder on, the longest such."""
    shapes = {each.replace(os.sep, "/").removeprefix("./"): each for each in wanted}
    most = max((shape.count("/") for shape in shapes), default=0) + 1
    found = {}
    for path in paths:
        parts = path.replace(os.sep, "/").split("/")
        for length in range(min(most, len(parts)), 0, -1):
            if (end := "/".join(parts[-length:])) in shapes:
                found[path] = shapes[end]
                break
    return found


def read_columns(path: Path) -> pa.Table:
    """A table from CSV, JSON Lines or Parquet; numbers in CSV are still text.

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
