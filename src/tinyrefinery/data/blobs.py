"""Encoded images by number, wherever their bytes lie: files, Arrow columns, slices of tar shards.

Every kind is picklable and may be read from many threads: none keeps an open file.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa


class Blobs(Protocol):
    """Contents of image files, by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> bytes:
        """The bytes of one image file.

        Raises:
            OSError: when they can't be read.
        """
        ...


class FileBlobs:
    """One file an image."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> bytes:
        """Content of one file."""
        return Path(self.paths[row]).read_bytes()


class ArrowBlobs:
    """A column of bytes, in memory or memory-mapped; where it is null, a file named by `paths`."""

    def __init__(self, column: pa.ChunkedArray, paths: pa.ChunkedArray | None = None) -> None:
        self.column = column
        self.paths = paths

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> "ArrowBlobs":
        """From a binary column, or from a struct of `bytes` and `path` as Hugging Face writes it.

        Raises:
            TypeError: when the column holds neither; the message is the type.
        """
        kind = column.type
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            return cls(column)
        if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
            fields = {kind.field(i).name: part for i, part in enumerate(column.flatten())}
            return cls(fields["bytes"], fields.get("path"))
        raise TypeError(str(kind))

    def __len__(self) -> int:
        return len(self.column)

    def __getitem__(self, row: int) -> bytes:
        """Bytes of one row; none where the source holds neither bytes nor a path."""
        data = self.column[row].as_py()
        if data is not None:
            return data
        path = None if self.paths is None else self.paths[row].as_py()
        return b"" if path is None else Path(path).read_bytes()


class SliceBlobs:
    """Stretches of larger files, e.g. the members of uncompressed tar shards."""

    def __init__(self, files: Sequence[str], spans: np.ndarray) -> None:
        """Keep `spans`, (N, 3) int64: number of the file, offset in bytes, length in bytes."""
        self.files = files
        self.spans = spans

    def __len__(self) -> int:
        return len(self.spans)

    def __getitem__(self, row: int) -> bytes:
        """Bytes of one stretch."""
        number, offset, length = (int(value) for value in self.spans[row])
        with open(self.files[number], "rb") as file:
            file.seek(offset)
            return file.read(length)
