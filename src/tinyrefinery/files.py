"""Crash-safe files: written aside, flushed to disk, then renamed over the old one."""

import csv
import errno
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from tinyrefinery.errors import RefineryError, StorageError


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes its place, else it is removed.

    A reader, or a process that was killed meanwhile, sees the old file or the new one, never half.

    Raises:
        StorageError: when the disk is full or the place can't be written.
    """
    path = Path(path)
    # Not `with_name`, which fails for "." and "/": those are refused below like any other folder.
    aside = path.parent / f".{path.name}.{uuid4().hex[:8]}.part"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(
            f"{path}: can't be written ({reason}). What was there before is untouched; free some "
            "space or choose another place, then give the same command again."
        ) from error
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def check_places(*, files: Iterable[Path | None] = (), folders: Iterable[Path | None] = ()) -> None:
    """Refuse places that can't be written, before the work whose result they are for.

    It makes nothing. What can't be known ahead, such as a disk that fills up, `writing` tells.

    Args:
        files: to be written; None where none is asked for.
        folders: to write files into; they and the folders above them may be missing.

    Raises:
        RefineryError: with what is in the way of the first that can't be.
    """
    asked = [*((path, False) for path in files), *((path, True) for path in folders)]
    for path, is_folder in asked:
        reason = None if path is None else _in_the_way(path, is_folder=is_folder)
        if reason is not None:
            raise RefineryError(
                f"{path}: can't be written: {reason}. Nothing was done; name another place."
            )


def _in_the_way(path: Path, *, is_folder: bool) -> str | None:
    """Why a place can't be written, as far as can be seen without trying."""
    try:
        path.lstat()
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL):
            return error.strerror
    if not is_folder and os.path.exists(path) and not os.path.isfile(path):
        return f"it is {'a folder' if path.is_dir() else 'a device'}, and must be a file"
    lowest = path if is_folder else path.parent
    for folder in (lowest, *lowest.parents):
        if os.path.lexists(folder):
            if not os.path.isdir(folder):
                which = "it" if folder == path else str(folder)
                if not os.path.exists(folder):
                    return f"{which} leads nowhere, as a link to what is not there"
                return f"{which} is a file, and must be a folder"
            if not os.access(folder, os.W_OK | os.X_OK):
                return f"no permission to write into {folder}"
            break
    return None


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write `data` (text as UTF-8) to `path` in one step, as `writing` does."""
    with writing(path) as aside:
        aside.write_bytes(data.encode() if isinstance(data, str) else data)


def write_csv(
    path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object] | Sequence[object]]
) -> None:
    """Write a CSV table in one step, as `writing` does, with a line of column names on top.

    Args:
        path: of the file; UTF-8, lines end with a line feed.
        columns: their names, in order.
        rows: the values by column name, or in the order of `columns`; None and what a mapping
            doesn't have stay empty, floats keep every digit.

    Raises:
        StorageError: when the disk is full or the place can't be written.
        ValueError: when a row has other columns.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        if isinstance(row, Mapping):
            if row.keys() - set(columns):
                raise ValueError(f"{path}: no columns for {sorted(row.keys() - set(columns))}")
            row = [row.get(name) for name in columns]
        if len(row) != len(columns):
            raise ValueError(f"{path}: a row of {len(row)} values under {len(columns)} columns")
        writer.writerow(row)
    write_atomic(path, text.getvalue())


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV table by column name, all values as text."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
