"""done.json: that a stage is whole, and the digests of its files.

A file that differs from its digest is never used. The measures of a network can be made again
(`execution.finished_steps`). What only training leaves can't be.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinyrefinery.errors import CheckpointError, DataError, RefineryError
from tinyrefinery.files import write_atomic
from tinyrefinery.reading.digests import DIGEST, file_digest, is_intact, sealed
from tinyrefinery.reading.json_text import read_json_object
from tinyrefinery.runs import files

REMEDY = "Restore a copy, or delete the stage's folder and run again to train it from its start."
_UNSEALED = {files.DONE, files.STAGE, files.STATE, files.EARLIER_STATE}
"""stage.json has a digest of its own, since later commands add rows to it."""


def write_done(folder: Path, key: str, threads: int) -> None:
    """Declare a stage whole, with the digests of its files.

    Args:
        folder: of the stage.
        key: of the stage.
        threads: of the training. Rounding depends on their number, and weights on rounding.
    """
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    digests = {n: file_digest(folder / n) for n in names if n not in _UNSEALED and n[0] != "."}
    content = {"key": key, "files": digests, "threads": threads}
    write_atomic(folder / files.DONE, json.dumps(sealed(content), indent=1))


def read_done(folder: Path) -> dict[str, str]:
    """The digests of a stage's files by name. None of them are checked.

    Raises:
        DataError: if done.json is missing or damaged.
    """
    return _digests(folder, _read(folder))


def done_key(folder: Path) -> str:
    """The stage key in done.json.

    Raises:
        DataError: as `read_done`.
    """
    return str(_read(folder)["key"])


def done_threads(folder: Path) -> int | None:
    """How many CPU threads trained the network; None where it is not known.

    Raises:
        DataError: as `read_done`.
    """
    threads = _read(folder).get("threads")
    return threads if isinstance(threads, int) else None


def _read(folder: Path) -> dict[str, Any]:
    path = folder / files.DONE
    content = read_json_object(path, REMEDY)
    # A lone key was written by a version without digests.
    whole = content.keys() in ({"key"}, {"key", "files", "threads", DIGEST})
    if not whole or not is_intact(content):
        raise DataError(f"{path}: is damaged (its digest differs). {REMEDY}")
    return content


def _digests(folder: Path, content: Mapping[str, Any]) -> dict[str, str]:
    digests = content.get("files", {})
    if not isinstance(digests, dict):
        raise DataError(f"{folder / files.DONE}: is damaged. {REMEDY}")
    return digests


def damaged_files(folder: Path) -> list[str]:
    """Names of a finished stage's files that are missing or differ from their digests.

    Raises:
        DataError: if done.json is damaged.
    """
    return [name for name, digest in read_done(folder).items() if not _is(folder / name, digest)]


def check_file(path: Path) -> Path:
    """Check a file of a finished stage against its digest, and return the path.

    Files of other folders, and files that done.json doesn't list, pass.

    Raises:
        CheckpointError: if the network differs.
        DataError: if another file differs, or done.json is damaged.
    """
    if not (path.parent / files.DONE).exists():
        return path
    digest = read_done(path.parent).get(path.name)
    if digest is not None and not _is(path, digest):
        error: type[RefineryError] = CheckpointError if path.name == files.NETWORK else DataError
        what = "differs from its digest in done.json" if path.exists() else "is missing"
        raise error(f"{path}: is damaged or was replaced ({what}). {remedy_of(path.name)}")
    return path


def _is(path: Path, digest: str) -> bool:
    try:
        return file_digest(path) == digest
    except OSError:
        return False


def is_measure(name: str) -> bool:
    """Whether a file of a stage can be made again from its network and its other files."""
    made = (files.EVALUATION, files.SUSPECTS, files.METRICS_TABLE, *files.TAXONOMY, files.SHEET)
    return name in made or name.startswith(("predictions-", "found-"))


def remedy_of(name: str) -> str:
    """What to do about a damaged file of a stage."""
    return "Run again: the network is measured again." if is_measure(name) else REMEDY
