"""Encoded images by number: from files, Arrow columns or slices of tar shards.

All kinds are picklable and thread-safe, because none keeps an open file.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa


class Blobs(Protocol):
    """Contents of image files by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> bytes:
        """The bytes of one image file.

        Raises:
            OSError: if they can't be read.
        """
        ...


class FileBlobs:
    """One file per image."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> bytes:
        """The bytes of one file."""
        return Path(self.paths[row]).read_bytes()


class ArrowBlobs:
    """A column of bytes, in memory or memory-mapped. Null values are read from files in `paths`."""

    def __init__(self, column: pa.ChunkedArray, paths: pa.ChunkedArray | None = None) -> None:
        self.column = column
        self.paths = paths

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> "ArrowBlobs":
        """From a binary column, or a struct of `bytes` and `path`, Hugging Face's format.

        Raises:
            TypeError: for other columns; the message is the type.
        """
        kind = column.type
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            return cls(column)
        if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
            fields = {kind.field(i).name: child for i, child in enumerate(column.flatten())}
            return cls(fields["bytes"], fields.get("path"))
        raise TypeError(str(kind))

    def __len__(self) -> int:
        return len(self.column)

    def __getitem__(self, row: int) -> bytes:
        """The bytes of one row; empty if the source has neither bytes nor a path."""
        data = self.column[row].as_py()
        if data is not None:
            return data
        path = None if self.paths is None else self.paths[row].as_py()
        return b"" if path is None else Path(path).read_bytes()


class SliceBlobs:
    """Byte ranges of larger files, e.g. the members of uncompressed tar shards."""

    def __init__(self, files: Sequence[str], spans: np.ndarray) -> None:
        """Store `spans`, (N, 3) int64: number of the file, offset in bytes, length in bytes."""
        self.files = files
        self.spans = spans

    def __len__(self) -> int:
        return len(self.spans)

    def __getitem__(self, row: int) -> bytes:
        """The bytes of one range."""
        number, offset, length = (int(value) for value in self.spans[row])
        with open(self.files[number], "rb") as file:
            file.seek(offset)
            return file.read(length)
