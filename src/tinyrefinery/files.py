"""Crash-safe files: write to a temporary file, flush it to disk, rename it over the old file."""

import csv
import errno
import io
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import platformdirs

from tinyrefinery.errors import DataError, RefineryError, StorageError


def cache_folder() -> Path:
    """Folder of caches: `$TINYREFINERY_CACHE`, or the system's default."""
    folder = os.environ.get("TINYREFINERY_CACHE")
    return Path(folder) if folder else platformdirs.user_cache_path("tinyrefinery")


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`. Rename it to `path` on success, else delete it.

    Readers find either the old file or the new one, never half a file, even after a crash.

    Raises:
        StorageError: if the disk is full or the folder is not writable.
    """
    path = Path(path)
    # `with_name` would fail for "." and "/". They must fail below, like any other folder.
    temporary = path.parent / f".{path.name}.{uuid4().hex[:8]}.part"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(
            f"{path}: is not writable ({reason}). Its previous content is unchanged. "
            f"{_remedy(error)}, then rerun the command."
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _remedy(error: OSError) -> str:
    """What helps against an error of writing."""
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "Change the folder's permissions or choose another folder"
    return "Free some disk space or choose another folder"


_HALF_WRITTEN = re.compile(r"\..+\.[0-9a-f]{8}\.part")
_ENDING = len(".01234567.part")
_NO_PERMISSION = "no permission"
_ABANDONED = 3600.0  # seconds, our choice: no single file takes that long between two writes


def is_half_written(path: Path) -> bool:
    """Whether a file is what a killed process left of an `atomic_file`."""
    return _HALF_WRITTEN.fullmatch(path.name) is not None


def remove_half_written(
    *,
    files: Iterable[Path | None] = (),
    folders: Iterable[Path | None] = (),
    shared: Iterable[Path | None] = (),
) -> None:
    """Remove what killed commands left of outputs. Their finished content stays as it is.

    Args:
        files: remove what was to become one of these; None entries are skipped. No other command
            may write them now.
        folders: remove everything half written in these, but not in folders below them. No other
            command may write there now.
        shared: folders in which other commands may be writing: only what nobody has written to for
            an hour is removed.
    """
    outputs = [*((path.parent, path.name, 0.0) for path in files if path is not None)]
    outputs += [(path, None, 0.0) for path in folders if path is not None]
    outputs += [(path, None, _ABANDONED) for path in shared if path is not None]
    for folder, name, age in outputs:
        with suppress(OSError):  # no such folder, or no permission: the command's own writing tells
            for path in folder.iterdir():
                is_output = name is None or path.name[1:-_ENDING] == name
                if is_half_written(path) and is_output and _age(path) >= age:
                    path.unlink(missing_ok=True)


def _age(path: Path) -> float:
    """Seconds since a file was written to."""
    return max(0.0, time.time() - path.stat().st_mtime)


def check_writable(
    *,
    files: Iterable[Path | None] = (),
    folders: Iterable[Path | None] = (),
    remedy: str = "Choose another path",
) -> None:
    """Check that outputs are writable before starting the work that produces them.

    Creates nothing. Unpredictable errors, such as a full disk, are raised by `atomic_file`.

    Args:
        files: files to write; None entries are skipped.
        folders: folders to write into; they and their parents may be missing.
        remedy: what the user can do, as a sentence without its full stop.

    Raises:
        StorageError: for the first path without the permission to write to it.
        RefineryError: for the first path where something else is in the way, with the reason.
    """
    outputs = [*((path, False) for path in files), *((path, True) for path in folders)]
    for path, is_folder in outputs:
        reason = None if path is None else _obstacle(path, is_folder=is_folder)
        if reason is not None:
            kind = StorageError if reason.startswith(_NO_PERMISSION) else RefineryError
            raise kind(f"{path}: is not writable: {reason}. Nothing was changed. {remedy}.")


def _obstacle(path: Path, *, is_folder: bool) -> str | None:
    """The reason why a path is not writable, as far as it is known without writing."""
    try:
        path.lstat()
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL):
            return error.strerror
    if not is_folder and os.path.exists(path) and not os.path.isfile(path):
        return f"it is {'a folder' if path.is_dir() else 'a device'}, not a file"
    lowest = path if is_folder else path.parent
    # The lowest folder that exists decides. `atomic_file` creates the folders below it.
    for folder in (lowest, *lowest.parents):
        if os.path.lexists(folder):
            if not os.path.isdir(folder):
                name = "it" if folder == path else str(folder)
                if not os.path.exists(folder):
                    return f"{name} is a broken link"
                return f"{name} is a file, not a folder"
            if not os.access(folder, os.W_OK | os.X_OK):
                return f"{_NO_PERMISSION} to write to {folder}"
            break
    return None


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder. Rename it to `target` on success, else delete it.

    The folder is there as a whole or not at all. An existing one must be empty.

    Raises:
        DataError: if `target` is not empty.
        RefineryError: if it is not writable.
        StorageError: if the disk is full.
    """
    check_writable(folders=[target])
    if target.exists() and any(target.iterdir()):
        raise DataError(
            f"{target}: is not empty, and nothing in it is replaced. Name a new folder, or move "
            "this one away"
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as place:
            staged = Path(place) / target.name
            staged.mkdir()
            yield staged
            with suppress(FileNotFoundError):
                target.rmdir()  # empty, checked above
            staged.rename(target)
    except OSError as error:
        raise StorageError(
            f"{target}: is not writable ({error.strerror or error}). Nothing was written. "
            f"{_remedy(error)}"
        ) from error


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write `data` (text as UTF-8) to `path` atomically, through `atomic_file`."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def write_csv(
    path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object] | Sequence[object]]
) -> None:
    """Write a CSV table with a header line atomically, through `atomic_file`.

    Args:
        path: the file; UTF-8, lines end with a line feed.
        columns: column names, in order.
        rows: values by column name, or in the order of `columns`. None and missing keys become
            empty cells. Floats keep all digits.

    Raises:
        StorageError: if the disk is full or the folder is not writable.
        ValueError: if a row has other columns.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        if isinstance(row, Mapping):
            if row.keys() - set(columns):
                raise ValueError(f"{path}: no columns named {sorted(row.keys() - set(columns))}")
            row = [row.get(name) for name in columns]
        if len(row) != len(columns):
            raise ValueError(f"{path}: a row has {len(row)} values for {len(columns)} columns")
        writer.writerow(row)
    write_atomic(path, text.getvalue())


def read_csv(path: Path) -> list[dict[str, str]]:
    """Read a CSV table: one mapping per row, column name -> text.

    Raises:
        DataError: if the file can't be read or is not UTF-8, or a row has more fields than the
            header.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, restval=""))
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: can't be read as CSV ({reason})") from error
    for number, row in enumerate(rows, start=2):
        if None in row:
            raise DataError(f"{path}: row {number} has more fields than the header")
    return rows
