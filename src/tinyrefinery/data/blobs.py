"""Encoded images by number: from files, Arrow columns or slices of tar shards.

All kinds are picklable and thread-safe, because none keeps an open file.
"""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa

from tinyrefinery.reading.limits import MOST_BYTES, too_many_bytes


class Blobs(Protocol):
    """Contents of image files by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> bytes:
        """The bytes of one image file.

        Raises:
            OSError: if they can't be read.
        """
        ...


def read_file(path: str | Path, most: int = MOST_BYTES) -> bytes:
    """The bytes of one file.

    Raises:
        OSError: if they can't be read, or are more than `most`. Pipes and devices are not read:
            they may have no end.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode) and not os.path.isdir(path):
            raise OSError("a pipe, a socket or a device, not a file")
        with open(path, "rb") as file:
            if reason := too_many_bytes(os.fstat(file.fileno()).st_size, most):
                raise OSError(reason)
            return file.read()
    except ValueError as error:  # a NUL in the path, or a name that is not Unicode
        raise OSError(f"no valid path ({error})") from error


class FileBlobs:
    """One file per image."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> bytes:
        """The bytes of one file."""
        return read_file(self.paths[row])


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
        if _is_binary(kind):
            return cls(column)
        if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
            fields = {kind.field(i).name: child for i, child in enumerate(column.flatten())}
            data, paths = fields["bytes"], fields.get("path")
            empty = pa.types.is_null(data.type)  # all rows have a path only
            if (empty or _is_binary(data.type)) and (paths is None or _is_text(paths.type)):
                return cls(data, paths)
        raise TypeError(str(kind))

    def __len__(self) -> int:
        return len(self.column)

    def __getitem__(self, row: int) -> bytes:
        """The bytes of one row; empty if the source has neither bytes nor a path."""
        data = self.column[row].as_py()
        if data is not None:
            return data
        path = None if self.paths is None else self.paths[row].as_py()
        return b"" if path is None else read_file(path)


def _is_binary(kind: pa.DataType) -> bool:
    views = pa.types.is_binary_view(kind) or pa.types.is_fixed_size_binary(kind)
    return views or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _is_text(kind: pa.DataType) -> bool:
    views = pa.types.is_string_view(kind) or pa.types.is_null(kind)
    return views or pa.types.is_string(kind) or pa.types.is_large_string(kind)


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
