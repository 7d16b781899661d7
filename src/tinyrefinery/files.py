"""Crash-safe files: written aside, flushed to disk, then renamed over the old one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from tinyrefinery.errors import StorageError


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes its place, else it is removed.

    A reader, or a process that was killed meanwhile, sees the old file or the new one, never half.

    Raises:
        StorageError: when the disk is full or the place can't be written.
    """
    path = Path(path)
    aside = path.with_name(f".{path.name}.{uuid4().hex[:8]}.part")
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
            "space or choose another folder with --runs, then give the same command again."
        ) from error
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write `data` (text as UTF-8) to `path` in one step, as `writing` does."""
    with writing(path) as aside:
        aside.write_bytes(data.encode() if isinstance(data, str) else data)
