"""Parquet files with an image column, as Hugging Face and many exporters write them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any, Unpack

import pyarrow as pa
import pyarrow.parquet as pq

from tinyrefinery.data.blobs import ArrowBlobs
from tinyrefinery.data.class_names import number_labels
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.listing import Listing, OpeningOptions, assemble
from tinyrefinery.data.splits import split_named
from tinyrefinery.errors import DataError
from tinyrefinery.names import nearest

Files = str | Path | Sequence[str | Path]
_ROWS_A_BATCH = 1000  # Arrow can't hold 2 GiB of nested bytes in one piece


def open_parquet(
    path: Files | Mapping[str, Files],
    *,
    image: str = "image",
    label: str = "label",
    split: str | None = None,
    limit: int | None = None,
    **options: Unpack[OpeningOptions],
) -> Dataset:
    """Open Parquet files that hold images.

    The image column is binary, or a struct of `bytes` and `path`; a row may hold a path alone.
    Class names come from the `huggingface` metadata where there are any, else see `number_labels`.
    Other columns go into the manifest, but for those with bytes or nested fields. The encoded
    images are read into memory.

    Args:
        path: a file, a folder, a pattern such as "data/train-*.parquet", or a list of these, for
            the training split; or a mapping from split names to such.
        image: column with the images.
        label: column with the labels.
        split: column that names each row's split, if the files hold several.
        limit: read only so many rows of each split's files; for a first look.
        **options: see `assemble`.

    Raises:
        DataError: when a file is missing, empty, truncated or lacks a column, and as `assemble`.
    """
    if isinstance(path, Mapping):
        parts = {split_named(word): _files(files) for word, files in path.items()}
        if len(parts) < len(path):
            raise DataError(f"two names for one split: {', '.join(path)}")
    else:
        parts = {"train": _files(path)}
    tables = [
        _read(file, name, image, label, limit) for name, files in parts.items() for file in files
    ]
    name = next(iter(parts.values()))[0]
    return assemble(listing_of(str(name), tables, image, label, split), **options)


@dataclass(frozen=True)
class Part:
    """Rows of one file or one split of a larger set.

    Attributes:
        where: the file or split, for messages.
        table: image, label and further columns.
        split: train, validation or test.
        names: class names, where the source gives them.
        stamp: a text that changes with the content; None where nothing is known of it.
    """

    where: str
    table: pa.Table
    split: str
    names: list[str] | None
    stamp: str | None


def listing_of(
    name: str, parts: Sequence[Part], image: str, label: str, split: str | None
) -> Listing:
    """Rows of several tables with an image column, one after another.

    Raises:
        DataError: when a column is missing or of a kind that can't be used.
    """
    for part in parts:
        for column in (image, label, *([split] if split else [])):
            require_column(part.table.schema, column, part.where)
    names = next((part.names for part in parts if part.names), None)
    if any(part.names and part.names != names for part in parts):
        raise DataError(f"{name}: the files name different classes, or in a different order")
    try:
        joined = pa.concat_tables([part.table for part in parts], promote_options="permissive")
        blobs = ArrowBlobs.of(joined.column(image))
    except TypeError as error:
        raise DataError(
            f"{parts[0].where}: column '{image}' is {error}; images are binary, or a struct of "
            "bytes and path"
        ) from error
    except pa.ArrowException as error:
        raise DataError(f"{name}: the files' columns don't fit together ({error})") from error
    labels, classes = number_labels(joined.column(label), names, f"{name}, column '{label}'")
    extras = [each for each in joined.column_names if each not in (image, label, split)]
    return Listing(
        name,
        classes,
        labels,
        _splits(joined, parts, split),
        _paths(blobs, parts),
        blobs,
        extras=joined.select([each for each in extras if _is_plain(joined.field(each).type)]),
        stamps=_stamps(parts),
    )


def require_column(schema: pa.Schema, column: str, where: str) -> None:
    """Make sure that there is a column.

    Raises:
        DataError: when there is none; it lists the columns there are, and the nearest.
    """
    if column not in schema.names:
        raise DataError(
            f"{where}: no column '{column}'; the columns are {', '.join(schema.names)}."
            f"{nearest(column, schema.names)}"
        )


def _files(given: Files) -> list[Path]:
    found: list[Path] = []
    for each in [given] if isinstance(given, str | Path) else given:
        path = Path(each)
        if path.is_dir():
            matches = sorted(path.glob("*.parquet"))
        elif path.exists():
            matches = [path]
        else:
            matches = sorted(Path(match) for match in glob(str(path), recursive=True))
        if not matches:
            raise DataError(f"{each}: no such Parquet file, folder with Parquet files, or pattern")
        found += matches
    if not found:
        raise DataError("no Parquet file was named")
    return found


def _read(file: Path, split: str, image: str, label: str, limit: int | None) -> Part:
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
            for batch in reader.iter_batches(_ROWS_A_BATCH):
                batches.append(batch if limit is None else batch.slice(0, limit - rows))
                rows += len(batches[-1])
                if limit is not None and rows >= limit:
                    break
    except (pa.ArrowException, OSError) as error:
        reason = str(error).split("\n")[0]
        raise DataError(f"{file}: truncated, or no Parquet file ({reason})") from error
    if not rows:
        raise DataError(f"{file}: the file has no rows")
    table = pa.Table.from_batches(batches)
    stamp = f"{file.resolve()}\x1f{status.st_size}\x1f{status.st_mtime_ns}"
    return Part(str(file), table, split, _class_names(schema, label), stamp)


def _class_names(schema: pa.Schema, label: str) -> list[str] | None:
    """Names that Hugging Face keeps in the schema's metadata, if it does so for this column."""
    try:
        metadata: dict[str, Any] = json.loads(schema.metadata[b"huggingface"])
        names = metadata["info"]["features"][label]["names"]
        return [str(each) for each in names] or None
    except (KeyError, TypeError, ValueError):
        return None


def _splits(joined: pa.Table, parts: Sequence[Part], split: str | None) -> list[str]:
    if split is None:
        return [part.split for part in parts for _ in range(part.table.num_rows)]
    words = joined.column(split).to_pylist()
    meaning = {word: split_named(str(word), parts[0].where) for word in set(words)}
    return [meaning[word] for word in words]


def _paths(blobs: ArrowBlobs, parts: Sequence[Part]) -> list[str]:
    own = [None] * len(blobs) if blobs.paths is None else blobs.paths.to_pylist()
    numbered = [f"{part.where}, row {row}" for part in parts for row in range(part.table.num_rows)]
    return [path or row for path, row in zip(own, numbered, strict=True)]


def _stamps(parts: Sequence[Part]) -> list[str] | None:
    if any(part.stamp is None for part in parts):
        return None
    return [f"{part.stamp}\x1f{row}" for part in parts for row in range(part.table.num_rows)]


def _is_plain(kind: pa.DataType) -> bool:
    """Scalars, and lists of scalars such as boxes."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        kind = kind.value_type
    binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    return not (binary or pa.types.is_nested(kind))
