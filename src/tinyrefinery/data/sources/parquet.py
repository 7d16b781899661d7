"""Parquet files with an image column, the format of Hugging Face and many exporters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tinyrefinery.data.blobs import ArrowBlobs
from tinyrefinery.data.class_names import number_labels
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.listing import Listing, assemble
from tinyrefinery.data.splits import holds_splits, split_named, splits_of_files
from tinyrefinery.errors import DataError, did_you_mean
from tinyrefinery.options.sources import Parquet
from tinyrefinery.reading.json_text import parse_json

_BATCH_ROWS = 1000  # Arrow allows at most 2 GiB of nested bytes per array


def open_parquet(part: Parquet) -> Dataset:
    """Open Parquet files with images.

    The image column is binary, or a struct of `bytes` and `path`; rows may have a path only. Class
    names come from the `huggingface` metadata, if there is any, else see `number_labels`. Other
    columns go into the manifest, except those with bytes or nested fields. The encoded images are
    read into memory.

    Without a mapping from splits to files, the files of a folder or pattern are those of the splits
    that their names begin with, and a column `split` that has validation or test rows names the
    split of each row.

    Raises:
        DataError: if a file is missing, empty, truncated or lacks a column, and as `assemble`.
    """
    tables = [
        _read(file, split, part.image, part.label, part.limit)
        for file, split in _files_and_splits(part.path)
    ]
    column = part.split or _usual_split_column(part.path, tables)
    listing = listing_of(tables[0].where, tables, part.image, part.label, column)
    return assemble(listing, part)


def _files_and_splits(path: str | Sequence[str] | Mapping[str, str]) -> list[tuple[Path, str]]:
    """All files, each with its split."""
    if isinstance(path, Mapping):
        return [(file, split) for split, files in path.items() for file in _files(files)]
    files = _files(path)
    splits = splits_of_files(files, path) if isinstance(path, str) else ["train"] * len(files)
    return list(zip(files, splits, strict=True))


def _usual_split_column(path: object, tables: "Sequence[Table]") -> str | None:
    """The column `split` where it says more than the files; None where it does not."""
    files_say_more = isinstance(path, Mapping) or len({part.split for part in tables}) > 1
    if files_say_more or not all("split" in part.table.column_names for part in tables):
        return None
    columns = [part.table.column("split").unique().to_pylist() for part in tables]
    return "split" if holds_splits(value for column in columns for value in column) else None


@dataclass(frozen=True)
class Table:
    """Rows of one file or one split of a larger set.

    Attributes:
        where: the file or split, for messages.
        table: image, label and further columns.
        split: train, validation or test.
        names: class names of the source, or None.
        stamp: a text that changes with the content; None for no cache.
    """

    where: str
    table: pa.Table
    split: str
    names: list[str] | None
    stamp: str | None


def listing_of(
    name: str, parts: Sequence[Table], image: str, label: str, split: str | None
) -> Listing:
    """Concatenate tables with an image column to a listing.

    Raises:
        DataError: if a column is missing or has an unsupported type.
    """
    for part in parts:
        for column in (image, label, *([split] if split else [])):
            require_column(part.table.schema, column, part.where)
    names = next((part.names for part in parts if part.names), None)
    if any(part.names and part.names != names for part in parts):
        raise DataError(f"{name}: the files have different classes, or another order of classes")
    try:
        table = pa.concat_tables([part.table for part in parts], promote_options="permissive")
    except (pa.ArrowException, OverflowError, ValueError, TypeError) as error:
        raise DataError(f"{name}: the columns of the files don't match ({error})") from error
    try:
        blobs = ArrowBlobs.of(table.column(image))
    except TypeError as error:
        raise DataError(
            f"{parts[0].where}: column '{image}' is {error}; images must be binary, or a struct of "
            "bytes and path"
        ) from error
    labels, classes = number_labels(table.column(label), names, f"{name}, column '{label}'")
    extras = [column for column in table.column_names if column not in (image, label, split)]
    return Listing(
        name,
        classes,
        labels,
        _splits(table, parts, split),
        _paths(blobs, parts),
        blobs,
        extras=table.select([column for column in extras if _is_plain(table.field(column).type)]),
        stamps=_stamps(parts),
    )


def require_column(schema: pa.Schema, column: str, where: str) -> None:
    """Check that a column exists.

    Raises:
        DataError: if it doesn't. Lists the columns and the nearest name.
    """
    if column not in schema.names:
        raise DataError(
            f"{where}: no column '{column}'; the columns are {', '.join(schema.names)}."
            f"{did_you_mean(column, schema.names)}"
        )


def _files(files: str | Sequence[str]) -> list[Path]:
    """The files for a file, folder, pattern, or list of these."""
    result: list[Path] = []
    for item in [files] if isinstance(files, str) else files:
        path = Path(item)
        if path.is_dir():
            matches = sorted(path.glob("*.parquet"))
        elif path.exists():
            matches = [path]
        else:
            matches = sorted(Path(match) for match in glob(str(path), recursive=True))
        if not matches:
            raise DataError(f"{item}: no such Parquet file, folder with Parquet files, or pattern")
        result += matches
    return result


def _read(file: Path, split: str, image: str, label: str, limit: int | None) -> Table:
    status = file.stat()
    if status.st_size == 0:
        raise DataError(f"{file}: the file is empty (zero bytes)")
    try:
        with pq.ParquetFile(file) as reader:
            schema = reader.schema_arrow
            for column in (image, label):
                require_column(schema, column, str(file))
            batches: list[pa.RecordBatch] = []
            rows = 0
            for batch in reader.iter_batches(_BATCH_ROWS):
                batches.append(batch if limit is None else batch.slice(0, limit - rows))
                rows += len(batches[-1])
                if limit is not None and rows >= limit:
                    break
    except (pa.ArrowException, OSError) as error:
        reason = str(error).split("\n")[0]
        raise DataError(f"{file}: truncated, or not a Parquet file ({reason})") from error
    if not rows:
        raise DataError(f"{file}: the file has no rows")
    table = pa.Table.from_batches(batches)
    stamp = f"{file.resolve()}\x1f{status.st_size}\x1f{status.st_mtime_ns}"
    return Table(str(file), table, split, _class_names(schema, label), stamp)


def _class_names(schema: pa.Schema, label: str) -> list[str] | None:
    """Class names of a column from Hugging Face's metadata in the schema, or None."""
    try:
        metadata = parse_json((schema.metadata or {})[b"huggingface"], "metadata")
        names = metadata["info"]["features"][label]["names"]
        return [str(name) for name in names] or None
    except (KeyError, TypeError, DataError):
        return None


def _splits(table: pa.Table, parts: Sequence[Table], split: str | None) -> list[str]:
    if split is None:
        return [part.split for part in parts for _ in range(part.table.num_rows)]
    words = table.column(split).to_pylist()
    names = {word: split_named(str(word), parts[0].where) for word in set(words)}
    return [names[word] for word in words]


def _paths(blobs: ArrowBlobs, parts: Sequence[Table]) -> list[str]:
    """Paths from the source; file and row number where it has none."""
    paths = [None] * len(blobs) if blobs.paths is None else blobs.paths.to_pylist()
    numbered = [f"{part.where}, row {row}" for part in parts for row in range(part.table.num_rows)]
    return [path or row for path, row in zip(paths, numbered, strict=True)]


def _stamps(parts: Sequence[Table]) -> list[str] | None:
    if any(part.stamp is None for part in parts):
        return None
    return [f"{part.stamp}\x1f{row}" for part in parts for row in range(part.table.num_rows)]


def _is_plain(kind: pa.DataType) -> bool:
    """Whether a type is scalar, or a list of scalars such as a box, and not bytes."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        kind = kind.value_type
    binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    binary |= pa.types.is_binary_view(kind) or pa.types.is_fixed_size_binary(kind)
    return not (binary or pa.types.is_nested(kind))
