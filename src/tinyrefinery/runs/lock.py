"""One command at a time in a run folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from tinyrefinery.errors import StorageError
from tinyrefinery.files import check_writable, is_half_written
from tinyrefinery.options.launch import is_first
from tinyrefinery.runs import files


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the run folder and lock it. The system releases the lock however the process ends.

    Of several processes of one command, the first holds the lock.

    Raises:
        RefineryError: when the folder is not writable.
        StorageError: when another command holds the lock, or the folder can't be made.
    """
    check_writable(folders=[folder])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not is_first():
            yield
            return
        with FileLock(folder / files.LOCK, timeout=0):
            _remove_half_written(folder)
            yield
    except Timeout as error:
        raise StorageError(
            f"{folder}: another command is running in this folder; wait for it, or name another "
            "folder"
        ) from error
    except OSError as error:
        raise StorageError(f"{folder}: is not writable ({error.strerror or error})") from error


def _remove_half_written(folder: Path) -> None:
    """Remove what a process left that was killed while writing.

    Other commands may be writing into the label stores, which clean up after themselves.
    """
    for half in folder.rglob(".*.part"):
        if half.relative_to(folder).parts[0] != files.LABELS and is_half_written(half):
            half.unlink(missing_ok=True)
